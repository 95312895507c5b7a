"""Brings one host's part of a run to the control node: sealed, compressed, verified."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from fpaas.control.lab_host import Host, HostError, checked
from fpaas.probe.seal import verify
from fpaas.records import seal


def bring(
    host: Host, seal_command: Sequence[str], directory: str, archive: str, into: Path
) -> bool:
    """Bring it into its place in a bundle; False if it is there, as it was sealed.

    Then the host is not asked. Raises HostError.
    """
    if (into / seal.NAME).exists() and not verify(into):
        return False
    place = Path(directory)
    pack = ["tar", "-C", str(place.parent), "-czf", archive, place.name]
    # Readable by the user who logs in: what it holds is published anyway.
    commands = [seal_command, pack, ["chmod", "0644", archive]]
    checked(host, " && ".join(shlex.join(argv) for argv in commands))
    into.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=into.parent, prefix=f".{into.name}.") as temporary:
        fetched = Path(temporary) / "run.tar.gz"
        host.fetch(archive, fetched)
        _unpack(fetched, Path(temporary) / "run")
        problems = verify(Path(temporary) / "run")
        if problems:
            raise HostError(f"was damaged on the way: {'; '.join(problems[:3])}")
        if into.exists():
            shutil.rmtree(into)
        (Path(temporary) / "run").rename(into)
    return True


def remove(host: Host, directory: str, archive: str) -> None:
    """Remove from a host what was brought. Raises HostError."""
    checked(host, shlex.join(["rm", "-rf", archive, directory]))


def _unpack(archive: Path, directory: Path) -> None:
    directory.mkdir()
    tar = ["tar", "-xzf", str(archive), "-C", str(directory)]
    done = subprocess.run(  # noqa: S603
        [*tar, "--strip-components=1", "--no-same-owner"],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise HostError(f"cannot be unpacked: {done.stderr.strip()}")
