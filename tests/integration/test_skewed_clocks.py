"""One host's clock is off, or set during a run: legs are right within their bound, or it is said.

A host is an agent and its probe; `faketime` shifts what they take for the time.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support import verdict_codes
from tests.support.side_by_side import OwnLab, play_all

LIBRARIES = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(not LIBRARIES, reason="no libfaketime here: apt-get install faketime"),
]

FAR = "far"
LOAD: dict[str, Any] = {
    "bench_consumers": 4,
    "bench_poll_interval_s": 0.1,
    "bench_batch_size": 500,
    "bench_firehose_rate_per_s": 100,
    "bench_warmup_s": 1,
    "bench_measure_s": 4,
    "bench_drain_s": 1,
    # Another process would take seconds to come up, on a machine that is busy.
    "bench_workers": 1,
}
#: Legs that compare the clock of an agent's host with another.
LEGS = {
    "relay": ("due_to_read", "due_to_ack", "end_to_end"),
    "shuffler": ("due_to_read", "due_to_ack"),
    "consumers": ("publish_to_fetch", "publish_to_first_fetch", "end_to_end"),
}


class FarLab(OwnLab):
    """A lab whose `agent` is on a host of its own, by the clock that a file says."""

    def __init__(self, directory: Path, agent: str, faketime: str) -> None:
        super().__init__(directory, {agent: FAR}, **LOAD)
        self.clock_file = directory / "faketime"
        self.clock_file.write_text(f"{faketime}\n")
        self.environments[FAR] = {
            "LD_PRELOAD": str(LIBRARIES[0]),
            "FAKETIME_TIMESTAMP_FILE": str(self.clock_file),
            "FAKETIME_NO_CACHE": "1",
            # A clock that is set leaves the time since the boot alone.
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            # The kernel's own, which it knows the starts of processes by.
            "NO_FAKE_STAT": "1",
        }


MINUTE_MS = 60_000
#: What the quickest may take where others have the processors; skews of minutes show all the same.
CROWDED_MS = 20_000
YEAR_MS = 365 * 86_400_000


@pytest.mark.parametrize(
    ("agent", "skews_ms"),
    [
        ("consumers", (-250, 5 * MINUTE_MS, 3 * YEAR_MS, -3 * YEAR_MS)),
        ("shuffler", (3, -5 * MINUTE_MS, 3 * YEAR_MS)),
        pytest.param("relay", (5 * MINUTE_MS, -3 * YEAR_MS), marks=pytest.mark.matrix),
    ],
)
def test_legs_are_right_within_their_bound(
    agent: str, skews_ms: tuple[int, ...], tmp_path: Path
) -> None:
    labs = [FarLab(tmp_path / str(ms), agent, f"{ms / 1000:+.3f}") for ms in skews_ms]
    for skew_ms, summary in zip(skews_ms, play_all(labs, FarLab.finish), strict=True):
        check_legs(agent, skew_ms, summary)


def check_legs(agent: str, skew_ms: int, summary: dict[str, Any]) -> None:
    clock = summary["clock"][FAR]
    # What the NATS host's clock is ahead of this one's.
    assert clock["offset_ms"] == pytest.approx(-skew_ms, abs=clock["bound_ms"] + 0.05)
    assert clock["offset_at_start_ms"] == pytest.approx(-skew_ms, abs=5)
    assert not clock["stepped"]
    is_crowded = verdict_codes.is_crowded(summary)
    for name, leg in summary["latency_ms"].items():
        assert leg["count"], (name, summary["verdict"])
        assert leg["min"] >= -leg["clock_error_ms"] - 0.2, name
        compares = name in LEGS[agent]
        assert (leg["clock_error_ms"] > 0) >= compares, name
        if compares:
            # The quickest of hundreds; left as it was recorded it would be off by the skew.
            limit_ms = max(2.5, min(abs(skew_ms) / 5, 50))
            assert leg["min"] < (CROWDED_MS if is_crowded else limit_ms), name
            assert leg["clock_error_ms"] < 20, name
    assert summary["ledger"]["unexplained"] == 0
    # They were told T0 by their own clock.
    assert summary["fidelity"]["start_spread_ms"] < 200 or verdict_codes.is_busy(summary)
    assert all(event["begin_s"] < 60 for event in summary["events"])
    notes = verdict_codes.entries(summary, "note")
    noted = [one["host"] for one in notes if one["code"] == "clock_off"]
    assert noted == [FAR] * (abs(skew_ms) > 1000)
    assert set(verdict_codes.blamed(summary)) <= {"clock_unsure", "goal_missed"}


class SetDuringRun(FarLab):
    """Its far clock is set ahead by half a second, three seconds into the run."""

    def play(self) -> dict[str, Any]:
        """Play it, with the step."""
        self.sleep_until(3)
        self.clock_file.write_text("+0.5\n")
        return super().finish()


def test_a_clock_that_is_set_during_the_run_is_noticed(tmp_path: Path) -> None:
    (summary,) = play_all([SetDuringRun(tmp_path / "lab", "consumers", "+0")], SetDuringRun.play)
    assert summary["verdict"]["status"] == "invalid"
    (clock_set,) = [one for one in verdict_codes.entries(summary) if one["code"] == "clock_set"]
    assert clock_set["host"] == FAR
    (step,) = clock_set["parameters"]["steps"]
    assert step["step_ms"] == pytest.approx(500, abs=1)


class Drifting(FarLab):
    """The whole of its far host is slow or fast."""

    def __init__(self, directory: Path, faketime: str, shared: str) -> None:
        super().__init__(directory, "consumers", faketime)
        del self.environments[FAR]["FAKETIME_DONT_FAKE_MONOTONIC"]
        self.environments[FAR]["FAKETIME_SHARED"] = shared


@contextmanager
def shared_start() -> Iterator[str]:
    """Give what lets the processes of a host drift from one moment on.

    Without it the drift of each begins with the process itself, so that two processes of one host
    differ by 0.3 ms for each second between their starts.
    """
    command = ["faketime", "-f", "+0", "sh", "-c", 'echo "$FAKETIME_SHARED"; read -r _']
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdin
        assert holder.stdout
        yield holder.stdout.readline().strip()
        holder.stdin.close()


def test_a_clock_that_drifts_is_followed(tmp_path: Path) -> None:
    with shared_start() as first, shared_start() as second:
        labs = [
            Drifting(tmp_path / "ahead", "+300 x1.0003", first),
            Drifting(tmp_path / "behind", "-94608000 x0.9997", second),
        ]
        for summary in play_all(labs, Drifting.finish):
            check_drift(summary)


def check_drift(summary: dict[str, Any]) -> None:
    clock = summary["clock"][FAR]
    assert clock["drifting"]
    assert not clock["stepped"]
    for name in LEGS["consumers"]:
        leg = summary["latency_ms"][name]
        limit_ms = CROWDED_MS if verdict_codes.is_crowded(summary) else 5
        assert -leg["clock_error_ms"] - 0.2 <= leg["min"] < limit_ms, name
    assert summary["ledger"]["unexplained"] == 0
    assert set(verdict_codes.blamed(summary)) <= {"clock_unsure", "goal_missed"}
