"""Streams that are lost in a run: made again, filled again, and accounted for to the event."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nats
import pytest
from nats.js.api import ConsumerInfo
from nats.js.errors import NotFoundError

from fpaas.firehose.relay_client import subscription_url
from fpaas.jetstream import asked, stream
from fpaas.jetstream.nats_address import NatsAddress
from fpaas.shuffler import run_cursor
from fpaas.spec import NS_PER_S, STREAM_NAME
from tests.support import verdict_codes
from tests.support.all_delivered import check_all_delivered
from tests.support.nats_servers import NatsServer
from tests.support.patience import PATIENCE_S
from tests.support.processes_lab import ProcessesLab

pytestmark = pytest.mark.integration

LOST_AT_S = 4.0
LOAD: dict[str, Any] = {
    "bench_consumers": 4,
    "bench_poll_interval_s": 0.5,
    "bench_batch_size": 200,
    "bench_firehose_rate_per_s": 100,
    "bench_warmup_s": 1,
    "bench_measure_s": 9,
    "bench_drain_s": 5,
    "bench_workers": 1,
    "bench_ack_wait_s": 2,
}
OFFERED = 1000
MakeLab = Callable[..., ProcessesLab]


@pytest.fixture
def make_lab(tmp_path: Path, nats_server: NatsServer) -> Iterator[MakeLab]:
    labs: list[ProcessesLab] = []
    numbers = itertools.count()

    def make(**variables: object) -> ProcessesLab:
        directory = tmp_path / str(next(numbers))
        lab = ProcessesLab(directory, {"nats": nats_server}, **{**LOAD, **variables})
        labs.append(lab)
        return lab

    yield make
    for lab in labs:
        lab.end()


def summary_of(lab: ProcessesLab) -> dict[str, Any]:
    """Wait for a run's end; it must be valid, and its account must balance."""
    codes = lab.wait()
    assert set(codes.values()) == {0}, codes
    summary = lab.report()
    ledger = summary["ledger"]
    assert ledger["unexplained"] == 0, summary["verdict"]
    publishing = ("not_read", "undecodable", "published", "duplicates_rejected")
    outcomes = (*publishing, "publish_failed", "publish_unknown")
    owed = ("delivered", "expired_unread", "pending_at_end", "lost")
    assert ledger["offered"] == sum(ledger[name] for name in outcomes)
    assert ledger["owed"] == sum(ledger[name] for name in owed)
    assert ledger["lost_by_cause"]["stream_lost"] == sum(
        summary["recovery"]["lost_by_cause"].values()
    )
    invalid = set(verdict_codes.of_summary(summary, "invalid"))
    assert invalid <= verdict_codes.BUSY, summary["verdict"]["reasons"]
    return summary


def kill_and_start_again(
    server: NatsServer, lab: ProcessesLab, at_s: float, away_s: float
) -> float:
    """Return when it was killed, in seconds of the run."""
    lab.sleep_until(at_s)
    server.kill()
    killed_s = time.time() - lab.spec.t0_unix_ns / NS_PER_S
    lab.sleep_until(at_s + away_s)
    server.launch()
    return killed_s


async def durables_of(url: str) -> list[ConsumerInfo]:
    client = await nats.connect(url)
    try:
        return await client.jetstream(timeout=PATIENCE_S).consumers_info(STREAM_NAME)
    finally:
        await client.close()


@pytest.mark.parametrize(
    ("delivery", "workers"),
    [
        ("fanout", 2),
        pytest.param("shared", 2, marks=pytest.mark.matrix),
        pytest.param("partitioned", 1, marks=pytest.mark.matrix),
    ],
)
def test_a_memory_stream_is_made_again_and_nothing_is_lost(
    nats_server: NatsServer, make_lab: MakeLab, delivery: str, workers: int
) -> None:
    lab = make_lab(bench_delivery=delivery, bench_workers=workers, bench_cursor_place="nats")
    lab.start()
    killed_s = kill_and_start_again(nats_server, lab, LOST_AT_S, 1)

    summary = summary_of(lab)

    # The bucket of the cursor went with the stream, and was made again like it.
    bucket = run_cursor.bucket_of(
        lab.spec, subscription_url(lab.relay_url), NatsAddress.parse(nats_server.url)
    )
    assert bucket is not None
    assert asyncio.run(bucket.load()) == OFFERED

    # No fault of the run was to do this, so it costs goals.
    assert set(verdict_codes.blamed(summary)) == {"goal_missed"}
    assert verdict_codes.missed_goals(summary) == ["errors_max", "failures_max"]
    ledger, recovery = summary["ledger"], summary["recovery"]
    assert ledger["published"] == ledger["stored"] == ledger["offered"] == OFFERED
    check_all_delivered(summary, OFFERED * (4 if delivery == "fanout" else 1))
    assert recovery["stream_recreated"] is True
    assert recovery["streams_lost"] == 1
    # No consumer is more than a poll and a report behind, if it has time for them.
    assert 0 < recovery["replayed"] < (OFFERED if verdict_codes.is_busy(summary) else 400)
    assert OFFERED > recovery["rewound_to_seq"] > 1
    assert summary["order"] == {"violations_in_stream": 0, "violations_at_consumers": 0}
    (outage,) = recovery["outages"]
    late_s = 5 if verdict_codes.is_busy(summary) else 1
    assert outage["lost_s"] == pytest.approx(killed_s, abs=late_s)
    assert outage["consumers_unserved"] == 0
    assert outage["lost_s"] < outage["answered_s"] <= outage["published_again_s"]
    assert outage["answered_s"] < outage["served_again_s"]
    notes = verdict_codes.of_summary(summary, "note")
    assert {"stream_recreated", "nats_restarted_recovered"} <= set(notes)
    # As it was asked for, though by whoever came first.
    made = {info.name: info.config for info in asyncio.run(durables_of(nats_server.url))}
    wanted = asked.durables_of(lab.spec, range(4))
    assert made.keys() == {durable.name for durable in wanted}
    for durable in wanted:
        config = stream.durable_config(lab.spec, durable).as_dict()
        assert stream.differences(config, made[durable.name].as_dict()) == []


