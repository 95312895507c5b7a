"""Seals a run's files on the host that wrote them, and finds what changed on the way since.

`seal.json` describes the host and holds size and SHA-256 of every other regular file below the run
directory, in order of their paths.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from fpaas import common_time, regular
from fpaas.errors import BadInput, RunInvalid
from fpaas.probe import host_facts
from fpaas.records import files
from fpaas.records.files import UnreadableError
from fpaas.records.seal import NAME, SCHEMA, FileEntry, Seal


def seal(directory: Path, host: str, nats_server: Path | None = None) -> Path:
    """Write seal.json and return its path; `nats_server` is a binary to ask for its version.

    Raises BadInput if the directory is missing, RunInvalid that names the file if one cannot
    be read or the disk is full.
    """
    if not directory.is_dir():
        raise BadInput(f"{directory}: there is no such run directory")
    path = directory / NAME
    content = Seal(
        schema=SCHEMA,
        host=host,
        unix_ns=common_time.now_ns(),
        facts=host_facts.gather(nats_server),
        files=checksums(directory),
    )
    try:
        files.write(path, content)
    except OSError as error:
        raise RunInvalid(
            f"{path}: cannot be written: {error.strerror}; free space and seal the run again"
        ) from error
    return path


def checksums(directory: Path) -> dict[str, FileEntry]:
    """Return all regular files but the seal by path, in order of it.

    Raises RunInvalid that names a file that cannot be read.
    """
    ours = {NAME, NAME + ".tmp"}
    names = sorted(
        path.relative_to(directory).as_posix()
        for path in directory.rglob("*")
        if path.is_file() and not path.is_symlink()
    )
    entries = {}
    for name in names:
        if name in ours:
            continue
        try:
            entries[name] = _checksum(directory / name)
        except FileNotFoundError:
            # Written and replaced while we looked: a temporary file is no part of a run.
            continue
        except OSError as error:
            raise RunInvalid(f"{directory / name}: cannot be read: {error.strerror}") from error
    return entries


def verify(directory: Path) -> list[str]:
    """Compare a directory with its seal; returns what is missing or changed, as messages."""
    path = directory / NAME
    try:
        sealed = files.read(path, Seal)
    except OSError as error:
        return [f"{path}: cannot be read: {error.strerror}"]
    except UnreadableError as error:
        return [f"{path}: {error}"]
    return [f"{directory / name}: {problem}" for name, problem in changes(directory, sealed)]


def changes(directory: Path, sealed: Seal) -> Iterator[tuple[str, str]]:
    """Iterate over (path, what is wrong) of files that are missing or not as they were sealed."""
    for name, entry in sealed.files.items():
        try:
            found = _checksum(directory / name)
        except OSError as error:
            yield name, f"was sealed, but cannot be read: {error.strerror}"
            continue
        if found.bytes != entry.bytes:
            yield name, f"has {found.bytes} bytes, {entry.bytes} were sealed"
        elif found.sha256 != entry.sha256:
            yield name, "its content changed since it was sealed (SHA-256 differs)"


def _checksum(path: Path) -> FileEntry:
    regular.check(path)
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
        # The size that was hashed: a log may grow.
        return FileEntry(bytes=file.tell(), sha256=digest.hexdigest())
