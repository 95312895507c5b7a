"""Whether a run's window was long enough for its load to settle."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from fpaas.control import settling
from fpaas.search import steady_state
from fpaas.search.steady_state import Unsettled, settled_after, unsettled


def noise(count: int, seed: int = 1) -> list[float]:
    drawn = random.Random(seed)
    return [100 + drawn.gauss(0, 2) for _ in range(count)]


def test_what_is_the_same_all_the_time_has_settled_from_the_start() -> None:
    assert settled_after([7.0] * 20) == 0
    assert settled_after([0.0] * 60) == 0


def test_what_comes_before_the_steady_state_is_found() -> None:
    found = settled_after([400.0, 250.0, 150.0, *noise(20)])
    assert found is not None
    assert 3 <= found <= 6
    # Five observations are one where there are many: to within them.
    assert settled_after([400.0, 250.0, 150.0, *([100.0] * 80)]) == 5


@pytest.mark.parametrize("count", [20, 60])
def test_what_grows_without_end_has_not_settled(count: int) -> None:
    assert settled_after([10.0 * at + one for at, one in enumerate(noise(count))]) is None


def test_noise_is_seldom_taken_for_a_change() -> None:
    false = sum(settled_after(noise(21, seed)) is None for seed in range(300))
    assert false < 300 * 0.05


def test_too_few_observations_say_nothing() -> None:
    assert settled_after([1.0] * (steady_state.OBSERVATIONS_MIN - 1)) is None
    assert unsettled({"a": [1.0, 9.0]}, 3, holds=True) is None


def test_a_load_that_still_grows_may_only_not_have_failed_yet() -> None:
    growing = [10.0 * at for at in range(20)]
    assert unsettled({"a": noise(20), "b": growing}, 3, holds=True) == Unsettled("b", None)
    # If it did fail, growing without end is why.
    assert unsettled({"b": growing}, 3, holds=False) is None


def test_what_failed_may_have_failed_before_it_settled() -> None:
    late = [900.0, 700.0, 500.0, 400.0, 300.0, *noise(20)]
    found = unsettled({"a": late}, 3, holds=False)
    assert found is not None
    assert found.after_s is not None
    assert 5 <= found.after_s <= 8
    assert unsettled({"a": late}, found.after_s, holds=False) is None
    # In spite of it, the goals were reached.
    assert unsettled({"a": late}, 3, holds=True) is None


def test_a_bundle_is_asked_for_what_its_window_has(tmp_path: Path) -> None:
    assert settling.unsettled(tmp_path, 3, 15, holds=True) is None
    (tmp_path / "figures").mkdir()
    rows = [f"calls_open,pulls,{second}.50,{10 * second}" for second in range(18)]
    # Draining is no part of it, nor is what nobody asked for.
    rows += [f"calls_open,pulls,{second}.50,0" for second in range(18, 40)]
    rows += [f"calls_open,publishes,{second}.50,3" for second in range(40)]
    text = "\n".join(["series,of,seconds_since_t0,value", *rows])
    (tmp_path / "figures/series.csv").write_text(text)
    found = settling.unsettled(tmp_path, 3, 15, holds=True)
    assert found == Unsettled("the number of pulls without answer", None)