def test_what_had_reached_its_age_and_what_nobody_read_yet(
    nats_server: NatsServer, make_lab: MakeLab
) -> None:
    # Consumers take a fifth of what they are owed, so that all of it is missing somewhere.
    lab = make_lab(bench_batch_size=10, bench_stream_max_age_s=3)
    lab.start()
    kill_and_start_again(nats_server, lab, 5, 1)

    summary = summary_of(lab)

    ledger, recovery = summary["ledger"], summary["recovery"]
    assert ledger["stored"] == ledger["published"] == OFFERED
    # What is replayed is what a stream of 3 s would still have by the time that the server is back;
    # how much that is depends on when that was noticed.
    (outage,) = recovery["outages"]
    assert recovery["replayed"] < LOAD["bench_firehose_rate_per_s"] * outage["lost_s"]
    # A consumer may have been sent what it had no time to take.
    by_cause = recovery["lost_by_cause"]
    assert by_cause["max_age"] > 0
    assert by_cause["max_age"] + by_cause["in_delivery"] == ledger["lost"]


def wait_until_served(server: NatsServer) -> None:
    """Wait until a stream is there again, and consumers were delivered something of it."""
    server.wait_until_healthy()
    deadline = time.monotonic() + PATIENCE_S
    while not was_served(server):
        assert time.monotonic() < deadline
        time.sleep(0.1)


def was_served(server: NatsServer) -> bool:
    with contextlib.suppress(NotFoundError):
        durables = asyncio.run(durables_of(server.url))
        return any(one.delivered and one.delivered.consumer_seq for one in durables)
    return False


def test_two_losses_in_a_row(nats_server: NatsServer, make_lab: MakeLab) -> None:
    lab = make_lab()
    lab.start()
    kill_and_start_again(nats_server, lab, 3, 0.5)
    wait_until_served(nats_server)
    kill_and_start_again(nats_server, lab, 6, 0.5)

    summary = summary_of(lab)

    # No fault of the run was to do this, so it costs goals.
    assert set(verdict_codes.blamed(summary)) == {"goal_missed"}
    assert verdict_codes.missed_goals(summary) == ["errors_max", "failures_max"]
    assert summary["recovery"]["streams_lost"] == 2
    check_all_delivered(summary, 4 * OFFERED)


def test_a_stream_that_is_deleted_and_made_again_by_hand(
    nats_server: NatsServer, make_lab: MakeLab
) -> None:
    """The mechanism asks what is there, not how it went: no publish is refused here."""
    lab = make_lab()
    lab.start()
    lab.sleep_until(LOST_AT_S)

    async def delete() -> None:
        client = await nats.connect(nats_server.url)
        jetstream = client.jetstream(timeout=PATIENCE_S)
        config = (await jetstream.stream_info(STREAM_NAME)).config
        await jetstream.delete_stream(STREAM_NAME)
        await jetstream.add_stream(config)
        await client.close()

    asyncio.run(delete())

    summary = summary_of(lab)

    assert summary["recovery"]["streams_lost"] == 1
    assert "failures_max" in verdict_codes.missed_goals(summary)
    check_all_delivered(summary, 4 * OFFERED)


