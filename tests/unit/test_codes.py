"""The registry of reasons' codes: each can be said and explained, and is what others name."""

from __future__ import annotations

import re
import string
from pathlib import Path

import msgspec
import pytest
import yaml  # type: ignore[import-untyped]
from click.testing import CliRunner

from fpaas.commands import explain
from fpaas.ledger.disagreements import About
from fpaas.ledger.durable_account import LOST_CAUSES
from fpaas.reason import Reason
from fpaas.records.control import Trouble
from fpaas.verdict import codes, codes_goals, codes_ledger
from fpaas.verdict.code import FAIL, INVALID, LIMIT, NOTE
from fpaas.verdict.codes_invalid import TROUBLE

CHECKOUT = Path(__file__).resolve().parents[2]
AGENTS = CHECKOUT / "agents" / "fpaas"
YIELDED = re.compile(r'Reason\(\s*"([^"]+)"')


@pytest.mark.parametrize("name", codes.CODES)
def test_a_code_is_explained(name: str) -> None:
    code = codes.CODES[name]
    assert re.fullmatch(r"[a-z][a-z_]+", name)
    assert code.severity in (INVALID, FAIL, NOTE, LIMIT)
    text = codes.explain(name)
    assert code.meaning.split()[0] in text
    assert "What to do: " in text
    assert code.meaning.endswith(".")
    assert code.remedy.endswith(".")


@pytest.mark.parametrize("name", codes.CODES)
def test_a_format_has_no_parameter_that_is_not_listed(name: str) -> None:
    code = codes.CODES[name]
    if isinstance(code.sentence, str):
        used = {field for _, field, _, _ in string.Formatter().parse(code.sentence) if field}
        assert used <= set(code.parameters)


def test_whatever_is_yielded_is_known() -> None:
    yielded = {name for path in AGENTS.rglob("*.py") for name in YIELDED.findall(path.read_text())}
    assert len(yielded) > 50
    assert yielded <= set(codes.CODES)


def test_codes_that_others_forgive_are_known() -> None:
    busy = yaml.safe_load((CHECKOUT / "molecule/shared/vars/busy.yml").read_text())
    assert set(busy["molecule_busy"]) <= set(codes.CODES)


def test_reasons_among_parameters_are_said_and_written() -> None:
    why = Reason("publishes_unknown", None, {"count": 3})
    parameters = {"goal": "frames_lost_max", "measured": 3, "comparison": "at most", "limit": 0}
    missed = Reason("goal_missed", None, {**parameters, "why": [why]})
    assert codes.sentence(missed).endswith(codes.sentence(why))
    assert msgspec.to_builtins(codes.record(missed)) == {
        "code": "goal_missed",
        "severity": "fail",
        "host": None,
        "parameters": {
            **parameters,
            "why": [{"code": "publishes_unknown", "host": None, "parameters": {"count": 3}}],
        },
    }


def test_whatever_is_lost_is_said_with_its_cause() -> None:
    assert codes_goals.LOST.keys() == {*LOST_CAUSES}


def test_a_host_is_in_front() -> None:
    assert codes.sentence(Reason("file_missing", "h", {"file": "f"})).startswith("h: f: ")


def test_all_codes_are_listed() -> None:
    listed = CliRunner().invoke(explain.command, [])
    assert listed.exit_code == 0
    words = set(listed.output.split())
    assert set(codes.CODES) <= words


def test_one_code_is_explained_and_a_misspelt_one_is_not() -> None:
    explained = CliRunner().invoke(explain.command, ["relay_died"])
    assert explained.exit_code == 0
    assert "at_s" in explained.output
    refused = CliRunner().invoke(explain.command, ["relay_dead"])
    assert refused.exit_code == 2
    assert "relay_died" in refused.output


def test_troubleshooting_names_codes_that_there_are() -> None:
    """Those of its tables, in whose first column a verdict's code stands in backticks."""
    page = (CHECKOUT / "docs" / "troubleshooting.md").read_text()
    rows = [line for line in page.splitlines() if line.startswith("| verdict")]
    named = [name for row in rows for name in re.findall(r"`([a-z]+(?:_[a-z]+)+)`", row)]
    named = [name for name in named if not name.startswith("bench_")]
    assert len(named) > 5
    assert set(named) <= set(codes.CODES)


@pytest.mark.parametrize("about", About)
def test_whatever_accounts_differ_about_is_said_with_all_figures_of_a_case(about: About) -> None:
    _, example = codes_ledger.WORDS[about]
    names = [name for _, name, _, _ in string.Formatter().parse(example) if name]
    figures = {name: 1_000_000 + number for number, name in enumerate(names)}
    difference = {"about": str(about), "amount": 7, "cases": 3, "example": figures}
    said = codes.sentence(Reason("ledger_disagreement", None, difference))
    assert all(str(figure) in said for figure in figures.values())


@pytest.mark.parametrize("trouble", Trouble)
def test_whatever_a_playbook_has_trouble_with_is_said(trouble: Trouble) -> None:
    names = [name for _, name, _, _ in string.Formatter().parse(TROUBLE[trouble]) if name]
    known = {name: 7 if name in ("pid", "silent_s") else f"<{name}>" for name in names}
    said = codes.sentence(Reason("control_problem", "h", {"problem": str(trouble), **known}))
    assert said.startswith("h: ")
    assert all(str(value) in said for value in known.values())
