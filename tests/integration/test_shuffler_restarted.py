"""A shuffler that is killed in a run, and started again: its account goes on, to the event."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support import verdict_codes
from tests.support.all_delivered import check_all_delivered
from tests.support.nats_servers import NatsServer
from tests.support.processes_lab import ProcessesLab
from tests.support.side_by_side import OwnLab, play_all

pytestmark = pytest.mark.integration

LOAD: dict[str, Any] = {
    "bench_consumers": 4,
    "bench_poll_interval_s": 0.5,
    "bench_batch_size": 400,
    "bench_firehose_rate_per_s": 200,
    "bench_warmup_s": 1,
    "bench_measure_s": 9,
    "bench_drain_s": 6,
    "bench_workers": 1,
}
OFFERED = 2000


def kill_and_start_again(lab: ProcessesLab, at_s: float, away_s: float) -> None:
    lab.sleep_until(at_s)
    lab.kill("shuffler")
    lab.sleep_until(at_s + away_s)
    lab.start_shuffler_again()


class Restarted(OwnLab):
    """A run whose shuffler is killed at some times of it, and started again half a second later."""

    def __init__(self, directory: Path, kills_at_s: list[float], **variables: object) -> None:
        super().__init__(directory, **LOAD, **variables)
        self.kills_at_s = kills_at_s

    def play(self) -> dict[str, Any]:
        """Play it, with its kills."""
        for number, at_s in enumerate(self.kills_at_s, 2):
            kill_and_start_again(self, at_s, 0.5)
            self.wait_until_kept("shuffler.json", lives=number)
        codes = self.wait()
        assert set(codes.values()) == {0}, codes
        return self.report()


def test_the_ledger_balances_to_the_event(tmp_path: Path) -> None:
    # The last one's second life ends as soon as it has left an account.
    kills_at_s = [[4.3], [0.6], [2.9, 3.0]]
    labs = [Restarted(tmp_path / str(number), kills) for number, kills in enumerate(kills_at_s)]
    labs.append(Restarted(tmp_path / "nats", [4.3], bench_cursor_place="nats"))
    for lab, summary in zip(labs, play_all(labs, Restarted.play), strict=True):
        check_balance(lab, summary)
        # Nobody had to do without what it asked for.
        assert "cursor_lost" not in [one["kind"] for one in summary["events"]]


def test_it_goes_on_with_the_numbers_that_its_relay_has_by_then(tmp_path: Path) -> None:
    labs = []
    for number, fault in enumerate(
        (
            {"do": "rewind", "frames": 100},
            {"do": "renumber", "first_seq": 1},
            {"do": "renumber", "first_seq": 20_000_000},
        )
    ):
        renumbers = {**fault, "on": "relay", "at_s": 2}
        labs.append(Restarted(tmp_path / str(number), [5.3], bench_faults=[renumbers]))
    for lab, summary in zip(labs, play_all(labs, Restarted.play), strict=True):
        check_balance(lab, summary)


def check_balance(lab: Restarted, summary: dict[str, Any]) -> None:
    ledger = summary["ledger"]
    assert ledger["unexplained"] == 0, summary["verdict"]
    assert ledger["published"] == ledger["stored"] == ledger["offered"] == OFFERED
    assert ledger["not_read"] == ledger["stored_twice"] == ledger["duplicates_rejected"] == 0
    check_all_delivered(summary, 4 * OFFERED)
    assert summary["order"] == {"violations_in_stream": 0, "violations_at_consumers": 0}
    invalid = set(verdict_codes.of_summary(summary, "invalid"))
    assert invalid <= verdict_codes.BUSY, summary["verdict"]["reasons"]
    notes = verdict_codes.entries(summary, "note")
    (note,) = [one for one in notes if one["code"] == "shuffler_restarted"]
    kills = len(lab.kills_at_s)
    assert note["parameters"] == {"times": kills, "by_itself": kills}
    assert "failures_max" in verdict_codes.missed_goals(summary)
    gone = [one for one in summary["events"] if one["kind"] == "agent_restarted"]
    assert {one["parameters"]["agent"] for one in gone} == {"shuffler"}
    assert all(one["begin_s"] < one["end_s"] for one in gone)
    # One that a busy machine started too late for the next kill is of the same time.
    assert len(gone) <= len(lab.kills_at_s)
    assert gone[-1]["end_s"] > lab.kills_at_s[-1]
    # Nothing of the first life is lost.
    host = lab.bundle / "hosts" / "load"
    account = json.loads((host / "shuffler.json").read_text())
    assert account["read"] == account["published"] == [[1, OFFERED]]
    sizes = account["message_bytes"].values()
    assert sum(count for one in sizes for count in one.values()) == OFFERED
    samples = (host / "shuffler.samples.jsonl").read_text().splitlines()
    times = [json.loads(line)["unix_ns"] for line in samples]
    assert times[0] < lab.spec.t0_unix_ns + 2_000_000_000
    assert summary["latency_ms"]["due_to_ack"]["count"] > 0
    # What ended just before each kill was not written down, so that no percentile is sure.
    assert summary["latency_ms"]["publish_ack"]["at_least"]["p99"] is None
    assert not summary["latency_ms"]["fetch_call"]["at_least"]


def test_shuffler_and_nats_are_both_killed(
    tmp_path: Path, nats_server: NatsServer, labs: list[ProcessesLab]
) -> None:
    # The cursor's bucket goes with the stream, in memory.
    lab = ProcessesLab(tmp_path, {"nats": nats_server}, **LOAD, bench_cursor_place="nats")
    labs.append(lab)
    lab.start()
    lab.sleep_until(4)
    nats_server.kill()
    lab.kill("shuffler")
    lab.sleep_until(5)
    lab.start_shuffler_again()
    nats_server.launch()
    codes = lab.wait()
    assert set(codes.values()) == {0}, codes

    summary = lab.report()

    assert summary["ledger"]["unexplained"] == 0, summary["verdict"]
    assert summary["recovery"]["streams_lost"] == 1
    assert summary["ledger"]["published"] == OFFERED
    (fell_back,) = [one for one in summary["events"] if one["kind"] == "cursor_lost"]
    assert 0 < fell_back["parameters"]["cursor"] < OFFERED
