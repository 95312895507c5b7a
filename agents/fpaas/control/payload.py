"""The payload for hosts without internet: the agents with their locked libraries.

A payload is a tar file that holds a whole virtual environment, made for one Python and one machine:
nothing is built or looked up on the host. It is named after the digest of all it is made of, so an
unchanged one is neither built nor brought again.
"""

from __future__ import annotations

import fcntl
import hashlib
import io
import re
import shutil
import subprocess
import sysconfig
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

from fpaas.control import elf
from fpaas.errors import BadInput, RunInvalid

#: Wheels for these run on Debian 12 and later, Ubuntu 22.04 and later.
PLATFORM = "{machine}-manylinux_2_28"
MACHINES = ("x86_64", "aarch64")
OLDEST_PYTHON = (3, 11)
#: Counts up whenever what is made of the same sources changes.
FORMAT = 2
#: Extracted last: if it is there, so is the rest.
COMPLETE = "complete"


@dataclass(frozen=True)
class Target:
    """A kind of host."""

    python: str
    machine: str
    interpreter: str = "/usr/bin/python3"

    def check(self) -> None:
        """Raise BadInput if there are no wheels for it."""
        if not re.fullmatch(r"3\.\d+", self.python):
            raise BadInput(f"--python {self.python!r}: expected a version like 3.13")
        if tuple(map(int, self.python.split("."))) < OLDEST_PYTHON:
            raise BadInput(
                f"Python {self.python} is too old for the agents; 3.11 or newer is needed"
            )
        if self.machine not in MACHINES:
            raise BadInput(
                f"--machine {self.machine!r}: there are no wheels for it; {', '.join(MACHINES)}"
            )


def digest(checkout: Path, target: Target, directory: str) -> str:
    """Return a name for the payload that `build` would make."""
    sources = [checkout / "uv.lock", checkout / "pyproject.toml"]
    package = checkout / "agents" / "fpaas"
    sources += sorted(p for p in package.rglob("*") if p.is_file() and p.suffix != ".pyc")
    total = hashlib.sha256(f"{FORMAT} {target} {directory}".encode())
    for path in sources:
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        total.update(f"{path.relative_to(checkout)} {content}\n".encode())
    return total.hexdigest()[:16]


def build(checkout: Path, cache: Path, target: Target, directory: str) -> Path:
    """Return a payload's path, building it unless it is in the cache.

    It unpacks into one directory with the name of the file's stem, below `directory` on the host,
    and runs as `directory`/agents, which is to be a link to it. Raises BadInput for a host that
    there are no wheels for, RunInvalid with what uv said if the build fails.
    """
    target.check()
    cache.mkdir(parents=True, exist_ok=True)
    path = cache / f"agents-{digest(checkout, target, directory)}.tar.gz"
    with _only_one(cache / "lock"):
        if not path.exists():
            _build(checkout, path, target, directory)
    return path


def _build(checkout: Path, path: Path, target: Target, directory: str) -> None:
    uv = _uv(checkout)
    name = path.name.removesuffix(".tar.gz")
    with tempfile.TemporaryDirectory(dir=path.parent) as temporary:
        libraries = Path(temporary) / "libraries"
        wheels = Path(temporary) / "wheels"
        requirements = Path(temporary) / "requirements.txt"
        requirements.write_text(_locked(uv, checkout))
        install = _install(uv, libraries, target.machine, "--python-version", target.python)
        _run(*install, *LOCKED, requirements)
        _run(uv, "build", "--quiet", "--wheel", "--out-dir", wheels, checkout)
        _run(*install, "--no-deps", *wheels.glob("*.whl"))
        check_machine(libraries, target.machine)
        # Those would be for this machine's Python.
        shutil.rmtree(libraries / "bin", ignore_errors=True)
        unfinished = Path(temporary) / path.name
        with tarfile.open(unfinished, "w:gz", compresslevel=6) as tar:
            _write(tar, name, libraries, target, f"{directory}/agents")
        unfinished.replace(path)


#: Only what uv.lock names is installed, and nothing is built.
LOCKED = ("--only-binary", ":all:", "--require-hashes", "-r")


