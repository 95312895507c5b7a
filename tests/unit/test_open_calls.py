from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fpaas.consumers.schedule import PollSchedule
from fpaas.firehose.pace import AtRate
from fpaas.latency.open_calls import (
    BegunDue,
    CallWindow,
    FramesDue,
    PollsDue,
    Process,
    WakeUpsDue,
    complete,
)
from fpaas.measures.calls import Bins
from fpaas.measures.histograms import Leg, new_leg, record_counts, start_ms
from fpaas.measures.intervals import IntervalSet
from fpaas.measures.wake_ups import WAKE_UP_INTERVAL_NS, wake_ups_between
from fpaas.records.calls import CallFigures
from fpaas.records.relay import RelaySample
from fpaas.spec import NS_PER_S, RunSpec, Scenario, Topology, build, read_variables

T0 = 1_800_000_000_123_456_789
TOPOLOGY = Topology(
    hosts={agent: ["h"] for agent in ("relay", "nats", "shuffler", "consumers")},
    nats_url="nats://h:4222",
    nats_monitoring_url="http://h:8222",
    relay_url="ws://h:2470",
)
SPEC = replace(
    build(
        read_variables({}),
        run_id="20260101T000000Z-test",
        scenario=Scenario("test", "test", "test"),
        topology=TOPOLOGY,
        first_seq=1,
    ),
    t0_unix_ns=T0,
)
BINS = Bins(T0)
WINDOW = CallWindow.of(BINS, T0 + NS_PER_S, T0 + 4 * NS_PER_S)
END = T0 + 10 * NS_PER_S


def at_rate(rate_per_s: float) -> RunSpec:
    return replace(SPEC, firehose=replace(SPEC.firehose, rate_per_s=rate_per_s))


@dataclass(frozen=True)
class Steady:
    """Ten calls a second, of which some have no answer."""

    without_answer: int = 0

    def count(self, from_ns: int, until_ns: int) -> int:
        return 10 * round((until_ns - from_ns) / NS_PER_S)

    def unanswered(self, _from_ns: int, _until_ns: int) -> int:
        return self.without_answer


def process(
    *, died: bool = False, due: Steady | None = None, sampled_s: float = 9, **calls: CallFigures
) -> Process:
    sample = RelaySample(
        unix_ns=T0 + round(sampled_s * NS_PER_S),
        offered=0,
        ignored=0,
        sent=0,
        replayed=0,
        subscribers=0,
        blocked_s=0.0,
        calls=calls,
    )
    return Process(BINS, {"leg": due or Steady()}, sample, died, END)


def answered(*per_second: int) -> dict[str, Leg]:
    """Return a leg with a number of calls of 1 ms in each second of the window."""
    leg = new_leg()
    record_counts(leg.positive, Counter([1000] * sum(per_second)))
    for second, count in enumerate(per_second, start=1):
        leg.by_start[start_ms(T0 / NS_PER_S + second)] += count
    return {"leg": leg}


# -- what fell due ---------------------------------------------------------------------------------


@given(
    st.floats(0.1, 5000),
    st.integers(0, 200),
    st.tuples(st.integers(0, 5 * NS_PER_S), st.integers(0, 5 * NS_PER_S)).map(sorted),
    st.sets(st.integers(0, 200)),
    st.sets(st.integers(0, 200)),
)
def test_frames_due_are_those_of_the_schedule(
    rate_per_s: float, offered: int, stretch: list[int], done: set[int], excluded: set[int]
) -> None:
    done -= excluded
    due = FramesDue(at_rate(rate_per_s), offered, intervals(done), intervals(excluded))
    from_ns, until_ns = T0 + stretch[0], T0 + stretch[1]
    due_ns = AtRate(rate_per_s).due_ns
    expected = [
        index
        for index in range(offered)
        if index not in excluded and from_ns <= T0 + due_ns(index) < until_ns
    ]

    assert due.count(from_ns, until_ns) == len(expected)
    assert due.unanswered(from_ns, until_ns) == sum(index not in done for index in expected)


def intervals(values: set[int]) -> IntervalSet:
    return IntervalSet((value, value) for value in sorted(values))


@given(st.integers(0, 10 * NS_PER_S), st.integers(0, 10 * NS_PER_S), st.integers(0, 3))
def test_polls_due_end_when_polling_ends(a: int, b: int, consumers: int) -> None:
    schedule = PollSchedule(T0, 700_000_000, 50, seed=3)
    until = T0 + 6 * NS_PER_S
    from_ns, until_ns = T0 + min(a, b), T0 + max(a, b)
    due = PollsDue([(schedule, range(5, 5 + consumers))], until, BegunDue({}))
    expected = 0
    for consumer in range(5, 5 + consumers):
        at, poll = schedule.first_due(consumer), 0
        while at < until:
            expected += from_ns <= at < until_ns
            poll += 1
            at = schedule.next_due(consumer, poll, at)

    assert due.count(from_ns, until_ns) == expected
    begun_at = T0 + 2 * NS_PER_S
    more = due.with_begun({begun_at: 2}).count(from_ns, until_ns)
    assert more == expected + (2 if from_ns <= begun_at < until_ns else 0)


