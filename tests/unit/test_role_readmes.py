"""Each role's README, and its line in docs/roles.md, say what its meta/ says."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml  # type: ignore[import-untyped]
from tools import role_readmes

from tests.support.checkout import CHECKOUT


@pytest.mark.parametrize("role", role_readmes.roles(), ids=lambda path: path.name)
def test_readme_is_in_step(role: Path) -> None:
    assert (role / "README.md").read_text() == role_readmes.readme(role), "run: make readmes"


def test_what_only_the_play_can_set_is_required() -> None:
    run = role_readmes.readme(CHECKOUT / "roles" / "run")
    assert "  vars: {run_index: …} # required" in run
    for name, type_ in (("run_index", "int"), ("run_id", "str"), ("scenario_title", "str")):
        assert f"| `{name}` | {type_} | required |" in run
    assert "| `results_dir` | path | group_vars/all.yml, or the play |" in run


def test_every_role_has_one() -> None:
    everywhere = {path for path in (CHECKOUT / "roles").iterdir() if path.is_dir()}
    assert set(role_readmes.roles()) == everywhere


@pytest.mark.parametrize("role", role_readmes.roles(), ids=lambda path: path.name)
def test_docs_list_it_as_it_describes_itself(role: Path) -> None:
    about = yaml.safe_load((role / "meta" / "main.yml").read_text())["galaxy_info"]["description"]
    rows = (CHECKOUT / "docs" / "roles.md").read_text().splitlines()
    assert f"| [`{role.name}`](../roles/{role.name}/README.md) | {about} |" in rows
