"""The runner behind `make bench`."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from benchmarks import __main__ as runner


def module(**attributes: object) -> ModuleType:
    made = ModuleType("made")
    made.__dict__.update(attributes)
    return made


def result(**changes: object) -> dict[str, Any]:
    return {"name": "speed", "value": 12345.6, "unit": "/s", "target": "≥ 2", "met": True} | changes


def test_every_benchmark_is_found_and_helpers_are_not() -> None:
    found = runner.discover()
    assert "probe" in found
    assert "__main__" not in found


def test_table_is_aligned() -> None:
    results = [
        {"benchmark": "relay", **result()},
        {"benchmark": "probe", **result(value=None, target=None, met=None)},
        {"benchmark": "probe", **result(name="a longer one", value=0.01234, met=False)},
    ]
    lines = runner.table(results).splitlines()
    assert len(lines) == 5
    assert lines[2].split() == ["relay:", "speed", "12,346", "/s", "≥", "2", "yes"]
    assert lines[3].split() == ["probe:", "speed", "-", "/s", "-", "-"]
    assert lines[4].endswith("NO")
    assert len({line.index("/s") for line in lines[2:]}) == 1


@pytest.fixture
def two_modules(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, ModuleType]:
    def broken(*, quick: object) -> list[dict[str, Any]]:
        raise RuntimeError(f"no server, quick={quick}")

    modules = {
        "good": module(run=lambda **_options: [result(met=False, repeats=[1, 2, 3])]),
        "bad": module(run=broken),
    }
    monkeypatch.setattr(runner, "discover", lambda: modules)
    monkeypatch.setattr(runner, "RESULTS", tmp_path / "results")
    return modules


@pytest.mark.usefixtures("two_modules")
def test_a_missed_target_is_said_and_is_no_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "new" / "bench.json"
    assert runner.main(["--only", "good", "--output", str(output)]) == 0
    assert "MISSED good: speed: 12,346 /s, target ≥ 2" in capsys.readouterr().out
    content = json.loads(output.read_text())
    assert content["missed"] == 1
    assert content["errors"] == {}
    assert content["results"][0]["repeats"] == [1, 2, 3]
    assert content["host"]["cpu_count"] > 0
    assert content["source"].keys() == {"commit", "modified"}


@pytest.mark.usefixtures("two_modules")
def test_one_that_fails_does_not_cost_the_others(capsys: pytest.CaptureFixture[str]) -> None:
    assert runner.main(["--quick"]) == 1
    out = capsys.readouterr().out
    assert "good: speed" in out
    assert "ERROR bad: RuntimeError: no server, quick=True" in out


def test_a_result_without_its_fields_is_an_error() -> None:
    _, errors = runner.run_all({"x": module(run=lambda **_options: [{"name": "a"}])}, quick=True)
    assert "lacks value, unit, target, met" in errors["x"]
