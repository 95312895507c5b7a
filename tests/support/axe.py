"""axe-core, from npm: finds what keeps people from reading a page."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path
from typing import Any

from tests.support.browser import Tab

VERSION = "4.14.1"
SHA256 = "29348999450cdf2849a8e70b7912fc2da85a849da39c0d0d5394f51d4a9ed95c"
#: In the checkout's cache, for the next time.
FILE = Path(__file__).resolve().parents[2] / ".cache" / f"axe-core-{VERSION}.min.js"
FETCH_LIMIT_S = 60.0
#: `preload` would read style sheets by XHR, which files may not.
LOOK = """
axe.run(document, {preload: false, resultTypes: ["violations"]}).then((found) =>
  found.violations.map((one) =>
    `${one.id}: ${one.nodes.map((node) => `${node.html} ${node.failureSummary}`).join("; ")}`))
"""


class MissingError(Exception):
    """Why axe-core cannot be had here."""


def script() -> str:
    """Return axe-core's script, fetched once. Raises MissingError."""
    if not FILE.exists():
        npm = shutil.which("npm")
        if npm is None:
            raise MissingError("no npm to fetch axe-core with")
        FILE.parent.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory() as directory:
            fetched = subprocess.run(
                [npm, "pack", f"axe-core@{VERSION}"],
                cwd=directory,
                capture_output=True,
                text=True,
                timeout=FETCH_LIMIT_S,
                check=False,
            )
            if fetched.returncode:
                raise MissingError(f"npm has no axe-core: {fetched.stderr.strip()[-200:]}")
            with tarfile.open(Path(directory) / f"axe-core-{VERSION}.tgz") as package:
                content = package.extractfile("package/axe.min.js")
                assert content is not None
                FILE.write_bytes(content.read())
    found = FILE.read_bytes()
    assert hashlib.sha256(found).hexdigest() == SHA256, f"{FILE} is not axe-core {VERSION}"
    return found.decode()


def violations(tab: Tab, axe: str) -> list[Any]:
    """Return what axe-core finds wrong with the page that is open."""
    tab.run(f"{axe}; 0")
    found: list[Any] = tab.run(LOOK)
    return found
