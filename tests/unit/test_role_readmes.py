"""Each role's README says what its meta/ says."""

from __future__ import annotations

from pathlib import Path

import pytest
from tools import role_readmes

from tests.support.checkout import CHECKOUT


@pytest.mark.parametrize("role", role_readmes.roles(), ids=lambda path: path.name)
def test_readme_is_in_step(role: Path) -> None:
    assert (role / "README.md").read_text() == role_readmes.readme(role), "run: make readmes"


def test_every_role_has_one() -> None:
    everywhere = {path for path in (CHECKOUT / "roles").iterdir() if path.is_dir()}
    assert set(role_readmes.roles()) == everywhere
