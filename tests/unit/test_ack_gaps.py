"""Stretches without an ack, and what they say of when a shuffler published again."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fpaas.common_time import NS_PER_MS
from fpaas.ledger.fault_account import first_ack_after
from fpaas.measures.calls import CallRecorder
from fpaas.records.shuffler import ShufflerSample
from fpaas.shuffler.ack_gaps import GAP_MIN_NS, AckGaps


def sample(gaps: AckGaps) -> ShufflerSample:
    """Write a sample, as once a second."""
    counts: dict[str, Any] = dict.fromkeys(
        ("read", "published", "duplicates", "failed", "unknown"), 0
    )
    connects: dict[str, Any] = {"relay_connects": 1, "nats_connects": 1, "in_flight": 0}
    found = gaps.find()
    return ShufflerSample(
        unix_ns=0,
        **counts,
        **connects,
        last_seq=None,
        last_stream_seq=None,
        calls=None,
        last_ack_unix_ns=gaps.last_unix_ns,
        ack_gaps=found,
    )


def samples_of(*lives: list[list[int]]) -> list[ShufflerSample]:
    """Return the samples of shufflers, one after the other, from their acks in ms by sample."""
    found = []
    for life in lives:
        recorder = CallRecorder("publish_ack")
        gaps = AckGaps(recorder)
        for acks_ms in life:
            recorder.forget()
            for at_ms in acks_ms:
                recorder.end((at_ms - 3) * NS_PER_MS, at_ms * NS_PER_MS)
            found.append(sample(gaps))
    return found


def after_ms(samples: list[ShufflerSample], at_ms: int) -> float | None:
    found = first_ack_after(samples, at_ms * NS_PER_MS)
    return None if found is None else found / NS_PER_MS


def test_the_first_ack_after_a_time() -> None:
    # One sample ended in a silence; and one had no ack at all.
    samples = samples_of([[100, 110, 900], [], [2500, 2510, 2520, 3000]])
    assert [one.ack_gaps for one in samples] == [
        [(None, 100 * NS_PER_MS), (110 * NS_PER_MS, 900 * NS_PER_MS)],
        [],
        [(900 * NS_PER_MS, 2500 * NS_PER_MS), (2520 * NS_PER_MS, 3000 * NS_PER_MS)],
    ]
    for at_ms, ack_ms in ((50, 100), (110, 900), (899, 900), (900, 2500), (2000, 2500)):
        assert after_ms(samples, at_ms) == ack_ms
    # Between two that follow at once: by when the next had come.
    assert after_ms(samples, 2505) == 2555
    assert after_ms(samples, 3000) is None


def test_a_shuffler_that_was_killed_and_started_again() -> None:
    samples = samples_of([[100, 110]], [[5000, 5010]])
    assert after_ms(samples, 3000) == 5000


@given(
    steps_ms=st.lists(st.integers(1, 200), min_size=1, max_size=40),
    sizes=st.lists(st.integers(0, 9), min_size=1, max_size=9),
    at_ms=st.integers(0, 3000),
)
def test_it_is_known_to_what_is_not_told(steps_ms: list[int], sizes: list[int], at_ms: int) -> None:
    acks_ms = [sum(steps_ms[: number + 1]) for number in range(len(steps_ms))]
    ends = [sum(sizes[:number]) for number in range(len(sizes) + 1)]
    parts = [acks_ms[first:last] for first, last in pairwise([*ends, len(acks_ms)])]
    known = after_ms(samples_of(parts), at_ms)
    true = min((one for one in acks_ms if one > at_ms), default=None)
    if true is None:
        assert known is None
    else:
        assert known is not None
        assert true <= known <= max(true, at_ms + GAP_MIN_NS / NS_PER_MS)
        assert known == pytest.approx(true, abs=GAP_MIN_NS / NS_PER_MS)
