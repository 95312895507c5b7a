"""Seals a run's files on the host that wrote them, and finds what changed on the way since.

`seal.json` describes the host and holds size and SHA-256 of every other regular file below the run
directory, in order of their paths.
"""

from __future__ import annotations

import hashlib
import json
import time
from pathlib import Path
from typing import Any

from fpaas.errors import BadInput, RunInvalid
from fpaas.probe import host_facts
from fpaas.records import files

NAME = "seal.json"
SCHEMA = 1


def seal(directory: Path, host: str, nats_server: Path | None = None) -> Path:
    """Write seal.json and return its path; `nats_server` is a binary to ask for its version.

    Raises BadInput where the directory is missing, RunInvalid that names the file where one cannot
    be read or the disk is full.
    """
    if not directory.is_dir():
        raise BadInput(f"{directory}: there is no such run directory")
    path = directory / NAME
    content = {
        "schema": SCHEMA,
        "host": host,
        "unix_ns": time.time_ns(),
        "facts": host_facts.gather(nats_server),
        "files": checksums(directory),
    }
    try:
        files.write(path, content)
    except OSError as error:
        raise RunInvalid(
            f"{path}: cannot be written: {error.strerror}; free space and seal the run again"
        ) from error
    return path


def checksums(directory: Path) -> dict[str, dict[str, Any]]:
    """Return `{path: {bytes, sha256}}` of all regular files but the seal, in order of path.

    Raises RunInvalid that names a file that cannot be read.
    """
    ours = {NAME, NAME + ".tmp"}
    names = sorted(
        path.relative_to(directory).as_posix()
        for path in directory.rglob("*")
        if path.is_file() and not path.is_symlink()
    )
    files = {}
    for name in names:
        if name in ours:
            continue
        try:
            files[name] = _checksum(directory / name)
        except FileNotFoundError:
            # Written and replaced while we looked: a temporary file is no part of a run.
            continue
        except OSError as error:
            raise RunInvalid(f"{directory / name}: cannot be read: {error.strerror}") from error
    return files


def read(directory: Path) -> dict[str, Any]:
    """Read a host's seal.json. Raises ValueError that names the file and what is wrong."""
    path = directory / NAME
    try:
        content = json.loads(path.read_bytes())
        if content["schema"] != SCHEMA:
            raise ValueError(f"schema {content['schema']}, expected {SCHEMA}")
        for entry in content["files"].values():
            _ = entry["bytes"], entry["sha256"]
    except OSError as error:
        raise ValueError(f"{path}: cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path}: is no seal: {error!r}") from error
    return dict(content)


def verify(directory: Path) -> list[str]:
    """Compare a directory with its seal; returns what is missing or changed, as messages."""
    try:
        sealed = read(directory)["files"]
    except ValueError as error:
        return [str(error)]
    problems = []
    for name, entry in sealed.items():
        path = directory / name
        try:
            found = _checksum(path)
        except OSError as error:
            problems.append(f"{path}: was sealed, but cannot be read: {error.strerror}")
            continue
        if found["bytes"] != entry["bytes"]:
            problems.append(f"{path}: has {found['bytes']} bytes, {entry['bytes']} were sealed")
        elif found["sha256"] != entry["sha256"]:
            problems.append(f"{path}: its content changed since it was sealed (SHA-256 differs)")
    return problems


def _checksum(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
        # Size of what was hashed: a log may grow meanwhile.
        return {"bytes": file.tell(), "sha256": digest.hexdigest()}
