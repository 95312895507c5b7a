"""A frontier over two variables: which load is tried next, and where it runs."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Callable

import pytest

from fpaas.search.capacity import FAILS, HOLDS, INVALID, RUNS_MAX, StoppedBy
from fpaas.search.frontier import Grid, Load, Row, decide

GRID = Grid((125, 250, 500, 1000, 2000, 4000, 8000), (5, 3, 2, 1, 0.5))


def search(grid: Grid, verdict: Callable[[Load], str]) -> tuple[list[Row], dict[Load, list[str]]]:
    verdicts: dict[Load, list[str]] = defaultdict(list)
    while not isinstance(step := decide(grid, verdicts), list):
        verdicts[step].append(verdict(step))
    return step, verdicts


@pytest.mark.parametrize("polls_per_s", [1, 30, 100, 333, 800, 1600, 5000, 10**6])
def test_the_frontier_is_where_it_is_by_few_points(polls_per_s: float) -> None:
    def verdict(load: Load) -> str:
        return HOLDS if load[0] / load[1] <= polls_per_s else FAILS

    rows, verdicts = search(GRID, verdict)
    for row in rows:
        holding = [one for one in GRID.columns if one / row.value <= polls_per_s]
        failing = [one for one in GRID.columns if one / row.value > polls_per_s]
        assert row.holds_at == max(holding, default=None)
        assert row.stopped_at == min(failing, default=None)
    assert len(verdicts) <= GRID.points_max == 11
    assert [row.value for row in rows] == list(GRID.rows)


def test_a_run_that_does_not_hold_is_repeated_and_one_that_holds_is_not() -> None:
    _, verdicts = search(GRID, lambda load: HOLDS if load[0] <= 1000 else FAILS)
    assert all(runs in ([HOLDS], [FAILS, FAILS]) for runs in verdicts.values())


def test_one_bad_run_moves_no_frontier() -> None:
    bad = iter([FAILS])
    rows, verdicts = search(Grid((1, 2), (1,)), lambda _: next(bad, HOLDS))
    assert verdicts == {(2, 1): [FAILS, HOLDS, HOLDS]}
    assert rows == [Row(1, 2, None, StoppedBy.RANGE)]


def test_whose_limit_it_is_is_said_and_stays_so_for_heavier_rows() -> None:
    rows, _ = search(Grid((1, 2), (3, 1)), lambda load: INVALID if load[0] == 2 else HOLDS)
    assert {(row.holds_at, row.stopped_at, row.stopped_by) for row in rows} == {
        (1, 2, StoppedBy.GENERATOR)
    }


def test_where_nothing_holds_there_is_no_value() -> None:
    rows, verdicts = search(Grid((1, 2), (3, 1)), lambda _: FAILS)
    assert rows == [Row(3, None, 1, StoppedBy.SYSTEM), Row(1, None, 1, StoppedBy.SYSTEM)]
    assert set(verdicts) == {(1, 3), (2, 3)}


def test_runs_that_never_agree_end_it_all_the_same() -> None:
    turn = itertools.cycle([FAILS, HOLDS])
    rows, verdicts = search(Grid((1,), (1,)), lambda _: next(turn))
    assert len(verdicts[1, 1]) <= RUNS_MAX
    assert rows
