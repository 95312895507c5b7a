"""Roles' argument_specs are their documentation: in step with their defaults."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jinja2
import pytest
import yaml  # type: ignore[import-untyped]

CHECKOUT = Path(__file__).resolve().parents[2]
ROLES = [
    "_defaults",
    "_agents",
    "_service",
    "clock",
    "common",
    "consumers",
    "faults",
    "grafana",
    "nats",
    "probe",
    "prometheus",
    "relay",
    "run",
    "shuffler",
]
#: What a host or a play has to say; see inventory/ and scenario-N.yml.
FROM_PLAYS = {"scenario_name", "scenario_title", "scenario_goal", "run_index", "run_id"}


def read(path: Path) -> dict[str, Any]:
    return (yaml.safe_load(path.read_text()) or {}) if path.exists() else {}


def options(role: str) -> dict[str, dict[str, Any]]:
    specs = read(CHECKOUT / "roles" / role / "meta" / "argument_specs.yml")["argument_specs"]
    return {
        name: option
        for entry in specs.values()
        for name, option in entry.get("options", {}).items()
    }


def defaults(role: str) -> dict[str, Any]:
    if role == "_defaults":  # group_vars/all.yml
        return {}
    return read(CHECKOUT / "roles" / role / "defaults" / "main.yml")


@pytest.mark.parametrize("role", ROLES)
def test_defaults_are_those_documented(role: str) -> None:
    documented = {n: o["default"] for n, o in options(role).items() if "default" in o}
    assert documented == defaults(role)


@pytest.mark.parametrize("role", ROLES)
def test_what_is_required_is_set_elsewhere(role: str) -> None:
    everywhere = read(CHECKOUT / "group_vars" / "all.yml")
    for name, option in options(role).items():
        if option.get("required"):
            assert "default" not in option
            assert name in everywhere or name in FROM_PLAYS or name.startswith("_service_"), name


@pytest.mark.parametrize("role", ROLES)
def test_every_option_is_described(role: str) -> None:
    for name, option in options(role).items():
        assert option.get("description", "").endswith("."), name
        assert "type" in option, name


@pytest.mark.parametrize(
    ("stdout", "complaint"), [("PASS", ""), ("PASS", "disk full"), ("", "none")]
)
def test_what_a_report_could_not_write_is_shown_with_its_figures(
    stdout: str, complaint: str
) -> None:
    tasks = yaml.safe_load((CHECKOUT / "roles/run/tasks/collect.yml").read_text())
    [outcome] = [t["vars"]["run_outcome"] for t in tasks if "run_outcome" in t.get("vars", {})]
    report = {"stdout": stdout, "complaint": complaint}
    shown = jinja2.Template(outcome["text"]).render(run_report=report)
    assert shown == "\n\n".join(filter(None, (stdout, complaint)))
