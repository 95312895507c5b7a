"""Samples are corrected by what lies between two hosts' clocks, and what is left is the error."""

from __future__ import annotations

import json
from array import array
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fpaas.bundle.loader import load_bundle
from fpaas.common_time import NS_PER_S
from fpaas.measures import figures, first_fetch
from fpaas.measures.first_fetch import Stored
from fpaas.measures.histograms import Leg, merge_logs, new_histogram, record_counts
from fpaas.probe.clock_bounds import DRIFT_MAX_PPM, OffsetTrack
from fpaas.probe.clock_steps import ClockSteps
from fpaas.records import events
from fpaas.records.events import EventLog
from fpaas.summary import summary
from tests.support import verdict_codes
from tests.support.raw_run import HOST, T0_UNIX_NS, RawRun

SAMPLES_US = st.lists(st.integers(-300_000, 300_000), min_size=1, max_size=50)


def leg_of(samples_us: list[int]) -> Leg:
    leg = Leg(new_histogram(), new_histogram())
    record_counts(leg.positive, Counter([sample for sample in samples_us if sample >= 0]))
    record_counts(leg.negative, Counter([-sample for sample in samples_us if sample < 0]))
    return leg


@given(SAMPLES_US, st.integers(-300_000, 300_000))
def test_a_shifted_leg_has_every_sample_moved(samples_us: list[int], shift_us: int) -> None:
    leg = leg_of(samples_us).shifted(shift_us)
    moved = sorted(sample + shift_us for sample in samples_us)
    assert leg.count == len(samples_us)
    for percentile, sample in ((0, moved[0]), (100, moved[-1])):
        found = leg.percentile_us(percentile)
        assert found is not None
        # Three digits of what was recorded, then three digits of what came out.
        assert abs(found - sample) <= 600_000 / 1024 + 1


@given(SAMPLES_US)
def test_a_leg_that_is_moved_by_nothing_is_the_same(samples_us: list[int]) -> None:
    leg = leg_of(samples_us)
    same = leg.shifted(0)
    assert (same.count, same.negative_count) == (leg.count, leg.negative_count)
    assert list(same.positive.counts) == list(leg.positive.counts)


@given(st.lists(st.integers(0, 4_000_000_000), max_size=50))
def test_counts_are_recorded_as_values_are(values_us: list[int]) -> None:
    one, other = new_histogram(), new_histogram()
    record_counts(one, Counter(values_us))
    record_counts(other, Counter(values_us))
    assert list(one.counts) == list(other.counts)
    assert (one.total_count, one.min_value, one.max_value) == (
        *(other.total_count, other.min_value, other.max_value),
    )