def program_for(checkout: Path, cache: Path, package: str, name: str, machine: str) -> Path:
    """Return a program of a package that the control node has locked, as it is for a machine.

    Raises RunInvalid with what uv said if there is none.
    """
    uv = _uv(checkout)
    lines = _locked(uv, checkout, "--extra", "control").splitlines(keepends=True)
    first = next(i for i, line in enumerate(lines) if line.startswith(f"{package}=="))
    entry = [lines[first], *takewhile(lambda line: line.startswith(" "), lines[first + 1 :])]
    locked = "".join(entry)
    digest = hashlib.sha256(f"{machine} {locked}".encode()).hexdigest()[:16]
    kept = cache / digest
    cache.mkdir(parents=True, exist_ok=True)
    with _only_one(cache / "lock"):
        if not kept.exists():
            with tempfile.TemporaryDirectory(dir=cache) as temporary:
                requirements = Path(temporary) / "requirements.txt"
                requirements.write_text(locked)
                target = Path(temporary) / "target"
                _run(*_install(uv, target, machine, "--no-deps"), *LOCKED, requirements)
                check_machine(target, machine)
                target.rename(kept)
    return kept / "bin" / name


def _locked(uv: str, checkout: Path, *options: str) -> str:
    """Return what uv.lock has, as requirements with digests."""
    return _run(
        *(uv, "export", "--quiet", "--project", checkout, "--frozen", "--no-default-groups"),
        *("--no-emit-project", *options),
    )


def _install(uv: str, into: Path, machine: str, *options: str) -> list[str | Path]:
    platform = PLATFORM.format(machine=machine)
    command: list[str | Path] = [uv, "pip", "install", "--quiet", "--no-config", "--target", into]
    return [*command, "--python-platform", platform, *options]


def check_machine(directory: Path, machine: str) -> None:
    """Raise RunInvalid if something in a directory is a program for another machine."""
    for path in sorted(p for p in directory.rglob("*") if p.is_file()):
        built_for = elf.machine_of(path)
        if built_for not in (None, machine):
            raise RunInvalid(
                f"{path.relative_to(directory)} is for {built_for}, and was to be for {machine}; "
                "empty uv's cache (`uv cache clean`) and try again"
            )


def _write(tar: tarfile.TarFile, name: str, libraries: Path, target: Target, home: str) -> None:
    def add(path: str, text: str, mode: int = 0o644) -> None:
        entry = tarfile.TarInfo(f"{name}/{path}")
        entry.size, entry.mode = len(text.encode()), mode
        tar.addfile(entry, io.BytesIO(text.encode()))

    def of_root(entry: tarfile.TarInfo) -> tarfile.TarInfo:
        entry.uid = entry.gid = 0
        entry.uname = entry.gname = "root"
        entry.mode = 0o755 if entry.isdir() or entry.mode & 0o100 else 0o644
        return entry

    # Named, or the umask at unpacking would decide, and close them to the agents.
    for directory in (".", "bin", "lib", f"lib/python{target.python}"):
        entry = tarfile.TarInfo(f"{name}/{directory}".removesuffix("/."))
        entry.type, entry.mode = tarfile.DIRTYPE, 0o755
        tar.addfile(entry)
    add(
        "pyvenv.cfg",
        f"home = {Path(target.interpreter).parent}\ninclude-system-site-packages = false\n",
    )
    for interpreter in ("python", "python3"):
        link = tarfile.TarInfo(f"{name}/bin/{interpreter}")
        link.type, link.linkname = tarfile.SYMTYPE, target.interpreter
        tar.addfile(link)
    script = "import sys\n\nfrom fpaas.cli import main\n\nsys.exit(main())\n"
    add("bin/fpaas", f"#!{home}/bin/python\n{script}", 0o755)
    tar.add(libraries, f"{name}/lib/python{target.python}/site-packages", filter=of_root)
    add(COMPLETE, "")


@contextmanager
def _only_one(path: Path) -> Iterator[None]:
    """Hosts are prepared at the same time; the first builds, the others find it built."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _uv(checkout: Path) -> str:
    places = [sysconfig.get_path("scripts"), str(checkout / ".venv-bootstrap" / "bin")]
    for where in (*places, None):
        found = shutil.which("uv", path=where)
        if found:
            return found
    raise BadInput("uv, which fetches the agents' libraries, was not found; run `make setup`")


def _run(*command: str | Path) -> str:
    """Run it; returns what it printed."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        said = (done.stderr or done.stdout).strip()
        raise RunInvalid(f"`{' '.join(map(str, command[:3]))} …` failed: {said}")
    return done.stdout
