"""Parts that are killed in mid-run: the first reason and what limited the run name them."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fpaas.spec import NS_PER_S
from tests.support import verdict_codes
from tests.support.nats_servers import NatsServer
from tests.support.processes_lab import ProcessesLab

pytestmark = pytest.mark.integration

LOAD: dict[str, Any] = {
    "bench_consumers": 4,
    "bench_workers": 2,
    "bench_poll_interval_s": 0.5,
    "bench_batch_size": 200,
    "bench_firehose_rate_per_s": 200,
    "bench_warmup_s": 1,
    "bench_measure_s": 11,
    "bench_drain_s": 4,
    "bench_ack_wait_s": 1,
}
DUE = 200 * 12
OUTCOMES = (
    *("not_read", "undecodable", "published", "duplicates_rejected"),
    *("publish_failed", "publish_unknown"),
)
#: Between two ticks, where the last account is the oldest.
KILLED_AT_S = 3.9


@pytest.fixture
def lab(
    tmp_path: Path, nats_server: NatsServer, request: pytest.FixtureRequest
) -> Iterator[ProcessesLab]:
    variables: dict[str, Any] = LOAD | getattr(request, "param", {})
    made = ProcessesLab(tmp_path, {"nats": nats_server}, **variables)
    yield made
    made.end()


def report(lab: ProcessesLab) -> dict[str, Any]:
    """Report a run whose ledger balances, whoever died."""
    lab.wait()
    summary = lab.report()
    ledger = summary["ledger"]
    assert ledger["unexplained"] == 0, summary["verdict"]["reasons"]
    assert ledger["offered"] == sum(ledger[name] for name in OUTCOMES)
    assert sum(ledger["not_read_by_cause"].values()) == ledger["not_read"]
    return summary


def check_blame(summary: dict[str, Any], *codes: str) -> None:
    """Check what comes first, and limited the run; a busy machine may be named later."""
    invalid = verdict_codes.of_summary(summary, "invalid")
    assert tuple(invalid[: len(codes)]) == codes, summary["verdict"]["reasons"]
    limited_by = summary["limited_by"]
    assert limited_by["what"] == "breakdown"
    assert limited_by["parameters"]["reason"]["code"] == codes[0]
    assert summary["verdict"]["reasons"][0] in limited_by["sentence"]


def account(lab: ProcessesLab, name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((lab.bundle / "hosts" / "load" / name).read_text())
    return content


def test_a_killed_relay(lab: ProcessesLab) -> None:
    lab.start()
    lab.sleep_until(KILLED_AT_S)
    lab.kill("relay")
    killed_s = time.time() - lab.spec.t0_unix_ns / NS_PER_S
    summary = report(lab)
    check_blame(summary, "relay_died")
    invalid = verdict_codes.of_summary(summary, "invalid")
    assert set(invalid) - verdict_codes.BUSY == {
        *("relay_died", "frames_not_offered", "relay_account_cut")
    }
    assert invalid[-1] == "relay_account_cut"
    left = account(lab, "relay.json")
    assert not left["complete"]
    # It went on for 0.9 s after its last account, and all of that was read.
    ledger = summary["ledger"]
    assert left["offered"] <= ledger["offered"] <= 200 * killed_s + 1
    if not verdict_codes.is_busy(summary):
        assert left["offered"] == pytest.approx(200 * (killed_s - 0.9), abs=100)
        assert ledger["offered"] == pytest.approx(200 * killed_s, abs=60)
    assert ledger["published"] == ledger["stored"] == ledger["offered"] - ledger["not_read"]
    assert ledger["not_read"] == ledger["not_read_by_cause"]["relay_died"]
    died = verdict_codes.entries(summary)[0]
    late_s = 5 if verdict_codes.is_busy(summary) else 1.2
    assert died["parameters"]["at_s"] == pytest.approx(killed_s, abs=late_s)


def test_a_relay_that_is_killed_and_started_twice(lab: ProcessesLab) -> None:
    lab.start()
    for second in (2.3, 5.3):
        lab.sleep_until(second)
        lab.kill("relay")
        lab.start_relay_again()
    summary = report(lab)
    # It offered what fell due meanwhile as well, and the shuffler went back for it.
    assert account(lab, "relay.json")["complete"]
    ledger = summary["ledger"]
    assert ledger["offered"] == ledger["published"] + ledger["not_read"] == DUE
    assert not {"relay_died", "relay_account_cut"} & set(verdict_codes.of_summary(summary))
    # One that a busy machine started too late was killed before it served.
    gone = [one for one in summary["events"] if one["kind"] == "agent_restarted"]
    assert {one["parameters"]["agent"] for one in gone} == {"relay"}
    assert gone[0]["begin_s"] < gone[-1]["end_s"] > 2.3
    # What it sent in the second before each end was not written down.
    assert summary["fidelity"]["relay_lateness_ms"]["at_least"]["p99"] is None


@pytest.mark.parametrize("lab", [{"bench_measure_s": 16}], indirect=True)
def test_a_relay_that_is_killed_a_second_time_for_good(lab: ProcessesLab) -> None:
    lab.start()
    lab.sleep_until(2.0)
    lab.kill("relay")
    lab.start_relay_again()
    # A busy machine may take seconds to start it.
    lab.wait_until_counted("shuffler", "read", 200 * 4)
    lab.kill("relay")
    summary = report(lab)
    check_blame(summary, "relay_died")
    assert 200 * 4 <= summary["ledger"]["offered"] < 200 * 17


def test_a_killed_shuffler(lab: ProcessesLab) -> None:
    lab.start()
    lab.sleep_until(6.5)
    lab.kill("shuffler")
    summary = report(lab)
    check_blame(summary, "shuffler_died")
    # What it left behind is last.
    left = verdict_codes.entries(summary, "invalid")[-1]
    assert left["code"] == "shuffler_account_cut"
    assert left["parameters"]["file"] == "shuffler.json"
    ledger = summary["ledger"]
    assert ledger["offered"] == DUE
    assert ledger["not_read"] == ledger["not_read_by_cause"]["shuffler_died"] > 0


def test_a_killed_worker(lab: ProcessesLab) -> None:
    lab.start()
    lab.sleep_until(KILLED_AT_S)
    lab.kill("consumers", 1)
    summary = report(lab)
    check_blame(summary, "worker_died", "agent_failed")
    died = verdict_codes.entries(summary)[0]
    left = [account(lab, f"consumers-{number}.json")["complete"] for number in (0, 1)]
    assert died["parameters"]["worker"] == left.index(False)
    assert verdict_codes.of_summary(summary, "invalid")[-1] in (
        *("worker_account_cut", "file_missing"),
    )


def test_relay_then_shuffler(lab: ProcessesLab) -> None:
    lab.start()
    lab.sleep_until(KILLED_AT_S)
    lab.kill("relay")
    lab.sleep_until(6.5)
    lab.kill("shuffler")
    check_blame(report(lab), "relay_died", "shuffler_died")


@pytest.mark.matrix
def test_shuffler_then_relay(lab: ProcessesLab) -> None:
    lab.start()
    lab.sleep_until(KILLED_AT_S)
    lab.kill("shuffler")
    lab.sleep_until(6.5)
    lab.kill("relay")
    lab.wait()
    # Without an account of the shuffler there is no ledger, if it was killed before its first.
    check_blame(lab.report(), "shuffler_died", "relay_died")


def test_nats_that_is_killed_too_late_for_another_sample(tmp_path: Path) -> None:
    """Its clients have ended, or have no time to notice a silence; the probe sees it end."""
    server = NatsServer(tmp_path)
    server.start()
    lab = ProcessesLab(tmp_path, {"nats": server}, **LOAD)
    lab.arguments["probe"] = ("--nats-pid-file", str(server.pid_file))
    try:
        lab.start()
        lab.sleep_until((lab.spec.end_unix_ns - lab.spec.t0_unix_ns) / NS_PER_S - 0.3)
        server.kill()
        killed_s = time.time() - lab.spec.t0_unix_ns / NS_PER_S
        lab.wait()
        summary = lab.report()
    finally:
        lab.end()
        server.stop()
    check_blame(summary, "nats_died")
    died = verdict_codes.entries(summary)[0]
    assert died["host"] == "nats"
    assert not died["parameters"]["is_running"]
    if not verdict_codes.is_busy(summary):
        assert died["parameters"]["since_s"] == pytest.approx(killed_s, abs=0.5)
