"""The consumers agent against nats-py: draining, scenario 3's load, and 10 000 consumers.

Every contender is a process of its own that pulls from durables of its own on the same server and
stream; contenders take turns, and a figure is the median of its rounds. CPU is what the process
used by the kernel's account while it pulled, start-up left out.

- *drain*: one consumer, batches of 100, as fast as it goes. Messages a second *on one core* are
  messages a CPU second: on few cores the server is the slower side and would hide the difference.
- *scenario 3*: 1000 consumers, a poll of 100 every 60 s ± 20 % each, at its true rates; the window
  is a part of a run, not a run in fast motion. The stream holds enough for every poll to be full,
  as it is when consumers are behind. The other side is nats-py with bare pulls and acks on one
  wildcard inbox a connection, no account of anything: the least that Python can do.
- *10 000 consumers*: the same polls, ten times as many, on what stands for a host of their own: the
  server is niced, for with that many consumers its garbage collector takes every core of a small
  machine for seconds, and the agent's lateness would be the server's. How late a process that only
  sleeps wakes up meanwhile tells a busy agent from a busy machine.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import nats
import uvloop
from nats.aio.client import Client
from nats.aio.msg import Msg
from tests.support.nats_headers import header_block
from tests.support.nats_servers import NatsServer

from fpaas.consumers.assignment import Assignment
from fpaas.consumers.consumer_worker import ConsumerWorker
from fpaas.consumers.schedule import PollSchedule
from fpaas.jetstream import asked, stream
from fpaas.jetstream.nats_address import NatsAddress
from fpaas.jetstream.nats_connection import NatsConnection
from fpaas.measures.histograms import merge_logs
from fpaas.spec import NS_PER_S, RunSpec, Scenario, Topology, build, read_variables

MESSAGE_BYTES = 5_460
DRAIN_BATCH = 100
ROUNDS = 3
#: From the start of an agent to its T0: it must have connected by then.
LEAD_S = 4.0
SAMPLE_S = 0.02
Result = dict[str, Any]


# -- the stream --------------------------------------------------------------------------------


def run_spec(url: str, **values: object) -> RunSpec:
    """A run on one host, without warm-up and drain."""
    hosts = {"consumers": ["here"], "nats": ["here"], "relay": ["here"], "shuffler": ["here"]}
    fixed = {"bench_warmup_s": 0, "bench_drain_s": 0}
    return build(
        read_variables(fixed | values),
        run_id="benchmark",
        scenario=Scenario("benchmark", "benchmark", ""),
        topology=Topology(hosts, url, "", ""),
        first_seq=1,
    )


async def prepare(spec: RunSpec, messages: int) -> None:
    """Create stream and durables, and fill the stream as the shuffler would."""
    async with stream.jetstream(spec.nats_url) as context:
        await stream.create_streams(context, spec)
        durables = asked.durables_of(spec, range(spec.consumers.count))
        await stream.create_durables(context, spec, durables)
    connection = NatsConnection(NatsAddress.parse(spec.nats_url), name="fill")
    await connection.connect()
    payload = os.urandom(MESSAGE_BYTES)
    for seq in range(1, messages + 1):
        key = f"did:plc:abcdefghijklmnopqrstuvwx/3l{seq:011d}"
        header = header_block([("Nats-Msg-Id", key), ("Fpaas-Seq", str(seq))])
        line = b"HPUB atproto.firehose.commit.%d.app.bsky.feed.like %d %d\r\n"
        sizes = (seq % 16, len(header), len(header) + len(payload))
        connection.write(line % sizes + header + payload + b"\r\n")
        if seq % 200 == 0:
            await asyncio.sleep(0)
            await connection.writable.wait()
    await asyncio.sleep(1)
    await connection.close()


# -- contenders, each in a process of its own --------------------------------------------------


class Stopwatch:
    """CPU and wall time of this process since now."""

    def __init__(self) -> None:
        self._cpu, self._wall = time.process_time(), time.perf_counter()

    def result(self, messages: int) -> Result:
        return {
            "messages": messages,
            "cpu_s": time.process_time() - self._cpu,
            "wall_s": time.perf_counter() - self._wall,
        }


async def drain_ours(spec: RunSpec, index: int, messages: int, out: Path) -> Result:
    """Pull, ack and account with the agent's worker, its files included."""
    spec = replace(spec, t0_unix_ns=time.time_ns() + NS_PER_S // 2)
    worker = ConsumerWorker(Assignment(spec, 0, index, 1, spec.nats_url, out))
    stop = asyncio.Event()
    await worker.connect(stop)
    await asyncio.sleep((spec.t0_unix_ns - time.time_ns()) / 1e9)
    stopwatch = Stopwatch()
    playing = asyncio.ensure_future(worker.play(stop, lambda _figures: None))
    while worker._deliveries.processed < messages:
        await asyncio.sleep(0.005)
    wall_s = stopwatch.result(messages)["wall_s"]
    stop.set()
    await playing
    await worker.finish()
    return stopwatch.result(messages) | {"wall_s": wall_s}


async def drain_fetch(spec: RunSpec, index: int, messages: int, _out: Path) -> Result:
    """Pull and ack as nats-py's users do."""
    client = await nats.connect(spec.nats_url)
    context = client.jetstream()
    subscription = await context.pull_subscribe_bind(spec.durable_of(index), spec.stream.name)
    stopwatch = Stopwatch()
    for _ in range(messages // DRAIN_BATCH):
        for message in await subscription.fetch(DRAIN_BATCH):
            await message.ack()
    await client.flush()
    result = stopwatch.result(messages)
    await client.close()
    return result


async def drain_raw(spec: RunSpec, index: int, messages: int, _out: Path) -> Result:
    """Pull and ack bare, through nats-py."""
    client = await nats.connect(spec.nats_url)
    inbox = client.new_inbox()
    received = 0
    batch_done = asyncio.Event()

    async def take(message: Msg) -> None:
        nonlocal received
        received += 1
        await client.publish(message.reply, b"")
        if received % DRAIN_BATCH == 0:
            batch_done.set()

    await client.subscribe(inbox, cb=take)
    subject = f"$JS.API.CONSUMER.MSG.NEXT.{spec.stream.name}.{spec.durable_of(index)}"
    request = b'{"batch":%d,"no_wait":true}' % DRAIN_BATCH
    stopwatch = Stopwatch()
    for _ in range(messages // DRAIN_BATCH):
        batch_done.clear()
        await client.publish(subject, request, reply=inbox)
        await batch_done.wait()
    await client.flush()
    result = stopwatch.result(messages)
    await client.close()
    return result


async def paced_raw(spec: RunSpec) -> None:
    """Poll on the agent's schedule, bare, through nats-py; says how many messages there were."""
    consumers = spec.consumers
    connections = consumers.count if consumers.connections == "per_consumer" else 1
    clients = [await nats.connect(spec.nats_url) for _ in range(connections)]
    inboxes = []
    received = 0
    for client in clients:

        async def take(message: Msg, client: Client = client) -> None:
            nonlocal received
            if message.reply:
                received += 1
                await client.publish(message.reply, b"")

        inboxes.append(client.new_inbox())
        await client.subscribe(f"{inboxes[-1]}.*", cb=take)
    schedule = PollSchedule(
        spec.t0_unix_ns,
        round(consumers.poll_interval_s * NS_PER_S),
        consumers.poll_jitter_pct,
        spec.seed,
    )
    request = b'{"batch":%d,"no_wait":true}' % consumers.batch_size

    async def poll(index: int) -> None:
        client, inbox = clients[index % connections], inboxes[index % connections]
        subject = f"$JS.API.CONSUMER.MSG.NEXT.{spec.stream.name}.{spec.durable_of(index)}"
        due = schedule.first_due(index)
        for number in itertools.count(1):
            if due >= spec.end_unix_ns:
                return
            await asyncio.sleep((due - time.time_ns()) / 1e9)
            await client.publish(subject, request, reply=f"{inbox}.{index}")
            due = schedule.next_due(index, number, due)

    await asyncio.gather(*(poll(index) for index in range(consumers.count)))
    await asyncio.sleep(0.3 + max(0, (spec.end_unix_ns - time.time_ns()) / 1e9))
    sys.stdout.write(json.dumps({"processed": received}))
    sys.stdout.flush()


DRAINS: dict[str, Callable[..., Any]] = {
    "ours": drain_ours,
    "fetch": drain_fetch,
    "raw": drain_raw,
}


def play_contender(name: str, run_json: str, *arguments: str) -> None:
    """Be a contender; its result goes to standard output."""
    spec = RunSpec.load(Path(run_json))
    if name == "paced":
        uvloop.run(paced_raw(spec))
        return
    index, messages, out = arguments
    drain = DRAINS[name](spec, int(index), int(messages), Path(out))
    sys.stdout.write(json.dumps(uvloop.run(drain)))


# -- measurements ------------------------------------------------------------------------------


def cpu_s(pid: int) -> float:
    """CPU time of all threads of a process, exact to the scheduler's account."""
    tasks = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9


def rss_mb(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def tree(pid: int) -> list[int]:
    """A process and its children."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *map(int, children)]


def give_way(pid: int) -> None:
    """Lower the priority of a process; threads that it starts later inherit it."""
    for task in Path(f"/proc/{pid}/task").iterdir():
        os.setpriority(os.PRIO_PROCESS, int(task.name), 10)


def measure_window(command: list[str], spec: RunSpec) -> Result:
    """Run an agent; its CPU between T0 and the end of the run, its largest RSS, what it printed."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            time.sleep(max(0, (spec.t0_unix_ns - time.time_ns()) / 1e9))
            pids = tree(process.pid)
            before = sum(map(cpu_s, pids))
            rss = 0.0
            host_lags_ms = []
            while time.time_ns() < spec.end_unix_ns - NS_PER_S // 20:
                rss = max(rss, sum(map(rss_mb, pids)))
                asleep = time.perf_counter()
                time.sleep(SAMPLE_S)
                host_lags_ms.append((time.perf_counter() - asleep - SAMPLE_S) * 1000)
            used = sum(map(cpu_s, pids)) - before
            printed, _ = process.communicate(timeout=30)
        finally:
            process.kill()
    if process.returncode:
        raise RuntimeError(f"{command} exited with {process.returncode}")
    host_lag_ms = statistics.quantiles(host_lags_ms, n=100)[98]
    return {"cpu_s": used, "rss_mb": rss, "printed": printed, "host_lag_ms": host_lag_ms}


def paced_agent(spec: RunSpec, directory: Path) -> Result:
    """Run `fpaas consumers` on a spec; with the figures it leaves."""
    spec = replace(spec, t0_unix_ns=time.time_ns() + round(LEAD_S * NS_PER_S))
    out = Path(tempfile.mkdtemp(dir=directory))
    run_json = out / "run.json"
    run_json.write_text(spec.to_json())
    run = ["--run", str(run_json), "--out", str(out), "--host", "here"]
    command = [sys.executable, "-m", "fpaas.cli", "consumers", *run]
    result = measure_window([*command, "--metrics-listen", "127.0.0.1:0"], spec)
    parts = [json.loads(path.read_text()) for path in out.glob("consumers-?.json")]
    result["processed"] = sum(part["processed"] for part in parts)
    result["timeouts"] = sum(part["fetches"]["client_timeout"] for part in parts)
    result["lateness"] = merge_logs(out.glob("*.hlog"))["poll_lateness"]
    return result


def paced_bare(spec: RunSpec, directory: Path) -> Result:
    """Run the bare loop on a spec."""
    spec = replace(spec, t0_unix_ns=time.time_ns() + round(LEAD_S * NS_PER_S))
    run_json = directory / "bare.json"
    run_json.write_text(spec.to_json())
    command = [sys.executable, "-m", "benchmarks.consumers", "paced", str(run_json)]
    result = measure_window(command, spec)
    result["processed"] = json.loads(result["printed"])["processed"]
    return result


def us_per_message(result: Result) -> float:
    return float(result["cpu_s"] / result["processed"] * 1e6)


def row(
    name: str, values: list[float], unit: str, target: str | None = None, **bounds: float
) -> Result:
    """One line of the table; `at_least` or `at_most` decide whether the target is met."""
    value = statistics.median(values)
    met = None
    if target is not None:
        met = value >= bounds["at_least"] if "at_least" in bounds else value <= bounds["at_most"]
    return {
        "name": name,
        "value": value,
        "unit": unit,
        "target": target,
        "met": met,
        "repeats": len(values),
    }


# -- the benchmarks ----------------------------------------------------------------------------


def bench_drain(server: NatsServer, directory: Path, *, quick: bool) -> list[Result]:
    messages = 20_000 if quick else 100_000
    spec = run_spec(
        server.url,
        bench_consumers=len(DRAINS) * ROUNDS,
        bench_poll_interval_s=0.01,
        bench_batch_size=DRAIN_BATCH,
        bench_fetch="drain",
        bench_measure_s=3600,
    )
    uvloop.run(prepare(spec, messages))
    run_json = directory / "run.json"
    run_json.write_text(spec.to_json())
    durable = itertools.count()
    rounds: dict[str, list[Result]] = {name: [] for name in DRAINS}
    for _ in range(ROUNDS):
        for name in DRAINS:
            out = tempfile.mkdtemp(dir=directory)
            arguments = [name, str(run_json), str(next(durable)), str(messages), out]
            done = subprocess.run(
                [sys.executable, "-m", "benchmarks.consumers", *arguments],
                stdout=subprocess.PIPE,
                check=True,
                timeout=120,
            )
            rounds[name].append(json.loads(done.stdout))
    cpu_us = {
        name: [result["cpu_s"] / messages * 1e6 for result in results]
        for name, results in rounds.items()
    }
    per_core = {name: [1e6 / value for value in values] for name, values in cpu_us.items()}
    wall = {
        name: [messages / result["wall_s"] for result in results]
        for name, results in rounds.items()
    }
    ratio = [o / f for o, f in zip(per_core["ours"], per_core["fetch"], strict=True)]
    wall_ratio = [o / f for o, f in zip(wall["ours"], wall["fetch"], strict=True)]
    return [
        row("drain: agent, on one core", per_core["ours"], "msg/s"),
        row("drain: nats-py fetch + ack, on one core", per_core["fetch"], "msg/s"),
        row("drain: nats-py bare pull + ack, on one core", per_core["raw"], "msg/s"),
        row("drain: agent, CPU a message", cpu_us["ours"], "µs", "≤ 9", at_most=9),
        row("drain: agent / fetch + ack, on one core", ratio, "x", "≥ 2 (aim 2.5)", at_least=2),
        row("drain: agent / fetch + ack, wall clock", wall_ratio, "x"),
        row("drain: agent, wall clock", wall["ours"], "msg/s"),
    ]


def bench_scenario_3(
    server: NatsServer, directory: Path, connections: str, *, quick: bool
) -> list[Result]:
    window_s = 8 if quick else 20
    rounds = 1 if quick else ROUNDS
    rss_max = 120 if connections == "auto" else 160
    ours: list[Result] = []
    bare: list[Result] = []
    for number in range(rounds):
        # A seed each: durables go on from where the last round left them.
        spec = run_spec(
            server.url,
            bench_consumers=1000,
            bench_poll_interval_s=60,
            bench_batch_size=100,
            bench_measure_s=window_s,
            bench_connections=connections,
            bench_workers=1,
            bench_seed=number + 1,
        )
        for results, contender in ((ours, paced_agent), (bare, paced_bare)):
            uvloop.run(prepare(spec, 200))
            results.append(contender(spec, directory))
    cpu_ratio = [us_per_message(o) / us_per_message(b) for o, b in zip(ours, bare, strict=True)]
    name = f"scenario 3, {connections}"
    return [
        row(f"{name}: agent, CPU a message", list(map(us_per_message, ours)), "µs"),
        row(f"{name}: bare nats-py, CPU a message", list(map(us_per_message, bare)), "µs"),
        row(f"{name}: agent / bare, CPU a message", cpu_ratio, "x", "≤ 1.2", at_most=1.2),
        row(
            f"{name}: agent, RSS",
            [result["rss_mb"] for result in ours],
            "MB",
            f"≤ {rss_max}",
            at_most=rss_max,
        ),
        row(f"{name}: bare nats-py, RSS", [result["rss_mb"] for result in bare], "MB"),
    ]


def bench_10_000(server: NatsServer, directory: Path, *, quick: bool) -> list[Result]:
    spec = run_spec(
        server.url,
        bench_consumers=10_000,
        bench_poll_interval_s=60,
        bench_batch_size=100,
        bench_measure_s=8 if quick else 20,
    )
    uvloop.run(prepare(spec, 200))
    give_way(server.pid)
    result = paced_agent(spec, directory)
    lateness_ms = [result["lateness"].percentile_us(99) / 1000]
    return [
        row("10 000 consumers: RSS in all", [result["rss_mb"]], "MB", "≤ 250", at_most=250),
        row("10 000 consumers: p99 poll lateness", lateness_ms, "ms", "≤ 20", at_most=20),
        row("10 000 consumers: p99 a sleeper wakes late here", [result["host_lag_ms"]], "ms"),
        row("10 000 consumers: CPU a message", [us_per_message(result)], "µs"),
        row("10 000 consumers: pulls timed out", [result["timeouts"]], "pulls"),
    ]


def run(*, quick: bool) -> list[Result]:
    """Run all of it against a server of its own; see the module for what is measured how."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        server = NatsServer(directory)
        server.start()
        try:
            return [
                *bench_drain(server, directory, quick=quick),
                *bench_scenario_3(server, directory, "auto", quick=quick),
                *bench_scenario_3(server, directory, "per_consumer", quick=quick),
                # Last: from here on the server has a low priority.
                *bench_10_000(server, directory, quick=quick),
            ]
        finally:
            server.stop()


if __name__ == "__main__":
    play_contender(*sys.argv[1:])
