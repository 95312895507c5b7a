"""A Prometheus for this machine, without root: one that is there, or Debian's package unpacked."""

from __future__ import annotations

import fcntl
import shutil
import subprocess
from pathlib import Path

from fpaas.control.host_program import PROMETHEUS
from fpaas.errors import BadInput

DOWNLOAD_LIMIT_S = 120
UNPACK_LIMIT_S = 60
_WHAT_TO_DO = (
    "install Debian's package prometheus, put a prometheus on PATH, or name a program or an "
    "upstream archive as prometheus_source"
)


def find(cache: Path) -> Path:
    """Return a Prometheus: on PATH, in `cache`, or of Debian's package, which is unpacked there.

    Raises BadInput that says what was missing, and what to do.
    """
    on_path = shutil.which(PROMETHEUS)
    if on_path:
        return Path(on_path)
    program = cache / "package" / "usr" / "bin" / PROMETHEUS
    if not program.exists():
        try:
            cache.mkdir(parents=True, exist_ok=True)
            # Playbooks ask for several hosts at once.
            with (cache / "lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                if not program.exists():
                    _unpack_package(cache)
        except OSError as error:
            raise BadInput(f"Prometheus: {cache}: {error.strerror}; {_WHAT_TO_DO}") from error
    return program


def _unpack_package(cache: Path) -> None:
    _run(["apt-get", "download", "-qq", PROMETHEUS], cache, DOWNLOAD_LIMIT_S)
    archives = sorted(cache.glob(f"{PROMETHEUS}_*.deb"))
    if not archives:
        raise BadInput(f"Prometheus: apt-get downloaded no package; {_WHAT_TO_DO}")
    # In two steps: what was unpacked by half is not taken for a program.
    unfinished = cache / "unfinished"
    shutil.rmtree(unfinished, ignore_errors=True)
    _run(["dpkg", "-x", str(archives[-1]), str(unfinished)], cache, UNPACK_LIMIT_S)
    shutil.rmtree(cache / "package", ignore_errors=True)
    unfinished.rename(cache / "package")
    for archive in archives:
        archive.unlink()


def _run(command: list[str], directory: Path, limit_s: int) -> None:
    try:
        done = subprocess.run(  # noqa: S603  (of the lines above)
            command, cwd=directory, capture_output=True, text=True, timeout=limit_s, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BadInput(f"Prometheus: {command[0]}: {error}; {_WHAT_TO_DO}") from error
    if done.returncode:
        said = (done.stderr.strip().splitlines() or [f"ended with {done.returncode}"])[-1]
        raise BadInput(f"Prometheus: {' '.join(command[:2])}: {said}; {_WHAT_TO_DO}")
