"""A run that was stopped: its rates, and what fell due to a dead process, end with it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fpaas.bundle.bundle import Bundle
from fpaas.bundle.loader import load_bundle
from fpaas.latency.processes import process_of
from fpaas.measures import delivery_log
from fpaas.probe import seal
from fpaas.spec import NS_PER_S
from fpaas.summary import summary
from tests.support.raw_run import HOST, T0_UNIX_NS, RawRun

STOPPED_S = 20
DIED_S = 12
FROM_S = 5


def at(seconds: float) -> int:
    return T0_UNIX_NS + round(seconds * NS_PER_S)


def cut(path: Path, until_s: float) -> None:
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    kept = [line for line in lines if line["unix_ns"] <= at(until_s)]
    path.write_text("".join(json.dumps(line) + "\n" for line in kept))


def change(path: Path, **fields: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def cut_deliveries(path: Path, until_s: float) -> None:
    logs = delivery_log.read(path)
    for log in logs:
        log.runs = [run for run in log.runs if run[0] < until_s * 1000]
    written = []
    for log in logs:
        one = delivery_log.DeliveryLog(log.consumer_index, log.durable, log.stream)
        for run in log.runs:
            one.runs.extend(run)
        written.append(one)
    delivery_log.write(path, written)


def stopped(tmp_path: Path, *, done: str | None = None) -> Bundle:
    """Return a run of which a worker died, and all was stopped; one agent may have gone on."""
    directory = RawRun(workers=2).write(tmp_path / "run", sealed=False)
    host = directory / "hosts" / HOST
    for agent in ("relay", "shuffler"):
        cut(host / f"{agent}.samples.jsonl", STOPPED_S)
    for number, until_s in enumerate((STOPPED_S, DIED_S)):
        cut(host / f"consumers-{number}.samples.jsonl", until_s)
        cut_deliveries(host / f"consumers-{number}.deliveries.cbor.gz", until_s)
    change(host / "consumers-1.json", complete=False)
    for agent in ("relay", "shuffler", "consumers"):
        state = "failed" if agent == "consumers" else "stopped"
        change(host / f"{agent}.status.json", state="done" if agent == done else state)
    seal.seal(host, HOST)
    return load_bundle(directory)


def test_a_dead_workers_polls_end_with_the_run(tmp_path: Path) -> None:
    bundle = stopped(tmp_path)
    assert bundle.lasted_until_unix_ns == at(STOPPED_S)
    (part,) = bundle.parts("consumers")
    dead = process_of(bundle, part, "consumers", "consumers-1")
    assert (dead.died, dead.looked_until_unix_ns) == (True, at(STOPPED_S))
    polls = dead.due["poll_lateness"]
    assert polls.count(at(0), at(STOPPED_S)) > 0
    assert polls.count(at(STOPPED_S), bundle.spec.end_unix_ns) == 0


def test_a_dead_workers_polls_fall_due_as_long_as_the_run_goes_on(tmp_path: Path) -> None:
    bundle = stopped(tmp_path, done="shuffler")
    assert bundle.lasted_until_unix_ns == bundle.spec.end_unix_ns
    (part,) = bundle.parts("consumers")
    dead = process_of(bundle, part, "consumers", "consumers-1")
    assert dead.looked_until_unix_ns == bundle.spec.end_unix_ns
    assert dead.due["poll_lateness"].count(at(STOPPED_S), bundle.spec.end_unix_ns) > 0


def test_all_rates_are_of_the_time_that_the_run_lasted(tmp_path: Path) -> None:
    bundle = stopped(tmp_path)
    throughput = summary.analyse(bundle)["throughput"]
    delivered = sum(
        count
        for _, worker in bundle.workers
        for log in worker.deliveries or ()
        for at_ms, _, _, count in log.runs
        if at_ms >= FROM_S * 1000
    )
    assert delivered > 0
    assert throughput["processed_per_s"] == pytest.approx(
        delivered / (STOPPED_S - FROM_S), abs=0.001
    )
    assert throughput["offered_per_s"] == pytest.approx(100, rel=0.01)
    assert throughput["published_per_s"] == pytest.approx(100, rel=0.01)


def test_consumers_that_got_nothing_are_among_the_rates(tmp_path: Path) -> None:
    bundle = stopped(tmp_path)
    for _, worker in bundle.workers:
        worker.deliveries = [log for log in worker.deliveries or () if log.consumer_index == 0]
    each = summary.analyse(bundle)["throughput"]["per_consumer_per_s"]
    assert (each["min"], each["p50"]) == (0, 0)
    assert each["max"] > 0
