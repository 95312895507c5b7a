"""The judge of freezes can say no."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from fpaas.measures.figures import leg_ms
from fpaas.measures.histograms import new_leg, record_counts
from tests.support.freeze_arithmetic import NATS, Freeze

#: A window of 10 s with 50 calls a second, and a freeze of 4 s across its end.
DUES_S = [number / 50 for number in range(500)]
FREEZE = Freeze(NATS, 8.0, 12.0, slack_s=0.05)


def figures(latencies_s: list[float], open_ages_s: tuple[float, ...] = ()) -> dict[str, Any]:
    leg = new_leg()
    record_counts(leg.positive, Counter([round(one * 1e6) for one in latencies_s]))
    for age_s in open_ages_s:
        leg.add_open({round(age_s * 1e6): 1})
    return leg_ms(leg, 0.0, len(latencies_s) + len(open_ages_s))


def wrong(found: dict[str, Any]) -> list[str]:
    return list(FREEZE.waiting(DUES_S).wrong(found))


WAITED_S = [FREEZE.end_s - due if due >= FREEZE.begin_s else 0.001 for due in DUES_S]


def test_figures_with_the_whole_freeze_are_right() -> None:
    assert wrong(figures(WAITED_S)) == []


def test_calls_that_were_never_answered_are_right_with_their_ages() -> None:
    assert wrong(figures(WAITED_S[:400], tuple(WAITED_S[400:]))) == []


def test_figures_without_what_hung_at_the_end_are_wrong() -> None:
    assert wrong(figures(WAITED_S[:400])) != []


@pytest.mark.parametrize("factor", [0.5, 0.75, 1.3])
def test_a_freeze_of_another_length_is_wrong(factor: float) -> None:
    assert wrong(figures([one * factor for one in WAITED_S])) != []


def test_one_sample_for_the_whole_freeze_is_wrong() -> None:
    one_late = [0.001] * 499 + [4.0]
    assert any("p90" in what for what in wrong(figures(one_late)))


def test_a_count_of_its_own_that_differs_is_wrong() -> None:
    assert wrong(figures(WAITED_S) | {"due_count": 501}) != []