@example([(1, 1), (1002, 1), (265999, 1), (10117999, 1), (53661999, 1)], 500.0, 0)
@given(
    st.lists(st.tuples(st.integers(1, 10**10), st.integers(1, 10**6)), min_size=1, max_size=20),
    st.floats(-DRIFT_MAX_PPM, DRIFT_MAX_PPM),
    st.integers(0, 10**11),
)
def test_a_track_holds_the_true_offset(
    exchanges: list[tuple[int, int]], drift_ppm: float, at_ns: int
) -> None:
    def offset(time_ns: int) -> float:
        return 5_000_000 + drift_ppm * time_ns / 1e6

    time_ns, track = 0, []
    for pause_ns, rtt_ns in exchanges:
        time_ns += pause_ns
        true = round(offset(time_ns))
        track.append((time_ns, true - rtt_ns // 3, true + rtt_ns - rtt_ns // 3))
    low, high = OffsetTrack(track).at(at_ns)
    # The true offset and the bound are each rounded to a nanosecond.
    assert low - 1 <= offset(at_ns) <= high + 1


def test_steps_are_told_from_noise(tmp_path: Path) -> None:
    path = tmp_path / "probe.events.jsonl"

    def noted() -> list[tuple[int, object]]:
        found, _ = events.read(path)
        assert all(one.kind == events.CLOCK_SET for one in found)
        return [(one.begin_unix_ns, one.parameters["step_ms"]) for one in found]

    steps = ClockSteps(EventLog(path))
    second = 1_000_000_000
    steps.observe(1000 * second, 5 * second, 100)
    steps.observe(1001 * second + 400_000, 6 * second, 500_000)
    assert noted() == []
    steps.observe(1002 * second + 250_000_000, 7 * second, 100)
    steps.observe(1003 * second + 250_000_000, 8 * second, 100)
    first = (1002 * second + 250_000_000, 250)
    assert noted() == [first]
    steps.observe(1004 * second, 9 * second, 100)
    assert noted() == [first, (1004 * second, -250)]
    real = ClockSteps(EventLog(path))
    for _ in range(20):
        real.look()
    assert len(noted()) == 2


def test_a_first_fetch_may_be_before_it_was_stored() -> None:
    kept = array("I", [first_fetch.encode(age_ns) for age_ns in (-7_100_000, 0, 900_000)])
    kept.append(0)
    as_kept = first_fetch.corrected(kept, 0)
    assert first_fetch.earliest_units([as_kept]) == [-71, 0, 9, first_fetch.NEVER]
    # By a clock that is 10 ms behind; another process was earlier for one, and saw two more.
    other = array("I", [0, first_fetch.encode(-9_900_000), 0, 0, first_fetch.encode(5_000_000)])
    behind = first_fetch.corrected(other, 100)
    assert first_fetch.earliest_units([as_kept, behind]) == [-71, 0, 9, first_fetch.NEVER, 150]
    assert first_fetch.earliest_units([]) == []


@given(st.lists(st.integers(0, 60_000), min_size=1), st.sampled_from([-300, 200, 500]))
def test_a_first_fetch_is_corrected_by_the_time_of_the_fetch(
    ages_ms: list[int], drift_ppm: int
) -> None:
    def ahead_ms(unix_s: float) -> float:
        return (unix_s - T0_UNIX_NS / NS_PER_S) * drift_ppm / 1000

    count = len(ages_ms)
    stored = Stored(7, 7 + count, T0_UNIX_NS, T0_UNIX_NS + count * NS_PER_S)
    kept = array("I")
    for stored_ns, age_ms in zip(stored.times_ns(), ages_ms, strict=True):
        off_ms = ahead_ms(stored_ns / NS_PER_S + age_ms / 1000)
        kept.append(first_fetch.encode(round(1e6 * (age_ms + off_ms))))
    found = first_fetch.corrected_by_time(
        kept, stored, lambda unix_s: round(-10 * ahead_ms(unix_s))
    )
    for units, age_ms in zip(found, ages_ms, strict=True):
        assert units == pytest.approx(10 * age_ms, abs=2)


def test_merging_moves_each_second_by_its_own_correction(tmp_path: Path) -> None:
    run = RawRun()
    run.write(tmp_path / "run")
    path = tmp_path / "run" / "hosts" / HOST / "shuffler.hlog"
    plain = merge_logs([path])["due_to_read"]
    moved = merge_logs([path], shift_us=lambda _leg, at_s: 1000 * round(at_s % 3))["due_to_read"]
    assert moved.count == plain.count
    assert plain.max_us is not None
    assert moved.max_us is not None
    assert 2000 <= moved.max_us - plain.max_us + 10 <= 3100


#: Polls that take all there is, so that the youngest messages are fetched right away.
FRESH = {"bench_batch_size": 2000}


def with_clock(directory: Path, **clock: Any) -> dict[str, Any]:  # noqa: ANN401
    RawRun(FRESH).write(directory / "run", sealed=False)
    path = directory / "run" / "hosts" / HOST / "probe.json"
    probe = json.loads(path.read_text())
    probe["clock"] |= {name: value for name, value in clock.items() if name != "clock_steps"}
    probe["clock_steps"] = clock.get("clock_steps", [])
    path.write_text(json.dumps(probe))
    return summary.analyse(load_bundle(directory / "run"))


@pytest.mark.parametrize("offset_ms", [-250.0, 3.0, 250.0])
def test_legs_are_corrected_by_the_offset_and_keep_the_bound(
    offset_ms: float, tmp_path: Path
) -> None:
    plain = with_clock(tmp_path / "plain", offset_ms=0.0)["latency_ms"]
    moved = with_clock(tmp_path / "moved", offset_ms=offset_ms)["latency_ms"]
    for name in ("publish_to_fetch", "publish_to_first_fetch"):
        # Corrected, a few more were first fetched within the window than by the clock as it was.
        edge_ms = 10 * (moved[name]["count"] != plain[name]["count"])
        for column in ("min", "p50", "p99", "max"):
            apart_ms = moved[name][column] - plain[name][column]
            assert apart_ms == pytest.approx(
                offset_ms, rel=0.002, abs=0.2 + plain[name]["max"] / 500 + edge_ms
            )
        assert moved[name]["clock_error_ms"] == pytest.approx(
            0.08 + abs(offset_ms) / 2048, abs=1e-3
        )
        assert (moved[name]["negative_count"] > 0) == (offset_ms == -250)
    # These are one host's clock against itself.
    for name in ("publish_ack", "due_to_sent", "due_to_ack", "end_to_end", "fetch_call"):
        assert moved[name] == plain[name]


def test_clocks_that_drift_are_corrected_second_by_second(tmp_path: Path) -> None:
    RawRun(FRESH).write(tmp_path / "run", sealed=False)
    host = tmp_path / "run" / "hosts" / HOST
    # From 0 to 4 ms over 40 s: 100 ppm.
    exchanges = [
        {
            "unix_ns": T0_UNIX_NS + second * NS_PER_S,
            "phase": "during",
            "offset_low_ns": second * 100_000 - 50_000,
            "offset_high_ns": second * 100_000 + 50_000,
            "rtt_ns": 100_000,
        }
        for second in range(0, 41, 5)
    ]
    lines = "".join(json.dumps(exchange) + "\n" for exchange in exchanges)
    plain = summary.analyse(load_bundle(tmp_path / "run"))["latency_ms"]
    (host / "probe.clock.jsonl").write_text(lines)
    probe = json.loads((host / "probe.json").read_text())
    probe["clock"] |= {"bound_ms": 2.05, "offset_ms": 2.0, "drifting": True}
    (host / "probe.json").write_text(json.dumps(probe))
    drifted = summary.analyse(load_bundle(tmp_path / "run"))["latency_ms"]
    for name in ("publish_to_fetch", "publish_to_first_fetch"):
        # Less than the hull's 2.05 ms: what 500 ppm allow between two exchanges, and what they
        # allow from the middle of a second to its end.
        assert drifted[name]["clock_error_ms"] == pytest.approx(1.06 + 0.25, abs=0.01)
        assert 0.5 < drifted[name]["min"] - plain[name]["min"] < 3.5


def test_a_value_under_the_error_is_not_resolvable() -> None:
    assert figures.resolvable(1.0, 0.5)
    assert figures.resolvable(-1.0, 0.5)
    assert not figures.resolvable(0.4, 0.5)
    assert not figures.resolvable(None, 0.5)
    assert not figures.resolvable(1.0, None)
    leg = figures.leg_ms(leg_of([100, 200, 90_000]), 0.5)
    assert leg["not_resolvable"] == ["min", "p50"]


def test_a_clock_that_was_set_makes_a_run_invalid(tmp_path: Path) -> None:
    step = {"unix_ns": T0_UNIX_NS + 4 * NS_PER_S, "step_ms": 250.0}
    content = with_clock(tmp_path, clock_steps=[step])
    assert content["verdict"]["status"] == "invalid"
    (clock_set,) = [one for one in verdict_codes.entries(content) if one["code"] == "clock_set"]
    assert clock_set["parameters"] == {"steps": [{"step_ms": 250.0, "at_s": 4.0}]}


def test_less_than_nothing_beyond_the_bound_makes_a_run_invalid(tmp_path: Path) -> None:
    content = with_clock(tmp_path, offset_ms=-250.0)
    assert content["verdict"]["status"] == "invalid"
    assert "latency_negative" in verdict_codes.of_summary(content)


@pytest.mark.parametrize("offset_ms", [0.0, -7000.0])
def test_what_expired_by_age_is_told_by_one_clock(offset_ms: float, tmp_path: Path) -> None:
    """The shuffler's clock is 7 s ahead: by it, messages would have left 7 s too young."""
    RawRun().write(tmp_path / "run", sealed=False)
    run = tmp_path / "run"
    spec = json.loads((run / "run.json").read_text())
    spec["hosts"]["shuffler"] = ["other"]
    (run / "run.json").write_text(json.dumps(spec))
    (run / "hosts" / "other").mkdir()
    for path in [*(run / "hosts" / HOST).glob("shuffler.*")]:
        path.rename(run / "hosts" / "other" / path.name)
    for path in (run / "hosts" / HOST).glob("probe.*"):
        (run / "hosts" / "other" / path.name).write_bytes(path.read_bytes())
    samples = run / "hosts" / "other" / "shuffler.samples.jsonl"
    lines = [json.loads(line) for line in samples.read_text().splitlines()]
    for line in lines:
        line["unix_ns"] -= round(offset_ms * 1e6)
    samples.write_text("".join(json.dumps(line) + "\n" for line in lines))
    path = run / "hosts" / "other" / "probe.json"
    probe = json.loads(path.read_text())
    probe["clock"]["offset_ms"] = offset_ms
    path.write_text(json.dumps(probe))
    ledger = summary.analyse(load_bundle(run))["ledger"]
    assert ledger["lost"] == 0
    assert ledger["expired_by_cause"] == {"max_age": ledger["expired_unread"], "max_bytes": 0}
    assert ledger["expired_unread"] > 0
    path.unlink()
    assert summary.analyse(load_bundle(run))["ledger"]["expired_by_cause"] is None
