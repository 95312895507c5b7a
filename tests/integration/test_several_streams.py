"""Runs with several streams: every delivery is accounted for, and what is lost is seen."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import nats
import pytest

from tests.support import verdict_codes
from tests.support.all_delivered import check_all_delivered
from tests.support.nats_servers import NatsServer
from tests.support.patience import PATIENCE_S
from tests.support.processes_lab import LOAD_HOST, ProcessesLab

pytestmark = pytest.mark.integration

FRAMES = 750
VARIABLES: dict[str, Any] = {
    "bench_streams": 2,
    "bench_consumers": 6,
    "bench_workers": 2,
    "bench_poll_interval_s": 1,
    "bench_fetch": "drain",
    "bench_firehose_rate_per_s": 150,
    "bench_warmup_s": 0,
    "bench_measure_s": 5,
    "bench_drain_s": 3,
}


def lab_of(directory: Path, server: NatsServer, **variables: object) -> ProcessesLab:
    return ProcessesLab(directory, {"server": server}, **(VARIABLES | variables))


async def delete_stream(url: str, stream: str) -> None:
    client = await nats.connect(url)
    try:
        await client.jetstream(timeout=PATIENCE_S).delete_stream(stream)
    finally:
        await client.close()


async def make_again(url: str, stream: str) -> None:
    client = await nats.connect(url)
    try:
        jetstream = client.jetstream(timeout=PATIENCE_S)
        config = (await jetstream.stream_info(stream)).config
        await jetstream.delete_stream(stream)
        await jetstream.add_stream(config)
    finally:
        await client.close()


def test_every_event_is_in_one_stream_and_each_consumer_is_served_by_one(
    tmp_path: Path, nats_server: NatsServer
) -> None:
    lab = lab_of(tmp_path, nats_server)
    summary = lab.play_undisturbed()
    ledger = summary["ledger"]
    assert verdict_codes.blamed(summary) == []
    assert ledger["unexplained"] == 0, summary["verdict"]
    assert ledger["stored"] == ledger["published"] == ledger["offered"] == FRAMES
    # Three consumers on each of both.
    check_all_delivered(summary, 3 * FRAMES)
    assert ledger["acked"] == ledger["delivered"]
    assert summary["order"] == {"violations_in_stream": 0, "violations_at_consumers": 0}
    # At the last sample of the window.
    assert FRAMES / 2 < summary["jetstream"]["messages"] <= FRAMES
    assert summary["jetstream"]["consumers"] == 6
    assert summary["latency_ms"]["publish_to_first_fetch"]["count"] == FRAMES
    assert summary["latency_ms"]["publish_to_first_fetch"]["missing_count"] == 0
    states = asyncio.run(states_of(nats_server.url))
    assert list(states) == ["ATPROTO_FIREHOSE_00", "ATPROTO_FIREHOSE_01"]
    assert sum(states.values()) == FRAMES
    assert min(states.values()) > FRAMES / 4
    assert summary["plan"]["owed"] == 3 * FRAMES


def test_what_nobody_fetched_is_as_old_as_it_is(tmp_path: Path, nats_server: NatsServer) -> None:
    lab = lab_of(tmp_path, nats_server, bench_fetch="once", bench_batch_size=10)
    summary = lab.play_undisturbed()
    assert summary["ledger"]["unexplained"] == 0, summary["verdict"]
    assert summary["ledger"]["pending_at_end"] > 0
    for leg in ("publish_to_first_fetch", "publish_to_fetch", "end_to_end"):
        assert summary["latency_ms"][leg]["missing_count"] > 0
        # The firehose ended three seconds before the consumers did; samples are a second apart.
        assert summary["latency_ms"][leg]["missing_min_ms"] > 1000


@pytest.mark.matrix
@pytest.mark.parametrize("streams", [2, 4])
@pytest.mark.parametrize(
    "variables",
    [
        {"bench_delivery": "shared"},
        {"bench_delivery": "partitioned"},
        {"bench_ack": "all"},
        {"bench_ack": "none"},
        {"bench_consumer_kind": "push"},
        {"bench_consumer_kind": "push", "bench_delivery": "shared"},
        {"bench_consumer_kind": "ordered"},
        {"bench_consumer_kind": "ordered", "bench_delivery": "partitioned"},
        {"bench_stream_storage": "file", "bench_stream_compression": "s2"},
        {"bench_fetch": "once", "bench_batch_size": 10},
    ],
    ids=str,
)
def test_whatever_consumers_do_balances(
    tmp_path: Path, nats_server: NatsServer, streams: int, variables: dict[str, Any]
) -> None:
    lab = lab_of(tmp_path, nats_server, bench_streams=streams, **variables)
    summary = lab.play_undisturbed()
    ledger = summary["ledger"]
    assert ledger["unexplained"] == 0, summary["verdict"]
    assert ledger["stored"] == FRAMES
    assert ledger["lost"] == 0
    if "bench_fetch" not in variables:
        assert ledger["delivered"] == ledger["owed"]
    if "bench_delivery" in variables:
        assert ledger["owed"] == FRAMES


@pytest.mark.matrix
@pytest.mark.parametrize(
    "fault",
    [
        {"do": "kill", "on": "worker:0", "at_s": 2, "for_s": 0.5},
        {"do": "pause", "on": "nats", "at_s": 2, "for_s": 1},
        {"do": "pause", "on": "shuffler", "at_s": 2, "for_s": 1},
        {"do": "disconnect", "on": "relay", "at_s": 2, "for_s": 1},
    ],
    ids=str,
)
def test_what_breaks_without_ending_a_stream_is_accounted_for(
    tmp_path: Path, nats_server: NatsServer, fault: dict[str, Any]
) -> None:
    lab = lab_of(tmp_path, nats_server, bench_faults=[fault])
    try:
        lab.start()
        lab.wait()
    finally:
        lab.end()
    ledger = lab.report()["ledger"]
    assert ledger["unexplained"] == 0
    assert ledger["stored"] == ledger["offered"] == FRAMES


def test_what_somebody_removes_from_one_of_the_streams_is_lost(
    tmp_path: Path, nats_server: NatsServer
) -> None:
    # The polls at the end have yet to come.
    lab = lab_of(tmp_path, nats_server, bench_poll_interval_s=7, bench_poll_jitter_pct=0)
    try:
        lab.start()
        lab.wait_until_counted("shuffler", "published", 100)
        asyncio.run(remove_newest(nats_server.url, "ATPROTO_FIREHOSE_01", 5))
        lab.wait()
    finally:
        lab.end()
    summary = lab.report()
    ledger = summary["ledger"]
    assert ledger["unexplained"] == 0, summary["verdict"]
    assert ledger["lost"] == ledger["lost_by_cause"]["removed"] > 0
    # Of the three consumers of that stream.
    assert ledger["lost"] <= 3 * 5
    assert summary["verdict"]["status"] != "pass"


@pytest.mark.parametrize("harm", [delete_stream, make_again])
def test_a_stream_that_is_gone_ends_in_no_pass(
    tmp_path: Path, nats_server: NatsServer, harm: Callable[[str, str], Coroutine[Any, Any, None]]
) -> None:
    """One that is made again by hand is not taken for the one before."""
    lab = lab_of(tmp_path, nats_server)
    try:
        lab.start()
        lab.wait_until_counted("shuffler", "published", 100)
        asyncio.run(harm(nats_server.url, "ATPROTO_FIREHOSE_01"))
        lab.wait()
    finally:
        lab.end()
    summary = lab.report()
    assert summary["verdict"]["status"] == "invalid"
    assert summary["ledger"]["unexplained"] != 0
    if harm is delete_stream:
        assert summary["ledger"]["unexplained"] is None
        assert summary["ledger"]["publish_failed"] > 0


def test_a_shuffler_that_was_killed_does_not_go_on(tmp_path: Path, nats_server: NatsServer) -> None:
    lab = lab_of(tmp_path, nats_server)
    try:
        lab.start()
        lab.wait_until_counted("shuffler", "published", 100)
        lab.kill("shuffler")
        lab.start_shuffler_again()
        codes = lab.wait()
    finally:
        lab.end()
    assert codes[f"shuffler on {LOAD_HOST}"] == 3
    log = (tmp_path / f"shuffler-{LOAD_HOST}.log").read_text()
    assert "none goes on with bench_streams=2" in log
    assert lab.report()["verdict"]["status"] == "invalid"


def test_a_server_that_is_killed_with_its_streams_ends_in_no_pass(
    tmp_path: Path, nats_server: NatsServer
) -> None:
    summary = lab_of(tmp_path, nats_server).play_losing_nats(nats_server, 2)
    assert summary["verdict"]["status"] == "invalid"
    assert summary["ledger"]["unexplained"] is None


def test_the_next_run_finds_nothing_of_more_streams_or_fewer(
    tmp_path: Path, nats_server: NatsServer
) -> None:
    names = []
    for streams in (4, 1, 2):
        directory = tmp_path / str(streams)
        directory.mkdir()
        lab = lab_of(directory, nats_server, bench_streams=streams)
        try:
            lab.launch()
        finally:
            lab.end()
        names.append(list(asyncio.run(states_of(nats_server.url))))
    assert [len(one) for one in names] == [4, 1, 2]
    assert names[1] == ["ATPROTO_FIREHOSE"]


def test_records_of_a_single_stream_say_nothing_of_several(
    tmp_path: Path, nats_server: NatsServer
) -> None:
    lab = lab_of(tmp_path, nats_server, bench_streams=1)
    lab.play_undisturbed()
    load, server = (lab.bundle / "hosts" / host for host in (LOAD_HOST, "server"))
    assert "streams" not in json.loads((load / "shuffler.json").read_text())
    assert "streams" not in json.loads((server / "probe.final.json").read_text())
    assert '"last_stream_seqs"' not in (load / "shuffler.samples.jsonl").read_text()
    assert '"streams"' not in (server / "probe.nats.jsonl").read_text()
    assert [path.name for path in load.glob("shuffler.*.bin")] == ["shuffler.dids.bin"]


async def states_of(url: str) -> dict[str, int]:
    """Return by name how many messages each of the run's streams stored."""
    client = await nats.connect(url)
    try:
        found = await client.jetstream(timeout=PATIENCE_S).streams_info()
    finally:
        await client.close()
    return {
        str(one.config.name): one.state.last_seq
        for one in sorted(found, key=lambda one: str(one.config.name))
        if str(one.config.name).startswith("ATPROTO_FIREHOSE")
    }


async def remove_newest(url: str, stream: str, count: int) -> None:
    """Do what only somebody from outside does."""
    client = await nats.connect(url)
    try:
        jetstream = client.jetstream(timeout=PATIENCE_S)
        last_seq: int = (await jetstream.stream_info(stream)).state.last_seq
        for seq in range(last_seq, last_seq - count, -1):
            await jetstream.delete_msg(stream, seq)
    finally:
        await client.close()
