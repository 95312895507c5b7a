"""The section on the relay of summary.json, and what the verdict makes of it."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest

from fpaas.bundle.loader import load_bundle
from fpaas.bundle.relay_silence import unless_paused
from fpaas.measures.intervals import IntervalSet
from fpaas.records import files
from fpaas.records.files import LineWriter
from fpaas.records.shuffler import NAME, SAMPLES, RelayGap, ShufflerResult, ShufflerSample
from fpaas.report.relay_table import relay_rows
from fpaas.report.written import NOT_MEASURED
from fpaas.spec import NS_PER_S
from fpaas.summary.summary import analyse
from tests.support.raw_run import HOST, T0_UNIX_NS, RawRun

#: Window: 5 … 35 s after T0.
WINDOW_S = 30


def at(seconds: float) -> int:
    return T0_UNIX_NS + round(seconds * NS_PER_S)


def summary(
    directory: Path,
    *,
    quiet: list[tuple[float, float]] | None = None,
    lag_s: dict[int, float] | None = None,
    paused_s: float = 0.0,
    foreign: bool = False,
    is_older: bool = False,
    values: dict[str, Any] | None = None,
    **changes: object,
) -> dict[str, Any]:
    run = RawRun(values=values or {})
    run.write(directory / "run", sealed=False)
    path = directory / "run/hosts" / HOST / NAME
    result = files.read(path, ShufflerResult)
    stretches = [(at(begin), at(end)) for begin, end in quiet or []]
    told = None if is_older else stretches
    files.write(path, msgspec.structs.replace(result, quiet=told, **changes))
    if lag_s is None and foreign and not is_older:
        lag_s = dict.fromkeys(range(-2, 45), 0.1)
    if lag_s is not None:
        samples = path.with_name(SAMPLES)
        lines = files.read_lines(samples, ShufflerSample).good
        writer = LineWriter(samples)
        for line in lines:
            second = round((line.unix_ns - T0_UNIX_NS) / NS_PER_S)
            writer.write(
                msgspec.structs.replace(
                    line,
                    lag_s=lag_s.get(second),
                    reading_paused_s=paused_s if second > 20 else 0.0,
                )
            )
        writer.close()
    if foreign:
        spec = directory / "run/run.json"
        content = msgspec.json.decode(spec.read_bytes())
        content["firehose"] |= {
            "rate_per_s": None,
            "first_seq": None,
            "relay_url": "wss://relay.test",
            "source": "wss://relay.test",
        }
        spec.write_bytes(msgspec.json.encode(content))
    return analyse(load_bundle(directory / "run"))


def codes(content: dict[str, Any]) -> set[str]:
    return {one["code"] for one in content["verdict"]["reason_codes"]}


@pytest.mark.parametrize("foreign", [True, False])
def test_a_relay_that_died_was_silent(tmp_path: Path, *, foreign: bool) -> None:
    content = summary(tmp_path, quiet=[(17, 37)], foreign=foreign)
    silent = content["relay"]["silent_s"]
    assert (silent["longest"], silent["total"]) == (18, 18)
    assert "relay_silent" in codes(content)
    assert content["verdict"]["status"] == "invalid"
    (event,) = [one for one in content["events"] if one["kind"] == "relay_silent"]
    assert (event["begin_s"], event["end_s"]) == (17, 35)
    assert content["relay"]["foreign"] is foreign


def test_silence_outside_the_window_is_none(tmp_path: Path) -> None:
    content = summary(tmp_path, quiet=[(0, 4.9), (35, 40)])
    assert content["relay"]["silent_s"]["total"] == 0
    assert not {"relay_silent", "relay_was_silent"} & codes(content)


def test_short_silence_is_noted(tmp_path: Path) -> None:
    content = summary(tmp_path, quiet=[(10, 12)])
    assert content["relay"]["silent_s"]["longest"] == 2
    assert "relay_was_silent" in codes(content)
    assert "relay_silent" not in codes(content)


def test_many_short_silences_are_too_much(tmp_path: Path) -> None:
    content = summary(tmp_path, quiet=[(at_s, at_s + 1.5) for at_s in range(6, 34, 5)])
    assert content["relay"]["silent_s"]["longest"] == 1.5
    assert "relay_silent" in codes(content)


def test_the_variable_is_the_limit(tmp_path: Path) -> None:
    values: dict[str, Any] = {"bench_relay_silent_max_s": 20}
    assert "relay_silent" not in codes(summary(tmp_path, quiet=[(10, 28)], values=values))
    (tmp_path / "other").mkdir()
    values = {"bench_relay_silent_max_s": 1.5}
    assert "relay_silent" in codes(summary(tmp_path / "other", quiet=[(10, 12)], values=values))


@pytest.mark.parametrize("rate", [1, 0.1])
@pytest.mark.parametrize("foreign", [True, False])
def test_a_slow_relay_is_not_silent(tmp_path: Path, rate: float, *, foreign: bool) -> None:
    between = 1 / rate
    quiet = [(n * between, (n + 1) * between) for n in range(int(36 * rate) + 1)]
    content = summary(
        tmp_path, quiet=quiet, values={"bench_firehose_rate_per_s": rate}, foreign=foreign
    )
    assert content["relay"]["silent_s"]["total"] == 0
    assert "relay_silent" not in codes(content)


def test_silence_of_a_fault_that_was_asked_for_is_no_reason(tmp_path: Path) -> None:
    fault = {"do": "silence", "on": "relay", "at_s": 10, "for_s": 8}
    values = {"bench_faults": [fault]}
    content = summary(tmp_path, quiet=[(10, 18.2)], values=values)
    silent = content["relay"]["silent_s"]
    assert (silent["longest"], silent["unasked_longest"]) == (8.2, 0)
    assert "relay_silent" not in codes(content)
    # But it has to recover.
    (tmp_path / "other").mkdir()
    content = summary(tmp_path / "other", quiet=[(10, 33)], values=values)
    assert content["relay"]["silent_s"]["unasked_longest"] == 10
    assert "relay_silent" in codes(content)


def test_our_own_pauses_cut_a_silence_only_at_its_end() -> None:
    def left(*pauses_s: tuple[float, float]) -> tuple[float, float] | None:
        pauses = [(round(begin * 1e9), round(end * 1e9)) for begin, end in pauses_s]
        found = unless_paused((10 * 10**9, 20 * 10**9), pauses)
        return found and (found[0] / 1e9, found[1] / 1e9)

    # Nothing was there when we went on: a relay that is silent for ten seconds was not for two.
    assert left() == left((12, 15)) == left((9, 11), (14, 19)) == (10, 20)
    # Events were there: nobody knows since when.
    assert left((12, 15), (17, 20)) == left((17, 19.9)) == left((17, 18), (18.2, 22)) == (10, 17)
    assert left((9, 21)) is None


def test_of_older_runs_nothing_is_said(tmp_path: Path) -> None:
    RawRun().write(tmp_path / "run")
    content = analyse(load_bundle(tmp_path / "run"))
    assert set(content["relay"]["silent_s"].values()) == {None}
    assert content["relay"]["gaps"] is None
    assert not {code for code in codes(content) if code.startswith("relay_s")}


def test_falling_behind(tmp_path: Path) -> None:
    lag_s = {second: 100 + second / 2 for second in range(-2, 45)}
    content = summary(tmp_path, lag_s=lag_s, foreign=True)
    assert content["relay"]["lag_growth_s"] == pytest.approx(14.5, abs=1.5)
    assert "relay_lagging" in codes(content)


@pytest.mark.parametrize(
    ("lag_s", "grown_s", "is_lagging"),
    [
        # A step, and a time behind from which it recovers.
        ({s: 0.1 + 1.4 * (s > 20) for s in range(-2, 45)}, 1.4, False),
        ({s: 0.1 + 20 * (s > 20) for s in range(-2, 45)}, 20, True),
        ({s: 0.1 + 6 * (20 < s < 25) for s in range(-2, 45)}, 6, True),
        # One event whose time is wrong.
        ({s: 0.1 + 900 * (s == 20) for s in range(-2, 45)}, 0, False),
        ({s: 0.1 - 900 * (s == 20) for s in range(-2, 45)}, 0, False),
    ],
)
def test_the_most_by_which_it_fell_behind_counts(
    tmp_path: Path, lag_s: dict[int, float], grown_s: float, *, is_lagging: bool
) -> None:
    content = summary(tmp_path, lag_s=lag_s, foreign=True)
    assert content["relay"]["lag_growth_s"] == pytest.approx(grown_s)
    assert ("relay_lagging" in codes(content)) == is_lagging


@pytest.mark.parametrize(
    "lag_s",
    [
        dict.fromkeys(range(-2, 45), 3600.0),
        dict.fromkeys(range(-2, 45), -5.0),
        # From a cursor: it catches up.
        {second: 100.0 - second for second in range(-2, 45)},
        # Recorded long ago, and played at another speed.
        {second: 1e7 + second for second in range(-2, 45)},
    ],
)
def test_a_constant_offset_is_no_falling_behind(tmp_path: Path, lag_s: dict[int, float]) -> None:
    content = summary(tmp_path, lag_s=lag_s, foreign=True)
    assert (content["relay"]["lag_growth_s"] or 0) <= 0
    assert "relay_lagging" not in codes(content)


@pytest.mark.parametrize(
    ("lag_s", "is_readable", "is_measured"),
    [
        # The times of none, of a third and of most events could be read.
        ({}, False, False),
        ({s: 0.1 for s in range(-2, 45) if s % 3 == 0}, False, True),
        ({s: 0.1 for s in range(-2, 45) if s % 3}, True, True),
        # A recording that is played.
        ({s: 1e7 for s in range(-2, 45) if s % 3 == 0}, True, True),
    ],
)
def test_a_relay_whose_times_cannot_be_read_may_have_fallen_behind(
    tmp_path: Path, lag_s: dict[int, float], *, is_readable: bool, is_measured: bool
) -> None:
    content = summary(tmp_path, lag_s=lag_s, foreign=True)
    assert (content["relay"]["lag_s"] is not None) == is_measured
    assert ("relay_times_unreadable" in codes(content)) != is_readable
    assert is_readable or content["verdict"]["status"] == "invalid"
    assert "relay_lag_unmeasured" not in codes(content)


def test_seconds_without_an_event_say_nothing_about_times(tmp_path: Path) -> None:
    RawRun(values={"bench_firehose_rate_per_s": 0.3}).write(tmp_path / "raw")
    samples = tmp_path / "raw/hosts" / HOST / SAMPLES
    lines = files.read_lines(samples, ShufflerSample).good
    came = {
        round((line.unix_ns - T0_UNIX_NS) / NS_PER_S): 0.1
        for before, line in pairwise(lines)
        if line.read > before.read
    }
    content = summary(tmp_path, lag_s=came, foreign=True, values={"bench_firehose_rate_per_s": 0.3})
    assert content["relay"]["timed_pct"] == 100
    assert "relay_times_unreadable" not in codes(content)


def test_a_window_too_short_for_a_trend_is_noted(tmp_path: Path) -> None:
    values: dict[str, Any] = {"bench_measure_s": 5}
    lag_s = dict.fromkeys(range(-2, 45), 0.1)
    content = summary(tmp_path, lag_s=lag_s, foreign=True, values=values)
    assert (content["relay"]["lag_s"], content["relay"]["lag_growth_s"]) == (0.1, None)
    # Its events are of today.
    rows = relay_rows(RawRun().spec, content)
    assert rows["fell behind real time by"] == NOT_MEASURED
    assert "relay_lag_unmeasured" in codes(content)
    assert "relay_times_unreadable" not in codes(content)


def test_lag_that_an_older_shuffler_did_not_measure_is_noted(tmp_path: Path) -> None:
    content = summary(tmp_path, foreign=True, is_older=True)
    assert content["relay"]["timed_pct"] is None
    assert "relay_lag_unmeasured" in codes(content)
    assert "relay_times_unreadable" not in codes(content)


def test_the_times_of_our_own_relay_do_not_matter(tmp_path: Path) -> None:
    assert not [code for code in codes(summary(tmp_path, lag_s={})) if code.startswith("relay_")]


def test_only_the_silence_beyond_its_limit_is_named(tmp_path: Path) -> None:
    for name, quiet, said in (
        ("long", [(10.0, 12.5)], ["at a stretch"]),
        ("many", [(at_s, at_s + 1.5) for at_s in (6.0, 11.0, 16.0, 21.0)], ["in all"]),
        ("both", [(17.0, 37.0)], ["at a stretch", "in all"]),
    ):
        (tmp_path / name).mkdir()
        values: dict[str, Any] = {"bench_relay_silent_max_s": 2.0}
        content = summary(tmp_path / name, quiet=quiet, values=values)
        (reason,) = [one for one in content["verdict"]["reasons"] if "no event came" in one]
        assert [words for words in ("at a stretch", "in all") if words in reason] == said


def test_our_own_pauses_are_no_lag_of_the_relays(tmp_path: Path) -> None:
    lag_s = {second: 0.1 + (10 if second > 20 else 0) for second in range(-2, 45)}
    content = summary(tmp_path, lag_s=lag_s, paused_s=16.0, foreign=True)
    assert content["relay"]["lag_growth_s"] == 0
    assert "relay_lagging" not in codes(content)


def gap(missing: int | None) -> RelayGap:
    return RelayGap(7, missing, at(10), "outdated_cursor")


def test_gaps(tmp_path: Path) -> None:
    content = summary(
        tmp_path, foreign=True, gaps=[gap(5)], gap_count=1, numbers_densely=True, seq_resets=1
    )
    assert content["relay"]["gaps"] == [
        {"after_seq": 7, "missing": 5, "at_s": 10, "cause": "outdated_cursor"}
    ]
    assert content["relay"]["missing"] == content["ledger"]["not_read"] == 5
    assert content["ledger"]["unexplained"] == 0
    assert {"relay_gaps", "relay_renumbered"} <= codes(content)
    assert "relay_incomplete" not in codes(content)


def test_gaps_of_unknown_size(tmp_path: Path) -> None:
    content = summary(tmp_path, foreign=True, gaps=[gap(None)], gap_count=1, numbers_densely=False)
    assert content["relay"]["missing"] is None
    assert content["ledger"]["not_read"] is None
    assert content["ledger"]["unexplained"] == 0
    assert "relay_gaps" in codes(content)


def test_numbers_that_are_left_out_as_a_matter_of_course_are_told(tmp_path: Path) -> None:
    content = summary(tmp_path, foreign=True, numbers_densely=False, jumps=70, jumped_seqs=75)
    assert content["ledger"]["not_read"] is None
    (note,) = [one for one in content["verdict"]["reason_codes"] if one["code"] == "relay_sparse"]
    assert (note["parameters"]["count"], note["parameters"]["numbers"]) == (70, 75)
    (tmp_path / "dense").mkdir()
    dense = summary(tmp_path / "dense", foreign=True, numbers_densely=True, jumps=1, jumped_seqs=1)
    assert "relay_sparse" not in codes(dense)


@pytest.mark.parametrize(("lag_s", "is_told"), [(3600.0, True), (-3600.0, True), (50.0, False)])
def test_a_clock_that_is_off_is_told(tmp_path: Path, lag_s: float, *, is_told: bool) -> None:
    content = summary(tmp_path, lag_s=dict.fromkeys(range(-2, 45), lag_s), foreign=True)
    assert content["relay"]["lag_s"] == lag_s
    assert ("relay_clock_off" in codes(content)) == is_told


def test_too_many_gaps_of_unknown_size(tmp_path: Path) -> None:
    content = summary(
        tmp_path, foreign=True, gaps=4 * [gap(None)], gap_count=4, numbers_densely=False
    )
    assert "relay_gaps_unknown" in codes(content)


def test_too_much_is_missing(tmp_path: Path) -> None:
    content = summary(
        tmp_path, foreign=True, gaps=[gap(100_000)], gap_count=1, numbers_densely=True
    )
    assert "relay_incomplete" in codes(content)


def test_too_many_repeats_and_resets(tmp_path: Path) -> None:
    again = summary(tmp_path, foreign=True, reread=5_000)
    assert "relay_unsteady" in codes(again)
    assert not [one for one in again["verdict"]["reasons"] if "renumbered" in one]
    (tmp_path / "other").mkdir()
    resets = summary(tmp_path / "other", foreign=True, seq_resets=11)
    assert "relay_unsteady" in codes(resets)
    assert not [one for one in resets["verdict"]["reasons"] if "again" in one]


def test_a_repeat_is_noted(tmp_path: Path) -> None:
    assert "relay_reread" in codes(summary(tmp_path, foreign=True, reread=1))


def test_frames_that_are_no_events_are_told(tmp_path: Path) -> None:
    content = summary(tmp_path / "foreign", foreign=True, ignored=37)
    assert content["relay"]["ignored"] == 37
    [note] = [note for note in content["notes"] if "no events" in note]
    assert "sent 37 frames that are no events; the shuffler skipped them" in note
    # Of our own relay, the ledger has them.
    assert "relay_ignored" not in codes(summary(tmp_path / "own", ignored=37))
    assert "relay_ignored" not in codes(summary(tmp_path / "none", foreign=True))


def test_after_the_firehose_s_end_no_relay_is_silent(tmp_path: Path) -> None:
    end_s = 35.0
    for quiet, expected in (
        ((31.0, 38.0), [(31.0, end_s)]),
        # What is left before the end is too short to be a silence.
        ((34.6, 38.0), []),
        ((36.0, 39.0), []),
    ):
        content = summary(tmp_path / str(quiet[0]), quiet=[quiet])
        found = [one for one in content["events"] if one["kind"] == "relay_silent"]
        assert [(one["begin_s"], one["end_s"]) for one in found] == expected
        assert content["relay"]["silent_s"]["longest"] == sum(b - a for a, b in expected)


def test_a_moment_of_silence_in_the_window_is_not_told_as_none(tmp_path: Path) -> None:
    content = summary(tmp_path, quiet=[(2.0, 5.03)])
    assert 0 < content["relay"]["silent_s"]["longest"] < 0.1
    assert not [note for note in content["notes"] if "no event came" in note]


def test_before_t0_no_relay_is_silent(tmp_path: Path) -> None:
    content = summary(tmp_path, quiet=[(-3.0, 0.1)])
    assert [one for one in content["events"] if one["kind"] == "relay_silent"] == []


def test_bad_frames_that_did_not_come_again_count_towards_the_limit(tmp_path: Path) -> None:
    few = summary(tmp_path / "few", foreign=True, undecodable=4, undecodable_once=6)
    assert few["relay"]["undecodable_once"] == 6
    assert "frames_undecodable" not in codes(few)
    many = summary(tmp_path / "many", foreign=True, undecodable=4, undecodable_once=7)
    assert many["verdict"]["status"] == "invalid"
    assert "frames_undecodable" in codes(many)


def test_events_that_come_again_under_new_numbers_are_repeats(tmp_path: Path) -> None:
    few, many = IntervalSet([(1_000_001, 1_000_300)]), IntervalSet([(1_000_001, 1_000_500)])
    assert "relay_unsteady" not in codes(summary(tmp_path, foreign=True, duplicates=few))
    (tmp_path / "other").mkdir()
    assert "relay_unsteady" in codes(summary(tmp_path / "other", foreign=True, duplicates=many))
