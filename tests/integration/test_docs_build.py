"""The documentation builds, and without a warning."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.patience import PATIENCE_S

CHECKOUT = Path(__file__).resolve().parents[2]
BUILD_LIMIT_S = 5 * PATIENCE_S

pytestmark = pytest.mark.integration


def _build(source: Path, out: Path) -> subprocess.CompletedProcess[str]:
    """Build as `make docs` does, into a directory of the test's own."""
    options = ("-W", "--keep-going", "--quiet", "--conf-dir", CHECKOUT / "docs")
    return subprocess.run(
        [sys.executable, "-m", "sphinx", *options, source, out],
        capture_output=True,
        text=True,
        timeout=BUILD_LIMIT_S,
        check=False,
    )


def test_the_documentation_builds_without_a_warning(tmp_path: Path) -> None:
    built = _build(CHECKOUT, tmp_path / "html")
    assert built.returncode == 0, built.stderr
    # Not from a Content Delivery Network either: a reader may be offline.
    from_elsewhere = re.compile(
        r"""<(?:script|img|iframe|source)\b[^>]*\bsrc=["'](?:https?:)?//[^"']*|"""
        r"""<link\b[^>]*\brel=["']?stylesheet[^>]*\bhref=["'](?:https?:)?//[^"']*|"""
        r"""\bimport\b[^;]*["']https?://[^"']*"""
    )
    for path in (tmp_path / "html").rglob("*.html"):
        loaded = from_elsewhere.findall(path.read_text(encoding="utf-8"))
        assert loaded == [], path.name
    for page in ("docs/index.html", "ARCHITECTURE.html", "roles/nats/README.html"):
        assert (tmp_path / "html" / page).is_file()


def test_a_page_that_no_table_of_contents_names_fails_the_build(tmp_path: Path) -> None:
    docs = tmp_path / "source" / "docs"
    docs.mkdir(parents=True)
    (docs / "index.md").write_text("# Index\n")
    (docs / "lost.md").write_text("# Lost\n")
    assert _build(tmp_path / "source", tmp_path / "html").returncode != 0
