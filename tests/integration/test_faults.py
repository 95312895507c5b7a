"""Faults, injected into real agents: each ends up under its own cause, nothing is unexplained."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from pathlib import Path
from typing import Any

import nats
import pytest

from fpaas.spec import STREAM_NAME
from tests.support import verdict_codes
from tests.support.cutting_proxy import CuttingProxy
from tests.support.frame_proxy import FrameProxy
from tests.support.nats_servers import NatsServer
from tests.support.patience import PATIENCE_S
from tests.support.ports import free_port
from tests.support.processes_lab import ProcessesLab

pytestmark = pytest.mark.integration

LOAD: dict[str, Any] = {
    "bench_consumers": 4,
    "bench_poll_interval_s": 0.5,
    "bench_batch_size": 200,
    "bench_firehose_rate_per_s": 200,
    "bench_warmup_s": 1,
    "bench_measure_s": 5,
    "bench_drain_s": 2,
    "bench_ack_wait_s": 1,
}
OFFERED = 200 * 6


class Lab(ProcessesLab):
    """A run of seconds; `summary` waits for its end and balances it."""

    def summary(self) -> dict[str, Any]:
        self.codes = self.wait()
        content = self.report()
        ledger = content["ledger"]
        publishing = ("not_read", "undecodable", "published", "duplicates_rejected")
        outcomes = (*publishing, "publish_failed", "publish_unknown")
        owed = ("delivered", "expired_unread", "pending_at_end", "lost")
        assert ledger["unexplained"] == 0, content["verdict"]["reasons"]
        assert ledger["offered"] == sum(ledger[name] for name in outcomes)
        assert ledger["owed"] == sum(ledger[name] for name in owed)
        assert sum(ledger["lost_by_cause"].values()) == ledger["lost"]
        assert sum(ledger["not_read_by_cause"].values()) == ledger["not_read"]
        return content


def make(directory: Path, server: NatsServer, labs: list[ProcessesLab], **variables: object) -> Lab:
    lab = Lab(directory, {"nats": server}, **(LOAD | variables))
    labs.append(lab)
    return lab


def test_swallowed_and_damaged_frames_and_copies_beyond_the_duplicate_window(
    tmp_path: Path, nats_server: NatsServer, labs: list[ProcessesLab]
) -> None:
    lab = make(tmp_path, nats_server, labs, bench_stream_duplicate_window_s=0.1, bench_measure_s=10)
    frames = FrameProxy(lab.relay_url, free_port(), swallowed={300}, damaged={400, 401, 402})
    frames.start()
    acks = CuttingProxy(nats_server.port)
    acks.start()
    lab.arguments["shuffler"] = (
        *("--relay", frames.url, "--nats-url", f"nats://127.0.0.1:{acks.port}"),
    )
    try:
        lab.start()
        # Acks that never arrive; the publishes are repeated, and are new to the stream by then.
        lab.sleep_until(4)
        acks.cut(swallow_s=0.6)
        summary = lab.summary()
    finally:
        frames.end()
        acks.close()
    ledger = summary["ledger"]
    assert ledger["offered"] == 200 * 11
    assert ledger["not_read"] == ledger["not_read_by_cause"]["dropped_between_frames_read"] == 1
    assert ledger["undecodable"] == 3
    bad = [one for one in summary["events"] if one["kind"] == "frame_undecodable"]
    assert [one["parameters"]["after_seq"] for one in bad][:1] == [399]
    shuffler = lab.bundle / "hosts" / "load"
    assert {one["parameters"]["file"] for one in bad} == {"shuffler.undecodable-01.bin"}
    assert (shuffler / "shuffler.undecodable-01.bin").read_bytes() == b"\xff\x00"
    assert (
        "shuffler.undecodable-01.bin" in json.loads((shuffler / "seal.json").read_text())["files"]
    )
    assert "frames_undecodable" not in verdict_codes.of_summary(summary)
    assert ledger["stored_twice"] > 0
    assert ledger["stored"] == ledger["published"] + ledger["stored_twice"]
    # All is accounted for, so that the run is to be believed, and missed its goals.
    assert set(verdict_codes.of_summary(summary, "invalid")) <= verdict_codes.BUSY
    assert "frames_not_read" in [one["code"] for one in verdict_codes.causes(summary)]
    assert "stored_twice" in verdict_codes.of_summary(summary, "fail")


async def take_without_ack(url: str, durable: str, count: int) -> int:
    client = await nats.connect(url)
    jetstream = client.jetstream(timeout=PATIENCE_S)
    subscription = await jetstream.pull_subscribe_bind(durable, STREAM_NAME)
    taken = await subscription.fetch(count, timeout=PATIENCE_S)
    await client.close()
    return len(taken)


async def remove_newest(url: str, count: int) -> None:
    client = await nats.connect(url)
    jetstream = client.jetstream(timeout=PATIENCE_S)
    last_seq: int = (await jetstream.stream_info(STREAM_NAME)).state.last_seq
    for seq in range(last_seq, last_seq - count, -1):
        await jetstream.delete_msg(STREAM_NAME, seq)
    await client.close()


def test_a_batch_that_is_not_acknowledged_and_a_message_that_is_removed(
    tmp_path: Path, nats_server: NatsServer, labs: list[ProcessesLab]
) -> None:
    lab = make(
        tmp_path,
        nats_server,
        labs,
        bench_poll_interval_s=5,
        bench_batch_size=2000,
        # Each has another poll when all is stored.
        bench_drain_s=8,
    )
    lab.start()
    lab.sleep_until(2.5)
    # A process that pulls from our durable, and ends with what it got.
    taken = asyncio.run(take_without_ack(nats_server.url, lab.spec.durable_of(0), 20))
    assert taken == 20
    asyncio.run(remove_newest(nats_server.url, 3))
    summary = lab.summary()
    ledger = summary["ledger"]
    assert ledger["redelivered"] >= taken
    assert ledger["duplicate_deliveries"] == 0
    # Whoever had fetched one before it was removed has not lost it; polls are 5 s apart.
    assert 0 < ledger["lost_by_cause"]["removed"] <= 4 * 3
    assert ledger["lost"] == ledger["lost_by_cause"]["removed"]
    assert ledger["delivered"] == 4 * OFFERED - ledger["lost"]
    assert ledger["acked"] == ledger["delivered"]
    lost = [one for one in verdict_codes.causes(summary) if one["code"] == "deliveries_lost"]
    assert lost[0]["parameters"]["by_cause"]["removed"] == ledger["lost"]
    assert summary["order"] == {"violations_in_stream": 0, "violations_at_consumers": 0}


def test_expiry_by_size_and_by_age(
    tmp_path: Path, nats_server: NatsServer, labs: list[ProcessesLab]
) -> None:
    # 1 MB are some 180 messages, a second's; each poll takes 50 of 300.
    by_size = make(
        tmp_path / "size",
        nats_server,
        labs,
        bench_poll_interval_s=1.5,
        bench_batch_size=50,
        bench_stream_max_bytes=1_000_000,
    )
    by_size.start()
    ledger = by_size.summary()["ledger"]
    assert ledger["expired_by_cause"]["max_age"] == 0
    assert ledger["expired_by_cause"]["max_bytes"] == ledger["expired_unread"] > 100
    by_age = make(
        tmp_path / "age",
        nats_server,
        labs,
        bench_poll_interval_s=1.5,
        bench_batch_size=50,
        bench_stream_max_age_s=2,
    )
    by_age.start()
    ledger = by_age.summary()["ledger"]
    assert ledger["expired_by_cause"]["max_bytes"] == 0
    assert ledger["expired_by_cause"]["max_age"] == ledger["expired_unread"] > 100
    assert ledger["lost"] == 0


def test_a_worker_and_the_shuffler_are_killed(
    tmp_path: Path, nats_server: NatsServer, labs: list[ProcessesLab]
) -> None:
    """Between delivery and ack, and between publish and account."""
    lab = make(
        tmp_path,
        nats_server,
        labs,
        bench_workers=2,
        bench_poll_interval_s=0.2,
        bench_stream_max_age_s=60,
        bench_measure_s=12,
    )
    lab.start()
    lab.sleep_until(3.5)
    os.kill(lab.pids("consumers")[1], signal.SIGKILL)
    lab.sleep_until(7.5)
    os.kill(lab.pids("shuffler")[0], signal.SIGKILL)
    summary = lab.summary()
    ledger = summary["ledger"]
    assert summary["verdict"]["status"] == "invalid"
    assert ledger["offered"] == 200 * 13
    # What the killed shuffler published after its last account is known from the stream.
    assert ledger["published"] == ledger["stored"] > 200 * 6
    assert ledger["not_read_by_cause"]["shuffler_died"] == ledger["not_read"] > 0
    # The other two consumers read on; two had read for some seconds.
    assert 2 * ledger["stored"] < ledger["delivered"] < 4 * ledger["stored"]
    assert ledger["pending_at_end"] > 0
    codes = verdict_codes.of_summary(summary, "invalid")
    assert codes[:3] == ["worker_died", "shuffler_died", "agent_failed"]
    assert {"worker_account_cut", "shuffler_account_cut"} <= set(codes)
    host = lab.bundle / "hosts" / "load"
    left = [json.loads((host / f"consumers-{n}.json").read_text())["complete"] for n in (0, 1)]
    assert sorted(left) == [False, True]
