"""Whatever becomes of a run: what was answered and what is open is all that fell due."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cbor2
import pytest

from fpaas.firehose.capture import LENGTH
from fpaas.measures.histogram_log import BY_BEGINNING
from fpaas.measures.wake_ups import WAKE_UP_INTERVAL_NS
from fpaas.spec import NS_PER_S
from tests.support import verdict_codes
from tests.support.processes_lab import LOAD_HOST
from tests.support.side_by_side import OwnLab, play_all

pytestmark = pytest.mark.integration

WARMUP_S, MEASURE_S, DRAIN_S = 2, 4, 8
END_S = WARMUP_S + MEASURE_S + DRAIN_S
RATE_PER_S = 50
LOAD: dict[str, Any] = {
    "bench_consumers": 10,
    "bench_poll_interval_s": 0.5,
    "bench_batch_size": 100,
    "bench_firehose_rate_per_s": RATE_PER_S,
    "bench_warmup_s": WARMUP_S,
    "bench_measure_s": MEASURE_S,
    "bench_drain_s": DRAIN_S,
}
OF_FRAMES = ("due_to_sent", "due_to_read", "due_to_ack")
OF_POLLS = ("fetch_call_intended", "poll_lateness_ms")
LEGS = (*OF_FRAMES, "publish_ack", "fetch_call", *OF_POLLS)


def figures_of(summary: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {**summary["latency_ms"], **summary["fidelity"]}


def unbalanced(summary: dict[str, Any], *more: str) -> Iterator[str]:
    """Name the legs of which what was due is not what was answered and what is open."""
    for name in (*LEGS, *more):
        leg = figures_of(summary)[name]
        if leg["due_count"] is None or leg["count"] + leg["open_count"] != leg["due_count"]:
            yield f"{name}: {leg}"


def was_there(summary: dict[str, Any]) -> bool:
    """Whether all took part from the window on: a busy machine may start a worker after it."""
    spread_ms = summary["fidelity"]["start_spread_ms"]
    return spread_ms is not None and spread_ms < 1000 * WARMUP_S


def wrong_of_whole(summary: dict[str, Any]) -> list[str]:
    """Say what of a run without a fault is open, missing, or not what its schedule asks for."""
    found = list(unbalanced(summary, "loop_lag_ms"))
    for name in LEGS:
        leg = figures_of(summary)[name]
        if leg["open_count"] or leg.get("missing_count"):
            found.append(f"{name}: open or missing: {leg}")
    return found


# -- whole runs ------------------------------------------------------------------------------------

WHOLE: dict[str, dict[str, Any]] = {
    "drain": {"bench_fetch": "drain", "bench_batch_size": 10},
    "shared": {"bench_delivery": "shared"},
    "partitioned": {"bench_delivery": "partitioned"},
    "per consumer, several workers": {
        "bench_connections": "per_consumer",
        "bench_workers": 2,
        "bench_fetch": "drain",
    },
    "capture": {"bench_workers": 2},
}
#: Of the capture's frames, every n-th is of a kind that is no event.
IGNORED_EVERY = 4


def capture(path: Path) -> Path:
    """Make a capture of which a quarter are no events."""

    def frame(seq: int) -> bytes:
        kind, body = "#identity", {"did": "did:plc:" + "a" * 24, "time": "2026-07-04T14:38:07.517Z"}
        if seq % IGNORED_EVERY == 0:
            kind, body = "#labels", {}
        header = cbor2.dumps({"op": 1, "t": kind}, canonical=True)
        return header + cbor2.dumps({"seq": seq, **body}, canonical=True)

    frames = [frame(seq) for seq in range(1, 2 * IGNORED_EVERY + 1)]
    path.write_bytes(b"".join(LENGTH.pack(len(one)) + one for one in frames))
    return path


def test_all_that_was_due_is_counted_in_whole_runs(tmp_path: Path) -> None:
    source = str(capture(tmp_path / "capture.bin"))
    names = list(WHOLE)
    labs = [
        OwnLab(
            tmp_path / str(number),
            **LOAD | WHOLE[name] | ({"bench_firehose_source": source} if name == "capture" else {}),
        )
        for number, name in enumerate(names)
    ]

    def play(lab: OwnLab) -> dict[str, Any]:
        codes = lab.wait()
        assert set(codes.values()) == {0}, codes
        return lab.report()

    summaries = dict(zip(names, play_all(labs, play), strict=True))
    whole = {name: summary for name, summary in summaries.items() if was_there(summary)}
    assert all(verdict_codes.is_busy(summaries[name]) for name in names if name not in whole)
    wrong = {name: wrong_of_whole(summary) for name, summary in whole.items()}
    assert wrong == {name: [] for name in whole}
    for name, summary in whole.items():
        frames = MEASURE_S * RATE_PER_S
        processes = 2 + WHOLE[name].get("bench_workers", 1)
        events = frames
        if name == "capture":
            events = frames - frames // IGNORED_EVERY
        legs = figures_of(summary)
        assert legs["due_to_sent"]["due_count"] == frames
        assert legs["due_to_ack"]["due_count"] == legs["due_to_read"]["due_count"] == events
        wake_ups = MEASURE_S * NS_PER_S // WAKE_UP_INTERVAL_NS
        assert legs["loop_lag_ms"]["due_count"] == processes * wake_ups
        assert summary["ledger"]["unexplained"] == 0
    if "capture" in whole:
        _trim_again(labs[names.index("capture")])
    if "drain" in whole:
        drained = figures_of(whole["drain"])
        # Whoever drains pulls again until nothing is left.
        assert drained["fetch_call"]["due_count"] > drained["poll_lateness_ms"]["due_count"]
        _report_by_the_old_rule(labs[names.index("drain")])


def _trim_again(lab: OwnLab) -> None:
    for warmup_s in (0, 3):
        summary = lab.report_again(warmup_s)
        assert wrong_of_whole(summary) == []
        frames = (WARMUP_S + MEASURE_S - warmup_s) * RATE_PER_S
        assert figures_of(summary)["due_to_sent"]["due_count"] == frames


def _report_by_the_old_rule(lab: OwnLab) -> None:
    """Make of a bundle what older versions left, and report it."""
    new = lab.report_again()
    host = lab.bundle / "hosts" / LOAD_HOST
    for log in host.glob("*.hlog"):
        lines = log.read_text().splitlines(keepends=True)
        log.write_text("".join(line for line in lines if not line.startswith(BY_BEGINNING)))
    for samples in host.glob("*.samples.jsonl"):
        content = [json.loads(line) for line in samples.read_text().splitlines()]
        for sample in content:
            sample.pop("calls", None)
        samples.write_text("".join(json.dumps(sample) + "\n" for sample in content))
    old = lab.report_again()
    for name, leg in old["latency_ms"].items():
        if name not in (*OF_FRAMES, "publish_ack", "fetch_call", "fetch_call_intended"):
            continue
        assert leg["assigned_by"] == "ended"
        assert leg["due_count"] is leg["open_count"] is leg["open_min_ms"] is None
        assert leg["missing_count"] is None
        assert leg["count"] > 0
        assert leg["p50"] == new["latency_ms"][name]["p50"]


# -- runs that end early ---------------------------------------------------------------------------


def test_all_that_was_due_is_counted_in_a_run_that_ends_early(tmp_path: Path) -> None:
    stopped_s = WARMUP_S + 1.5
    variables: tuple[dict[str, Any], ...] = ({"bench_fetch": "drain"}, {"bench_workers": 2})
    labs = [OwnLab(tmp_path / str(n), **LOAD | one) for n, one in enumerate(variables)]

    def play(lab: OwnLab) -> tuple[dict[str, Any], float, float]:
        """Return when it was asked to end, and when it had, in seconds after the warm-up."""
        lab.sleep_until(stopped_s)
        asked_s = time.time() - lab.spec.measure_from_unix_ns / NS_PER_S
        for agent in ("relay", "shuffler", "consumers"):
            os.kill(lab.pids(agent)[0], signal.SIGTERM)
        lab.wait_until_ended("relay")
        ended_s = time.time() - lab.spec.measure_from_unix_ns / NS_PER_S
        lab.wait()
        return lab.report(), asked_s, ended_s

    for summary, asked_s, ended_s in play_all(labs, play):
        assert list(unbalanced(summary)) == []
        frames = figures_of(summary)["due_to_sent"]["due_count"]
        least, most = (min(MEASURE_S, at_s) for at_s in (asked_s - 0.5, ended_s + 0.5))
        assert least * RATE_PER_S - 5 <= frames <= most * RATE_PER_S + 5
        assert summary["verdict"]["status"] == "invalid"


# -- parts that are killed -------------------------------------------------------------------------


@dataclass(frozen=True)
class Killed:
    """A part that is killed, and the legs that it leaves open."""

    agent: str
    at_s: float
    leaves_open: tuple[str, ...]
    variables: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.agent} at {self.at_s:g} s"


IN_THE_MIDDLE, BEFORE_THE_END = WARMUP_S + 1.5, WARMUP_S + MEASURE_S - 0.5
KILLED = [
    killed
    for at_s in (IN_THE_MIDDLE, BEFORE_THE_END)
    for killed in (
        Killed("relay", at_s, OF_FRAMES),
        # Nobody is left whom the relay could send anything.
        Killed("shuffler", at_s, OF_FRAMES),
        Killed("consumers", at_s, OF_POLLS, {"bench_workers": 2}),
    )
]
#: Of the time between its last sample and its death, nobody knows what a process answered.
UNKNOWN_S = 3
#: A relay still hands frames to the socket of a reader whose death it has not noticed; it notices
#: when it gets a processor.
NOTICED_WITHIN_S, NOTICED_WITHIN_CROWDED_S = 0.3, 3.0


def test_what_a_killed_part_left_is_open_with_its_age(tmp_path: Path) -> None:
    labs = [OwnLab(tmp_path / str(n), **LOAD | one.variables) for n, one in enumerate(KILLED)]
    killed = dict(zip(map(id, labs), KILLED, strict=True))

    def play(lab: OwnLab) -> list[str]:
        part = killed[id(lab)]
        lab.sleep_until(part.at_s)
        # Of the consumers, one of two workers.
        os.kill(lab.pids(part.agent)[-1], signal.SIGKILL)
        killed_s = time.time() - lab.spec.t0_unix_ns / NS_PER_S
        lab.wait()
        return [f"{part}: {what}" for what in _wrong_of_killed(lab.report(), part, killed_s)]

    assert [what for found in play_all(labs, play) for what in found] == []


def _wrong_of_killed(summary: dict[str, Any], part: Killed, killed_s: float) -> Iterator[str]:
    if summary["verdict"]["status"] != "invalid":
        yield "is not invalid"
    if not was_there(summary):
        return
    # What a process counted itself proves nothing once it was killed.
    own_count = {"shuffler": "publish_ack", "consumers": "fetch_call"}.get(part.agent)
    for what in unbalanced(summary):
        if not (own_count and what.startswith(own_count + ":")):
            yield what
    if own_count and figures_of(summary)[own_count]["due_count"] is not None:
        yield f"{own_count} is held against a count of the dead"
    window_end_s = WARMUP_S + MEASURE_S
    is_crowded = verdict_codes.is_crowded(summary)
    noticed_within_s = NOTICED_WITHIN_CROWDED_S if is_crowded else NOTICED_WITHIN_S
    due_per_s = dict.fromkeys(OF_FRAMES, RATE_PER_S) | dict.fromkeys(OF_POLLS, 20)
    for name, leg in figures_of(summary).items():
        if name not in part.leaves_open:
            # Answered by whoever is left, as long as there was anything to be answered.
            if name in (*OF_FRAMES, *OF_POLLS) and leg["open_count"]:
                yield f"{name} is open: {leg}"
            continue
        per_s = due_per_s[name] / (2 if part.agent == "consumers" else 1)
        dead_s = window_end_s - killed_s
        least = max(1.0, 0.8 * (dead_s - noticed_within_s) * per_s - 2)
        most = (dead_s + UNKNOWN_S) * per_s + 20
        if not least <= leg["open_count"] <= most:
            yield f"{name}: {leg['open_count']} open, not {least:g} to {most:g}"
        if leg["open_min_ms"] is None or leg["open_min_ms"] > 1000 * (END_S - killed_s + 1.1):
            yield f"{name}: open_min_ms {leg['open_min_ms']}"
        if part.at_s == IN_THE_MIDDLE and leg["max"] < 1000 * (END_S - killed_s - UNKNOWN_S) - 1:
            yield f"{name}: max {leg['max']}"
        if leg["at_least"].get("max", 0) is not None:
            yield f"{name}: at_least {leg['at_least']}"
