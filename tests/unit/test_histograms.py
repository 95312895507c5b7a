from __future__ import annotations

import math
from collections import Counter
from pathlib import Path

import pytest
from hdrh.histogram import HdrHistogram
from hypothesis import given
from hypothesis import strategies as st

from fpaas.measures.histogram_log import (
    HIGHEST_US,
    HistogramLog,
    Recorder,
    counts_indices,
    encode,
    lines_of,
)
from fpaas.measures.histograms import merge_logs, new_histogram, read_log, record_counts

VALUES_US = st.lists(
    st.one_of(st.integers(0, 5000), st.integers(0, HIGHEST_US), st.integers(0, 10 * HIGHEST_US)),
    max_size=200,
)


def reference(values_us: list[int]) -> HdrHistogram:
    histogram = new_histogram()
    for value in values_us:
        if not is_beyond(value):
            assert histogram.record_value(value)
    return histogram


def is_beyond(value_us: int) -> bool:
    """Values that share the highest bucket are as good as the highest."""
    return bool(value_us > new_histogram().get_highest_equivalent_value(HIGHEST_US))


def figures(histogram: HdrHistogram) -> tuple[object, ...]:
    return (
        histogram.get_total_count(),
        histogram.get_min_value(),
        histogram.get_max_value(),
        list(histogram.counts),
        [histogram.get_value_at_percentile(p) for p in (0, 1, 50, 90, 99, 99.9, 100)],
    )


@given(VALUES_US)
def test_recording_a_list_equals_recording_each_value(values_us: list[int]) -> None:
    histogram = new_histogram()

    assert record_counts(histogram, Counter(values_us)) == sum(map(is_beyond, values_us))

    assert figures(histogram) == figures(reference(values_us))


@given(VALUES_US)
def test_a_log_has_what_the_library_would_write(values_us: list[int]) -> None:
    within = [value for value in values_us if not is_beyond(value)]
    expected = reference(within)

    assert encode(Counter(counts_indices(within))) == expected.encode().decode()
    for line in lines_of("leg", [value * 1000 for value in within], 0, 1):
        assert line.max_us == expected.get_max_value()


@given(VALUES_US, VALUES_US)
def test_a_histogram_can_be_recorded_into_twice(first: list[int], second: list[int]) -> None:
    histogram = new_histogram()

    record_counts(histogram, Counter(first))
    record_counts(histogram, Counter(second))

    assert figures(histogram) == figures(reference(first + second))


@pytest.mark.parametrize("bits", range(1, 32))
def test_powers_of_two_fall_on_the_right_side(bits: int) -> None:
    around = [value for value in (2**bits - 1, 2**bits, 2**bits + 1) if value <= HIGHEST_US]
    histogram = new_histogram()

    record_counts(histogram, Counter(around))

    assert figures(histogram) == figures(reference(around))


