from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from fpaas.commands.compare import command
from fpaas.results import comparison

values = st.lists(st.integers(0, 30).map(float), min_size=1, max_size=6)


def _summary(p99: float, lost: int = 0) -> dict[str, object]:
    return {"latency_ms": {"publish_ack": {"p99": p99}}, "ledger": {"lost": lost}}


def _u(before: tuple[float, ...], after: tuple[float, ...]) -> int:
    return sum(new > old for old in before for new in after)


@given(st.permutations(range(8)), st.integers(4, 4))
def test_p_value_is_the_share_of_arrangements_at_least_as_extreme(
    order: list[int], size: int
) -> None:
    ranks = [float(rank) for rank in order]
    before, after = tuple(ranks[:size]), tuple(ranks[size:])
    middle = size * size / 2
    distance = abs(_u(before, after) - middle)
    arrangements = [
        (chosen, tuple(r for r in ranks if r not in chosen))
        for chosen in itertools.combinations(ranks, size)
    ]
    extreme = sum(abs(_u(a, b) - middle) >= distance for a, b in arrangements)
    expected = min(1.0, extreme / len(arrangements))
    p_value = comparison.mann_whitney_p(before, after)
    assert p_value == pytest.approx(expected) or (p_value == 1.0 and distance == 0)


@given(values, values)
def test_the_test_is_symmetric(a: list[float], b: list[float]) -> None:
    assert comparison.mann_whitney_p(a, b) == comparison.mann_whitney_p(b, a)


def test_three_runs_a_side_can_never_be_significant() -> None:
    assert comparison.mann_whitney_p([1, 2, 3], [10, 11, 12]) is None
    assert comparison.mann_whitney_p([1, 2, 3, 4], [10, 11, 12, 13]) == pytest.approx(2 / 70)


def test_equal_runs_are_not_significant() -> None:
    assert comparison.mann_whitney_p([5.0] * 6, [5.0] * 6) == 1.0


def test_a_median_has_no_interval_below_six_runs() -> None:
    assert comparison.median_interval([1, 2, 3, 4, 5]) is None
    assert comparison.median_interval([6, 5, 4, 3, 2, 1]) == (1, 6)


def test_a_regression_is_found_and_noise_is_not() -> None:
    before = [_summary(p99) for p99 in (10.0, 10.2, 9.9, 10.1)]
    after = [_summary(p99) for p99 in (12.0, 12.2, 11.9, 12.1)]
    rows = comparison.compare(before, after)
    latency = next(row for row in rows if row.figure == "latency_ms.publish_ack.p99")
    assert latency.significant
    assert latency.worse
    assert latency.change_pct == pytest.approx(19.9, abs=0.1)
    assert comparison.regressions(rows, 10) == [latency]
    assert comparison.regressions(rows, 30) == []
    assert comparison.regressions(comparison.compare(before, before), 0) == []


def test_a_figure_that_was_not_measured_is_left_out() -> None:
    rows = comparison.compare([_summary(1.0)], [{"ledger": {"lost": None}}])
    assert rows == []


def _run(directory: Path, p99: float, consumers: int = 100) -> str:
    directory.mkdir()
    (directory / "summary.json").write_text(json.dumps(_summary(p99)))
    (directory / "run.json").write_text(json.dumps({"variables": {"bench_consumers": consumers}}))
    return str(directory)


def test_the_command_names_what_differs_and_exits_1_on_a_regression(tmp_path: Path) -> None:
    before = [_run(tmp_path / f"a{i}", 10 + i / 10) for i in range(4)]
    after = [_run(tmp_path / f"b{i}", 20 + i / 10, consumers=200) for i in range(4)]
    result = CliRunner().invoke(command, [*before, "vs", *after])
    assert result.exit_code == 1
    assert "bench_consumers: 100  ->  200" in result.output
    assert "worse (p=0.029)" in result.output
    assert CliRunner().invoke(command, [*before, "vs", *before]).exit_code == 0


@pytest.mark.parametrize("style", ["text", "json", "markdown"])
def test_single_runs_are_shown_but_never_called_different(tmp_path: Path, style: str) -> None:
    arguments = [_run(tmp_path / "a", 1), "vs", _run(tmp_path / "b", 99), "--format", style]
    result = CliRunner().invoke(command, arguments)
    assert result.exit_code == 0
    if style == "json":
        assert not any(row["significant"] for row in json.loads(result.output)["figures"])
    else:
        assert "too few runs" in result.output


@pytest.mark.parametrize("arguments", [["a", "b"], ["vs", "b"], ["nowhere", "vs", "nowhere"]])
def test_bad_arguments_exit_2(arguments: list[str]) -> None:
    assert CliRunner().invoke(command, arguments).exit_code == 2