def test_a_file_stream_outlives_its_server(nats_server: NatsServer, make_lab: MakeLab) -> None:
    lab = make_lab(bench_stream_storage="file")
    lab.start()
    kill_and_start_again(nats_server, lab, LOST_AT_S, 1)

    summary = summary_of(lab)

    # No fault of the run was to do this, so it costs goals.
    assert set(verdict_codes.blamed(summary)) == {"goal_missed"}
    assert verdict_codes.missed_goals(summary) == ["errors_max", "failures_max"]
    ledger = summary["ledger"]
    assert ledger["published"] == ledger["stored"] == OFFERED
    check_all_delivered(summary, 4 * OFFERED)
    assert summary["recovery"]["stream_recreated"] is False
    assert summary["recovery"]["replayed"] == 0
    assert len(summary["recovery"]["outages"]) == 1


@pytest.mark.parametrize(
    ("part", "kills_shuffler"),
    [
        ("", False),
        ("", True),
        # Durables are ahead of their stream.
        pytest.param("msgs", False, marks=pytest.mark.matrix),
    ],
)
def test_what_a_server_had_acked_and_forgot_gets_its_places_back(
    nats_server: NatsServer, make_lab: MakeLab, tmp_path: Path, part: str, *, kills_shuffler: bool
) -> None:
    """The files are as they were a while before it ended, as after a power cut.

    Nothing new comes before that, so that a shuffler that is killed has an account of everything.
    """
    stall = {"do": "stall", "on": "relay", "at_s": LOST_AT_S, "for_s": 5}
    lab = make_lab(bench_stream_storage="file", bench_faults=[stall])
    lab.start()
    lab.sleep_until(LOST_AT_S - 1)
    [store] = [path.parent for path in nats_server.store.glob(f"**/{STREAM_NAME}/msgs")]
    copy_in_use(store / part, tmp_path / "then")
    lab.sleep_until(LOST_AT_S + 2)
    nats_server.kill()
    shutil.rmtree(store / part)
    shutil.copytree(tmp_path / "then", store / part)
    if kills_shuffler:
        lab.kill("shuffler")
        lab.start_shuffler_again()
    nats_server.launch()

    summary = summary_of(lab)

    # No fault of the run was to do this, so it costs goals.
    assert set(verdict_codes.blamed(summary)) == {"goal_missed"}
    assert verdict_codes.missed_goals(summary) == ["errors_max", "failures_max"]
    assert "acked_restored" in verdict_codes.of_summary(summary, "note")
    ledger, recovery = summary["ledger"], summary["recovery"]
    assert ledger["published"] == ledger["stored"] == OFFERED
    check_all_delivered(summary, 4 * OFFERED)
    assert recovery["forgotten"] == recovery["replayed"] > 50
    assert recovery["forgotten_missing"] == 0
    assert recovery["stream_recreated"] is False


def copy_in_use(source: Path, target: Path) -> None:
    """Copy files that a server writes meanwhile: one that it replaces may be gone."""

    def copy(one: str, other: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            shutil.copy2(one, other)

    shutil.copytree(source, target, copy_function=copy)


def test_what_a_server_forgot_when_the_shuffler_had_ended_is_named(
    nats_server: NatsServer, make_lab: MakeLab, tmp_path: Path
) -> None:
    lab = make_lab(bench_stream_storage="file")
    lab.start()
    lab.sleep_until(LOST_AT_S)
    [store] = [path.parent for path in nats_server.store.glob(f"**/{STREAM_NAME}/msgs")]
    copy_in_use(store, tmp_path / "then")
    lab.wait_until_ended("shuffler")
    nats_server.kill()
    shutil.rmtree(store)
    shutil.copytree(tmp_path / "then", store)
    nats_server.launch()
    lab.wait()
    summary = lab.report()

    assert "acked_forgotten" in verdict_codes.of_summary(summary, "invalid")
    assert "nats_restarted" not in verdict_codes.of_summary(summary, "invalid")
    ledger, recovery = summary["ledger"], summary["recovery"]
    assert recovery["forgotten"] == recovery["forgotten_missing"] == ledger["publish_failed"] > 100
    assert ledger["published"] == ledger["stored"] == OFFERED - ledger["publish_failed"]


# A figure, which only a quiet machine gives.
@pytest.mark.matrix
def test_a_thousand_consumers_are_served_again(nats_server: NatsServer, make_lab: MakeLab) -> None:
    lab = make_lab(
        bench_consumers=1000,
        bench_poll_interval_s=1,
        bench_firehose_rate_per_s=4,
        bench_measure_s=12,
        # Whatever a busy machine takes to serve them all.
        bench_drain_s=25,
        bench_workers=2,
    )
    lab.start()
    kill_and_start_again(nats_server, lab, 6, 1)

    summary = summary_of(lab)

    check_all_delivered(summary, 1000 * 13 * 4)
    (outage,) = summary["recovery"]["outages"]
    assert outage["consumers_unserved"] == 0
    if not verdict_codes.is_busy(summary):
        assert outage["served_again_s"] - outage["answered_s"] < 15