@given(st.integers(-NS_PER_S, 3 * NS_PER_S), st.integers(-NS_PER_S, 3 * NS_PER_S))
def test_wake_ups_due_are_on_a_grid_from_t0(a: int, b: int) -> None:
    from_ns, until_ns = T0 + min(a, b), T0 + max(a, b)
    grid = range(T0, T0 + 4 * NS_PER_S, WAKE_UP_INTERVAL_NS)
    expected = sum(from_ns <= due < until_ns for due in grid)

    assert wake_ups_between(T0, from_ns, until_ns) == expected
    assert WakeUpsDue(T0).count(from_ns, until_ns) == expected


# -- the window ------------------------------------------------------------------------------------


@given(
    st.integers(0, 9 * NS_PER_S),
    st.integers(NS_PER_S, 9 * NS_PER_S),
    st.lists(st.integers(0, 10 * NS_PER_S), max_size=3),
)
def test_a_window_has_whole_stretches_without_a_gap(
    start: int, length: int, cuts: list[int]
) -> None:
    bins = Bins(T0, tuple(sorted(T0 + cut for cut in cuts)))
    window = CallWindow.of(bins, T0 + start, T0 + start + length)

    assert all(bins.bounds(first) == (first, end) for first, end in window.bounds)
    assert [end for _, end in window.bounds[:-1]] == [first for first, _ in window.bounds[1:]]
    assert abs(window.from_unix_ns - T0 - start) <= NS_PER_S // 2
    assert abs(window.until_unix_ns - T0 - start - length) <= NS_PER_S // 2


def test_a_window_between_cuts_is_exact() -> None:
    cuts = (T0 + 1_400_000_000, T0 + 3_200_000_000)
    window = CallWindow.of(Bins(T0, cuts), *cuts)

    assert (window.from_unix_ns, window.until_unix_ns) == cuts


# -- what is open ----------------------------------------------------------------------------------


def test_what_was_answered_needs_nothing() -> None:
    legs = answered(10, 10, 10)

    assert complete(legs, process(), WINDOW) == {"leg": 30}
    assert (legs["leg"].count, legs["leg"].open_count) == (30, 0)


def test_what_the_last_sample_has_as_open_counts_in_the_window_only() -> None:
    legs = answered(10, 10, 8)
    open_calls = CallFigures(open=[(0.0, 5, 9000.0), (3.0, 2, 5500.0), (4.0, 1, 5000.0)])

    assert complete(legs, process(leg=open_calls), WINDOW) == {"leg": 30}
    assert legs["leg"].open_count == 2
    assert legs["leg"].open_min_us == pytest.approx(5_500_000, rel=0.001)


def test_a_difference_that_nothing_explains_stays_one() -> None:
    legs = answered(10, 10, 8)

    assert complete(legs, process(), WINDOW) == {"leg": 30}
    assert legs["leg"].open_count == 0


def test_what_is_known_to_have_had_no_answer_is_open_until_nobody_looked() -> None:
    legs = answered(10, 10, 8)

    complete(legs, process(due=Steady(without_answer=2)), WINDOW)

    assert legs["leg"].open_count == 2
    assert legs["leg"].open_min_us == pytest.approx(6_000_000, rel=0.001)


def test_calls_of_several_stretches_and_one_age_are_all_counted() -> None:
    legs = answered(7, 8, 9)
    # Nobody looked for longer than the window.
    looked = replace(process(due=Steady(without_answer=6)), looked_until_unix_ns=T0)

    complete(legs, looked, WINDOW)

    assert legs["leg"].open_count == 6
    assert legs["leg"].open_min_us == 0


def test_whoever_died_left_the_rest_open() -> None:
    legs = answered(10, 4)

    complete(legs, process(died=True, sampled_s=1.5), WINDOW)

    leg = legs["leg"]
    assert (leg.count, leg.open_count) == (14, 16)
    # What fell due in its last second it may have answered at once; the rest nobody did.
    assert leg.open_min_us == 0
    assert leg.max_us == pytest.approx(6_000_000, rel=0.001)
    assert leg.percentile_us(50) == pytest.approx(1000, rel=0.001)
    assert leg.percentile_bounds_us(50)[1] is None


def test_a_leg_without_any_answer_is_there_all_the_same() -> None:
    legs: dict[str, Leg] = {}

    assert complete(legs, process(died=True, sampled_s=0), WINDOW) == {"leg": 30}
    assert (legs["leg"].count, legs["leg"].open_count) == (0, 30)
