"""One host's clock is off, or set during a run: legs are right within their bound, or it is said.

A host is an agent and its probe; `faketime` shifts what they take for the time.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import verdict_codes
from tests.support.nats_servers import NatsServer
from tests.support.processes_lab import ProcessesLab

pytestmark = pytest.mark.integration

LIBRARIES = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
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


@pytest.fixture
def labs() -> Iterator[list[ProcessesLab]]:
    if not LIBRARIES:
        pytest.skip("libfaketime is not there: apt-get install faketime")
    made: list[ProcessesLab] = []
    yield made
    for lab in made:
        lab.end()


def make(
    directory: Path, server: NatsServer, agent: str, labs: list[ProcessesLab], faketime: Path
) -> ProcessesLab:
    """Return a lab whose `agent` is on a host of its own, by the clock that a file says."""
    lab = ProcessesLab(directory, {"nats": server}, {agent: FAR}, **LOAD)
    labs.append(lab)
    lab.environments[FAR] = {
        "LD_PRELOAD": str(LIBRARIES[0]),
        "FAKETIME_TIMESTAMP_FILE": str(faketime),
        "FAKETIME_NO_CACHE": "1",
        # A clock that is set leaves the time since the boot alone.
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        # The kernel's own, which it knows the starts of processes by.
        "NO_FAKE_STAT": "1",
    }
    return lab


MINUTE_MS = 60_000
YEAR_MS = 365 * 86_400_000


@pytest.mark.parametrize(
    ("agent", "skew_ms"),
    [
        ("consumers", -250),
        ("shuffler", 3),
        ("relay", 5 * MINUTE_MS),
        ("consumers", 5 * MINUTE_MS),
        ("shuffler", -5 * MINUTE_MS),
        ("consumers", 3 * YEAR_MS),
        ("consumers", -3 * YEAR_MS),
        ("shuffler", 3 * YEAR_MS),
        ("relay", -3 * YEAR_MS),
    ],
)
def test_legs_are_right_within_their_bound(
    agent: str, skew_ms: int, tmp_path: Path, nats_server: NatsServer, labs: list[ProcessesLab]
) -> None:
    faketime = tmp_path / "faketime"
    faketime.write_text(f"{skew_ms / 1000:+.3f}\n")
    lab = make(tmp_path, nats_server, agent, labs, faketime)
    lab.start()
    lab.wait()
    summary = lab.report()
    clock = summary["clock"][FAR]
    # What the NATS host's clock is ahead of this one's.
    assert clock["offset_ms"] == pytest.approx(-skew_ms, abs=clock["bound_ms"] + 0.05)
    assert clock["offset_at_start_ms"] == pytest.approx(-skew_ms, abs=5)
    assert not clock["stepped"]
    for name, leg in summary["latency_ms"].items():
        assert leg["count"], (name, summary["verdict"])
        assert leg["min"] >= -leg["clock_error_ms"] - 0.2, name
        compares = name in LEGS[agent]
        assert (leg["clock_error_ms"] > 0) >= compares, name
        if compares:
            # The quickest of hundreds; left as it was recorded it would be off by the skew.
            assert leg["min"] < max(2.5, min(abs(skew_ms) / 5, 50)), name
            assert leg["clock_error_ms"] < 20, name
    assert summary["ledger"]["unexplained"] == 0
    # They were told T0 by their own clock.
    assert summary["fidelity"]["start_spread_ms"] < 200
    assert all(event["begin_s"] < 10 for event in summary["events"])
    notes = verdict_codes.entries(summary, "note")
    noted = [one["host"] for one in notes if one["code"] == "clock_off"]
    assert noted == [FAR] * (abs(skew_ms) > 1000)
    assert set(verdict_codes.blamed(summary)) <= {"clock_unsure", "goal_missed"}


def test_a_clock_that_is_set_during_the_run_is_noticed(
    tmp_path: Path, nats_server: NatsServer, labs: list[ProcessesLab]
) -> None:
    faketime = tmp_path / "faketime"
    faketime.write_text("+0\n")
    lab = make(tmp_path, nats_server, "consumers", labs, faketime)
    lab.start()
    lab.sleep_until(3)
    faketime.write_text("+0.5\n")
    lab.wait()
    summary = lab.report()
    assert summary["verdict"]["status"] == "invalid"
    (clock_set,) = [one for one in verdict_codes.entries(summary) if one["code"] == "clock_set"]
    assert clock_set["host"] == FAR
    (step,) = clock_set["parameters"]["steps"]
    assert step["step_ms"] == pytest.approx(500, abs=1)


@pytest.mark.parametrize("skew", ["+300 x1.0003", "-94608000 x0.9997"])
def test_a_clock_that_drifts_is_followed(
    skew: str, tmp_path: Path, nats_server: NatsServer, labs: list[ProcessesLab]
) -> None:
    faketime = tmp_path / "faketime"
    faketime.write_text(f"{skew}\n")
    lab = make(tmp_path, nats_server, "consumers", labs, faketime)
    # What is slow or fast is the whole host.
    del lab.environments[FAR]["FAKETIME_DONT_FAKE_MONOTONIC"]
    lab.start()
    lab.wait()
    summary = lab.report()
    clock = summary["clock"][FAR]
    assert clock["drifting"]
    assert not clock["stepped"]
    for name in LEGS["consumers"]:
        leg = summary["latency_ms"][name]
        # libfaketime's drift begins with each process: those of a host differ by 0.3 ms for each
        # second between their starts.
        assert -leg["clock_error_ms"] - 1.4 <= leg["min"] < 2.5, name
    assert summary["ledger"]["unexplained"] == 0
    assert set(verdict_codes.blamed(summary)) <= {"clock_unsure", "goal_missed"}
