"""Brings one host's part of a run to the control node: sealed, compressed, verified."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from fpaas.control import collecting
from fpaas.probe.seal import verify
from fpaas.records import seal

ARGUMENTS: dict[str, dict[str, Any]] = {
    "seal": {"type": "list", "elements": "str", "required": True},
    "directory": {"type": "path", "required": True},
    "archive": {"type": "path", "required": True},
    "bundle": {"type": "path", "required": True},
    "host": {"type": "str", "required": True},
}


class ActionModule(ActionBase):  # type: ignore[misc]  # Ansible has no types
    """`fetch_run: {seal: argv, directory: …, archive: …, bundle: the run's, host: its name}`.

    Parts that are here already, as they were sealed, are not fetched again, and their hosts not
    asked. On the host the run is removed once it is here.
    """

    TRANSFERS_FILES = True

    def run(self, tmp: object = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Bring it, or say what failed."""
        del tmp
        _, arguments = self.validate_argument_spec(ARGUMENTS)
        result: dict[str, Any] = super().run(None, task_vars)
        # Ansible's own strings are none that records know.
        run_bundle, host = Path(str(arguments["bundle"])), str(arguments["host"])
        with collecting.noted(run_bundle, host):
            changed = self._fetch(arguments, run_bundle / "hosts" / host)
        return {**result, "changed": changed}

    def _fetch(self, arguments: dict[str, Any], bundle: Path) -> bool:
        """Fetch it into its place in a bundle; False if it is there."""
        if (bundle / seal.NAME).exists() and not verify(bundle):
            return False
        directory, archive = Path(arguments["directory"]), arguments["archive"]
        pack = ["tar", "-C", str(directory.parent), "-czf", archive, directory.name]
        # Readable by the user who logs in: what it holds is published anyway.
        self._on_host(arguments["seal"], pack, ["chmod", "0644", archive])
        bundle.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=bundle.parent, prefix=f".{bundle.name}.") as temporary:
            fetched = Path(temporary) / "run.tar.gz"
            self._connection.fetch_file(archive, str(fetched))
            _unpack(fetched, Path(temporary) / "run")
            problems = verify(Path(temporary) / "run")
            if problems:
                raise AnsibleActionFail(f"was damaged on the way: {'; '.join(problems[:3])}")
            if bundle.exists():
                shutil.rmtree(bundle)
            (Path(temporary) / "run").rename(bundle)
        self._on_host(["rm", "-rf", archive, str(directory)])
        return True

    def _on_host(self, *commands: list[str]) -> None:
        ended = self._low_level_execute_command(" && ".join(shlex.join(argv) for argv in commands))
        if ended["rc"]:
            said = ended["stderr"].strip() or ended["stdout"].strip()
            raise AnsibleActionFail(said.removeprefix("Error: ") or f"ended with {ended['rc']}")


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
        raise AnsibleActionFail(f"cannot be unpacked: {done.stderr.strip()}")
