from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from fpaas.measures.calls import Bins, CallRecorder
from fpaas.measures.histogram_log import Recorder
from fpaas.records.calls import CallFigures, sampled
from fpaas.spec import NS_PER_S

T0 = 1_800_000_000_123_456_789
TIMES = st.integers(T0 - 3 * NS_PER_S, T0 + 10 * NS_PER_S)
BINS = st.builds(
    Bins,
    st.just(T0),
    st.lists(TIMES, max_size=4).map(sorted).map(tuple),
)


@given(BINS, TIMES)
def test_a_stretch_holds_its_time_and_no_cut_and_is_of_one_second(bins: Bins, at: int) -> None:
    start, end = bins.bounds(at)

    assert start <= at < end
    assert (start - T0) // NS_PER_S == (end - 1 - T0) // NS_PER_S
    assert not any(start < cut < end for cut in bins.cuts_unix_ns)
    # The same, wherever in it one asks.
    assert bins.bounds(start) == bins.bounds(end - 1) == (start, end)


@given(BINS, TIMES)
def test_a_sample_names_its_stretch(bins: Bins, at: int) -> None:
    start, end = bins.bounds(at)
    # Starts are rounded to µs: shorter stretches are no phases of any run.
    if end - start > 2_000:
        assert bins.at(bins.since_t0_s(start)) == (start, end)


@given(BINS, st.lists(st.tuples(TIMES, st.integers(-(10**6), 10**10)), max_size=50))
def test_splitting_into_stretches_loses_nothing(bins: Bins, calls: list[tuple[int, int]]) -> None:
    began = [at for at, _ in calls]
    values = [value for _, value in calls]

    found = list(bins.split(began, values))

    expected = Counter((bins.bounds(at), value) for at, value in calls)
    assert Counter(((start, end), v) for start, end, vs in found for v in vs) == expected
    assert len({start for start, _, _ in found}) == len(found)


@given(
    BINS,
    st.lists(st.tuples(TIMES, st.integers(0, 10**10)), max_size=30),
    st.lists(st.tuples(TIMES, st.integers(0, 10**10)), max_size=30),
)
def test_lines_have_every_call_where_it_began(
    bins: Bins, answered: list[tuple[int, int]], given_up: list[tuple[int, int]]
) -> None:
    recorder = CallRecorder("leg", bins)
    for began, took in answered:
        recorder.end(began, began + took)
    for began, age in given_up:
        recorder.give_up(began, began + age)

    lines = list(recorder.take(0, 0))

    # Cuts that are less than a float's precision apart have one start.
    found: Counter[tuple[str, float]] = Counter()
    for line in lines:
        found[line.tag, line.start_unix_s] += line.counts.total()
    expected = Counter(("leg", bins.bounds(began)[0] / NS_PER_S) for began, _ in answered)
    expected.update(("leg.open", bins.bounds(began)[0] / NS_PER_S) for began, _ in given_up)
    assert found == expected
    assert list(recorder.take(0, 0)) == []


def test_a_call_given_up_before_it_was_due_by_a_clock_set_back_has_no_age() -> None:
    recorder = CallRecorder("leg", Bins(T0))
    recorder.give_up(T0 + 5, T0)

    (line,) = recorder.take(0, 0)

    assert line.max_us == 0


def test_a_sample_has_what_began_since_the_last_and_what_is_open_now() -> None:
    recorder = CallRecorder("leg", Bins(T0, (T0 + NS_PER_S // 2,)))
    recorder.begin(T0, 3)
    recorder.begin(T0 + NS_PER_S // 2)
    recorder.begin(T0 + 2 * NS_PER_S, 2)
    recorder.still_open = lambda: [T0, T0 + 100_000_000, T0 + 2 * NS_PER_S]

    assert sampled([recorder], T0 + 3 * NS_PER_S)["leg"] == CallFigures(
        begun=[(0.0, 3), (0.5, 1), (2.0, 2)],
        open=[(0.0, 2, 2900.0), (2.0, 1, 1000.0)],
    )
    assert sampled([recorder], T0 + 3 * NS_PER_S)["leg"].begun == []


def test_without_stretches_nothing_is_written_and_nothing_kept() -> None:
    recorder = CallRecorder("leg")
    recorder.begin(T0)
    recorder.end(T0, T0 + 1)
    recorder.give_up(T0, T0 + 1)

    assert sampled([recorder], T0) == {"leg": CallFigures()}
    recorder.forget()
    assert list(recorder.take(0, 0)) == []
    assert recorder.samples_ns == recorder.began_unix_ns == []


def test_only_calls_are_sampled() -> None:
    recorders = [CallRecorder("call", Bins(T0)), Recorder("age")]

    assert sampled(recorders, T0) == {"call": CallFigures()}