@given(st.lists(st.integers(-(10**12), 10**13), max_size=100))
def test_no_sample_is_dropped_or_clamped_at_zero(samples_ns: list[int]) -> None:
    recorder = Recorder("leg")
    recorder.samples_ns.extend(samples_ns)

    counts = Counter({line.tag: line.counts.total() for line in recorder.take(1000.0, 1001.0)})

    beyond_us = [v // 1000 if v >= 0 else -v // 1000 for v in samples_ns]
    assert counts["leg"] + counts["leg.beyond"] == sum(v >= 0 for v in samples_ns)
    assert counts["leg.negative"] + counts["leg.negative.beyond"] == sum(v < 0 for v in samples_ns)
    assert counts["leg.beyond"] + counts["leg.negative.beyond"] == sum(map(is_beyond, beyond_us))
    assert list(recorder.take(1001.0, 1002.0)) == []


def test_what_is_beyond_an_hour_is_counted_and_never_taken_for_an_hour(tmp_path: Path) -> None:
    path = tmp_path / "agent.hlog"
    recorder = Recorder("leg")
    log = HistogramLog(path, [recorder], start_unix_s=1000.0)
    recorder.samples_ns += [1_000_000, 2 * HIGHEST_US * 1000, -3 * HIGHEST_US * 1000]
    log.close(1001.0)

    leg = merge_logs([path])["leg"]

    assert (leg.count, leg.negative_count, leg.out_of_range_count) == (3, 1, 2)
    assert leg.percentile_bounds_us(50)[0] == pytest.approx(1000, rel=2e-3)
    # Nothing but "more than an hour" is known of the largest.
    assert leg.percentile_bounds_us(100) == (HIGHEST_US, None)


@given(st.lists(st.lists(st.integers(-(10**7), 10**10), max_size=30), min_size=1, max_size=4))
def test_logs_merge_to_what_was_recorded(
    tmp_path_factory: pytest.TempPathFactory, intervals: list[list[int]]
) -> None:
    path = tmp_path_factory.mktemp("log") / "agent.hlog"
    recorder = Recorder("leg")
    log = HistogramLog(path, [recorder], start_unix_s=1000.0)
    for second, samples_ns in enumerate(intervals):
        recorder.samples_ns.extend(samples_ns)
        log.end_interval(1001.0 + second)
    log.close(1001.0 + len(intervals))

    leg = merge_logs([path]).get("leg")

    samples_us = sorted(
        value // 1000 if value >= 0 else -(-value // 1000)
        for samples_ns in intervals
        for value in samples_ns
    )
    if not samples_us:
        assert leg is None
        return
    assert leg is not None
    assert leg.count == len(samples_us)
    assert leg.negative_count == sum(v < 0 for samples in intervals for v in samples)
    for percentile in (50, 90, 99, 100):
        exact = samples_us[max(1, math.ceil(percentile / 100 * len(samples_us))) - 1]
        got = leg.percentile_us(percentile)
        assert got is not None
        assert got == pytest.approx(exact, rel=2e-3, abs=1)


@given(st.lists(st.lists(st.integers(0, 10**13), max_size=30), min_size=1, max_size=4))
def test_logs_merge_as_the_library_merges_them(
    tmp_path_factory: pytest.TempPathFactory, intervals: list[list[int]]
) -> None:
    path = tmp_path_factory.mktemp("log") / "agent.hlog"
    recorder = Recorder("leg")
    log = HistogramLog(path, [recorder], start_unix_s=1000.0)
    for second, samples_ns in enumerate(intervals):
        recorder.samples_ns.extend(samples_ns)
        log.end_interval(1001.0 + second)
    log.close(1001.0 + len(intervals))
    expected = new_histogram()
    for interval in read_log(path):
        if interval.tag == "leg":
            expected.decode_and_add(interval.payload)
    leg = merge_logs([path]).get("leg")
    if leg is not None:
        assert figures(leg.positive) == figures(expected)


def test_a_histogram_of_another_layout_is_merged_by_its_values(tmp_path: Path) -> None:
    other = HdrHistogram(1, 60_000_000, 2)
    for value_us in (100, 2_000_000):
        other.record_value(value_us)
    path = tmp_path / "agent.hlog"
    path.write_text(f"Tag=leg,1000.000,1.000,2000.000,{other.encode().decode()}\n")
    leg = merge_logs([path])["leg"]
    assert leg.count == 2
    assert leg.percentile_us(100) == pytest.approx(2_000_000, rel=0.01)


def test_warm_up_is_cut_by_the_middle_of_an_interval(tmp_path: Path) -> None:
    path = tmp_path / "agent.hlog"
    recorder = Recorder("leg")
    log = HistogramLog(path, [recorder], start_unix_s=1000.0)
    for second in range(10):
        recorder.samples_ns.append(1_000_000)
        log.end_interval(1001.0 + second)
    log.close(1010.0)

    legs = merge_logs([path], from_unix_s=1004.0, until_unix_s=1007.0)

    assert legs["leg"].count == 3


def test_a_torn_last_line_is_passed_by(tmp_path: Path) -> None:
    path = tmp_path / "agent.hlog"
    recorder = Recorder("leg")
    log = HistogramLog(path, [recorder], start_unix_s=1000.0)
    for second in range(2):
        recorder.samples_ns.append(1_000_000)
        log.end_interval(1001.0 + second)
    log.close(1002.0)
    text = path.read_text()
    path.write_text(text[: len(text) - 20])

    assert len(list(read_log(path))) == 1
