"""A fault explains one failure: another one of the same part costs the goal on failures."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support import verdict_codes
from tests.support.side_by_side import OwnLab, play_all

pytestmark = pytest.mark.integration

LOAD: dict[str, Any] = {
    "bench_consumers": 4,
    "bench_poll_interval_s": 0.5,
    "bench_batch_size": 400,
    "bench_firehose_rate_per_s": 100,
    "bench_warmup_s": 1,
    "bench_measure_s": 13,
    "bench_drain_s": 6,
    "bench_workers": 1,
    "bench_ack_wait_s": 2,
}
FAULT_AT_S, AGAIN_AT_S = 4, 9
NOTES = {
    "nats": "nats_restarted_recovered",
    "relay": "relay_restarted",
    "shuffler": "shuffler_restarted",
    "consumers": "workers_restarted",
}


class Faulty(OwnLab):
    """A run with a fault that kills a part; if `again`, somebody kills it once more."""

    def __init__(self, directory: Path, part: str, *, again: bool) -> None:
        fault = {"do": "kill", "on": part, "at_s": FAULT_AT_S}
        super().__init__(directory, **LOAD, bench_faults=[fault])
        self.part, self.again = part, again
        pid_file = ("--nats-pid-file", str(self.server.pid_file))
        self.arguments["probe"] = pid_file
        # This process starts it again, in place of a service manager.
        self.arguments["faults"] = (*pid_file, "--services", json.dumps({"start": ["true"]}))

    def play(self) -> dict[str, Any]:
        """Play it."""
        start_again: dict[str, Callable[[], None]] = {
            "nats": self._start_nats_again,
            "relay": self.start_relay_again,
            "shuffler": self.start_shuffler_again,
            "consumers": self.start_consumers_again,
        }
        self.sleep_until(FAULT_AT_S)
        start_again[self.part]()
        if self.again:
            self.sleep_until(AGAIN_AT_S)
            if self.part == "nats":
                self.server.kill()
                self.server.launch()
            else:
                self.kill(self.part)
                start_again[self.part]()
        self.wait()
        return self.report()

    def _start_nats_again(self) -> None:
        self.server.wait_until_ended()
        self.server.launch()


@pytest.mark.parametrize(
    "part",
    [
        "nats",
        *(pytest.param(part, marks=pytest.mark.matrix) for part in NOTES if part != "nats"),
    ],
)
def test_a_second_failure_is_no_part_of_the_fault(tmp_path: Path, part: str) -> None:
    labs = [Faulty(tmp_path / str(again), part, again=again) for again in (False, True)]
    for lab, summary in zip(labs, play_all(labs, Faulty.play), strict=True):
        invalid = set(verdict_codes.of_summary(summary, "invalid"))
        assert invalid <= verdict_codes.BUSY, summary["verdict"]["reasons"]
        notes = verdict_codes.entries(summary, "note")
        (note,) = [one for one in notes if one["code"] == NOTES[part]]
        assert note["parameters"]["by_itself"] == int(lab.again), note
        missed = verdict_codes.missed_goals(summary)
        assert ("failures_max" in missed) == lab.again, summary["verdict"]
        if part == "nats":
            # What a server's failure breaks for a moment is excused as long as it is a fault's.
            assert ("errors_max" in missed) == lab.again
