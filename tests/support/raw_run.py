"""Simulates a run on one host and writes the raw files that real agents would have left.

The simulation is of the stream (max age, in order) and of the poll schedule; times within a second
are made up from fixed delays. What the consumers missed is known, so that tests can compare.
"""

from __future__ import annotations

import gzip
import json
import random
from array import array
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from fpaas.common_time import NS_PER_MS, NS_PER_S
from fpaas.control import collecting
from fpaas.measures import delivery_log, first_fetch
from fpaas.measures.delivery_log import DeliveryLog
from fpaas.measures.histogram_log import BY_BEGINNING, HistogramLog, Recorder
from fpaas.measures.intervals import IntervalSet
from fpaas.probe import seal
from fpaas.records import consumers, events, files, nats, probe, relay, shuffler, status
from fpaas.records.consumers import Connections, Fetches, WorkerResult, WorkerSample
from fpaas.records.files import LineWriter
from fpaas.records.nats import (
    Connz,
    DurableState,
    FinalSnapshot,
    Lag,
    NatsSample,
    ServerLife,
    StreamState,
    Varz,
)
from fpaas.records.probe import (
    ClockComparison,
    ClockExchange,
    HostSample,
    NatsSamples,
    OwnCost,
    ProbeResult,
    ProcessSample,
    Samples,
)
from fpaas.records.relay import RelayResult, RelaySample
from fpaas.records.shuffler import (
    ShufflerSample,
)
from fpaas.records.status import State
from fpaas.spec import RunSpec, Scenario, Topology, build, read_variables
from tests.support import control_account
from tests.support.shuffler_results import make_shuffler

HOST = "localhost"
T0_UNIX_NS = 1_790_000_000_000_000_000
READ_AFTER_NS = 300_000
STORED_AFTER_NS = 900_000
ACKED_AFTER_NS = 1_200_000
FETCH_TAKES_NS = 2_000_000
FRAME_BYTES = 5_460
SERVER = ServerLife(
    server_id="NAAA", start="2026-09-21T00:00:00Z", version="2.15.1", slow_consumers=0
)


@dataclass
class Truth:
    """What happened, for tests to compare with."""

    offered: int = 0
    delivered: int = 0
    expired_unread: int = 0
    pending_at_end: int = 0


@dataclass
class RawRun:
    """A simulated run; `write` makes its bundle directory."""

    values: dict[str, Any] = field(default_factory=dict)
    workers: int = 1
    first_seq: int = 1_000_001
    truth: Truth = field(default_factory=Truth)

    def __post_init__(self) -> None:
        defaults = {
            "bench_consumers": 10,
            "bench_poll_interval_s": 5,
            "bench_batch_size": 50,
            "bench_firehose_rate_per_s": 100,
            "bench_warmup_s": 5,
            "bench_measure_s": 30,
            "bench_drain_s": 5,
            "bench_stream_max_age_s": 15,
        }
        self.spec: RunSpec = build(
            read_variables(defaults | self.values),
            run_id="20260921T120000Z-scenario-1",
            scenario=Scenario("scenario-1", "Scenario 1: baseline", "validate functionality"),
            topology=Topology(
                hosts={group: [HOST] for group in ("relay", "nats", "shuffler", "consumers")},
                nats_url="nats://127.0.0.1:4222",
                nats_monitoring_url="http://127.0.0.1:8222",
                relay_url="ws://127.0.0.1:2480",
            ),
            first_seq=self.first_seq,
            t0_unix_ns=T0_UNIX_NS,
        )
        self.random = random.Random(self.spec.seed)
        rate, frames = self.spec.firehose.rate_per_s, self.spec.frames_due()
        assert rate is not None
        assert frames is not None
        self.due_ns = [T0_UNIX_NS + round(frame * NS_PER_S / rate) for frame in range(frames)]
        self.stored_ns = [due + STORED_AFTER_NS for due in self.due_ns]

    def first_stored(self, at_ns: int) -> int:
        """First stream sequence that the stream still holds at a time."""
        max_age_ns = round(self.spec.stream.max_age_s * NS_PER_S)
        return bisect_right(self.stored_ns, at_ns - max_age_ns) + 1

    def last_stored(self, at_ns: int) -> int:
        return bisect_right(self.stored_ns, at_ns)

    def write(self, directory: Path, *, sealed: bool = True) -> Path:
        """Write the bundle into a new directory and return it."""
        self.directory = directory / "hosts" / HOST
        self.directory.mkdir(parents=True)
        (self.directory / "run.json").write_text(self.spec.to_json())
        collecting.put_at_head(directory, HOST)
        control_account.write(directory)
        self._write_relay()
        self._write_shuffler()
        durables = self._write_consumers()
        self._write_probe(durables)
        for agent in ("relay", "shuffler", "consumers", "probe"):
            own = status.AgentStatus(
                agent=agent,
                state=State.DONE,
                pid=1,
                pids=[1],
                unix_ns=self.spec.settled_unix_ns,
            )
            status.write(self.directory, own)
        for result in self.directory.glob("*.hlog"):
            result.with_suffix(f".{events.SUFFIX}").touch()
        for agent in ("probe", "consumers"):
            (self.directory / f"{agent}.{events.SUFFIX}").touch()
        if sealed:
            seal.seal(self.directory, HOST)
        return directory

    def _write(self, name: str, record: object) -> None:
        files.write(self.directory / name, record)

    def _lines(self, name: str, lines: Iterable[object]) -> None:
        writer = LineWriter(self.directory / name)
        for line in lines:
            writer.write(line)
        writer.close()

    def file_by_beginning(self) -> None:
        """Say in each log that calls are filed by the new rule."""
        for path in self.directory.glob("*.hlog"):
            first, *rest = path.read_text().splitlines()
            path.write_text("\n".join([first, BY_BEGINNING, *rest]) + "\n")

    def _seconds(self, until_ns: int) -> list[int]:
        """Times of the samples, one a second and one at the end."""
        times = list(range(T0_UNIX_NS - 2 * NS_PER_S, until_ns, NS_PER_S))
        return [*times, until_ns]

    def _histograms(self, name: str, samples: dict[str, dict[int, list[int]]]) -> None:
        """Write samples {leg: {second since T0: [ns]}}."""
        recorders = {leg: Recorder(leg) for leg in samples}
        log = HistogramLog(self.directory / name, list(recorders.values()), T0_UNIX_NS / 1e9)
        for second in sorted({second for leg in samples.values() for second in leg}):
            for leg, recorder in recorders.items():
                recorder.samples_ns.extend(samples[leg].get(second, ()))
            log.end_interval(T0_UNIX_NS / 1e9 + second + 1)
        log.close(T0_UNIX_NS / 1e9 + second + 1)

    def _around(self, mean_ns: int) -> int:
        return round(mean_ns * self.random.uniform(0.8, 1.4))

    def _loop_lag(self) -> dict[int, list[int]]:
        seconds = round((self.spec.end_unix_ns - T0_UNIX_NS) / NS_PER_S)
        return {second: [self._around(80_000) for _ in range(20)] for second in range(seconds)}

    def _per_frame(self, mean_ns: int) -> dict[int, list[int]]:
        samples: defaultdict[int, list[int]] = defaultdict(list)
        for due_ns in self.due_ns:
            samples[(due_ns - T0_UNIX_NS) // NS_PER_S].append(self._around(mean_ns))
        return samples

    def _write_relay(self) -> None:
        offered = self.truth.offered = len(self.due_ns)
        self._write(
            relay.NAME,
            RelayResult(
                first_seq=self.first_seq,
                last_seq=self.first_seq + offered - 1,
                offered=offered,
                sent=offered,
                replayed=0,
                handed=offered,
                ignored=0,
                connects=1,
                slow_disconnects=0,
                blocked_s=0.0,
            ),
        )
        self._lines(
            relay.SAMPLES,
            (
                RelaySample(
                    unix_ns=at,
                    offered=(due := bisect_right(self.due_ns, at)),
                    ignored=0,
                    sent=due,
                    replayed=0,
                    subscribers=1,
                    blocked_s=0.0,
                )
                for at in self._seconds(self.spec.settled_unix_ns)
            ),
        )
        self._histograms(
            "relay.hlog", {"relay_lateness": self._per_frame(60_000), "loop_lag": self._loop_lag()}
        )

    def _write_shuffler(self) -> None:
        offered = len(self.due_ns)
        everything = IntervalSet([(self.first_seq, self.first_seq + offered - 1)])
        self._write(
            shuffler.NAME,
            make_shuffler(
                offered,
                read=everything,
                published=everything,
                stream_seqs=[(self.first_seq, 1, offered)],
                message_bytes={
                    "commit app.bsky.feed.like": {FRAME_BYTES: offered - offered // 10},
                    "commit app.bsky.feed.post": {7400: offered // 10},
                },
                last_cursor=self.first_seq + offered - 1,
            ),
        )
        self._lines(
            shuffler.SAMPLES,
            (
                ShufflerSample(
                    unix_ns=at,
                    read=(read := bisect_right(self.due_ns, at - READ_AFTER_NS)),
                    published=bisect_right(self.due_ns, at - ACKED_AFTER_NS),
                    duplicates=0,
                    failed=0,
                    unknown=0,
                    in_flight=1,
                    last_seq=self.first_seq + read - 1 if read else None,
                    last_stream_seq=self.last_stored(at),
                    relay_connects=1,
                    nats_connects=1,
                )
                for at in self._seconds(self.spec.end_unix_ns)
            ),
        )
        self._histograms(
            "shuffler.hlog",
            {
                "due_to_read": self._per_frame(READ_AFTER_NS),
                "publish_ack": self._per_frame(ACKED_AFTER_NS - READ_AFTER_NS),
                "due_to_ack": self._per_frame(ACKED_AFTER_NS),
                "loop_lag": self._loop_lag(),
            },
        )
        dids = array("I", (self._did(seq) for seq in range(1, offered + 1)))
        (self.directory / "shuffler.dids.bin").write_bytes(dids.tobytes())

    @staticmethod
    def _did(stream_seq: int) -> int:
        return stream_seq * 7

    def _partition(self, stream_seq: int) -> int:
        return self._did(stream_seq) % max(1, self.spec.consumers.partitions)

    def _polls(self) -> list[tuple[int, int]]:
        """All polls as (time, consumer), in order."""
        consumers = self.spec.consumers
        interval_ns = round(consumers.poll_interval_s * NS_PER_S)
        polls = []
        for index in range(consumers.count):
            at = T0_UNIX_NS + round(interval_ns * self.random.random())
            while at < self.spec.end_unix_ns - FETCH_TAKES_NS:
                polls.append((at, index))
                jitter = consumers.poll_jitter_pct / 100
                at += round(interval_ns * self.random.uniform(1 - jitter, 1 + jitter))
        return sorted(polls)

    def _write_consumers(self) -> list[DurableState]:
        """Play the consumers; returns the server's view of their durables at the end."""
        spec = self.spec
        count = spec.consumers.count
        logs = [DeliveryLog(index, spec.durable_of(index)) for index in range(count)]
        positions: defaultdict[str, list[int]] = defaultdict(lambda: [0, 0])  # stream, consumer seq
        bounds = [count * worker // self.workers for worker in range(self.workers + 1)]
        workers = [_Worker(bounds[w], bounds[w + 1], len(self.due_ns)) for w in range(self.workers)]
        for at, index in self._polls():
            worker = next(w for w in workers if w.first <= index < w.until)
            taken = self._fetch(spec.durable_of(index), index, at, positions)
            self._receive(worker, logs[index], at, taken)
        for number, worker in enumerate(workers):
            self._write_worker(number, worker, logs[worker.first : worker.until])
        return self._durables(positions)

    def _matches(self, index: int, stream_seq: int) -> bool:
        return not self.spec.consumers.partitions or self._partition(stream_seq) == index

    def _matching(self, index: int, first: int, last: int) -> int:
        if not self.spec.consumers.partitions:
            return max(0, last + 1 - first)
        return sum(self._matches(index, seq) for seq in range(first, last + 1))

    def _fetch(
        self, durable: str, index: int, at: int, positions: dict[str, list[int]]
    ) -> list[tuple[int, int]]:
        position = positions[durable]
        taken: list[tuple[int, int]] = []
        next_seq = max(position[0] + 1, self.first_stored(at))
        for stream_seq in range(next_seq, self.last_stored(at) + 1):
            if len(taken) == self.spec.consumers.batch_size:
                break
            position[0] = stream_seq
            if self._matches(index, stream_seq):
                position[1] += 1
                taken.append((stream_seq, position[1]))
        return taken

    def _receive(
        self, worker: _Worker, log: DeliveryLog, at: int, taken: list[tuple[int, int]]
    ) -> None:
        received_ns = at + FETCH_TAKES_NS
        second = (received_ns - T0_UNIX_NS) // NS_PER_S
        samples = worker.samples
        samples["poll_lateness"][second].append(self._around(300_000))
        samples["fetch_call"][second].append(self._around(FETCH_TAKES_NS))
        samples["fetch_call_intended"][second].append(self._around(FETCH_TAKES_NS + 300_000))
        worker.polls.append(at)
        for stream_seq, consumer_seq in taken:
            log.record(stream_seq, consumer_seq, (received_ns - T0_UNIX_NS) // NS_PER_MS)
            age_ns = received_ns - self.stored_ns[stream_seq - 1]
            samples["publish_to_fetch"][second].append(age_ns)
            samples["end_to_end"][second].append(received_ns - self.due_ns[stream_seq - 1])
            worker.received.append(received_ns)
            earliest = worker.first_fetch[stream_seq - 1]
            units = first_fetch.encode(age_ns)
            worker.first_fetch[stream_seq - 1] = min(earliest or units, units)
        if taken:
            worker.ok += 1
            worker.ok_at.append(received_ns)
        if len(taken) < self.spec.consumers.batch_size:
            worker.short += 1
        log.end_run()

    def _write_worker(self, number: int, worker: _Worker, logs: list[DeliveryLog]) -> None:
        stem = consumers.stem(number)
        self.truth.delivered += len(worker.received)
        self._write(
            consumers.name(number),
            WorkerResult(
                worker=number,
                first=worker.first,
                count=worker.until - worker.first,
                processed=len(worker.received),
                bytes=len(worker.received) * FRAME_BYTES,
                redelivered=0,
                duplicate_deliveries=0,
                polls=len(worker.polls),
                acks=len(worker.received),
                consumers_never_fetched=sum(not log.runs for log in logs),
                fetches=Fetches(
                    pulls=len(worker.polls),
                    ok=worker.ok,
                    empty=len(worker.polls) - worker.ok,
                    refused=0,
                    client_timeout=0,
                    lost=0,
                    unanswered=0,
                    unsent=0,
                    by_status={"404": worker.short} if worker.short else {},
                ),
                connections=Connections(
                    count=1, errors=0, reconnects=0, slow_consumer_disconnects=0
                ),
                first_poll_unix_ns=min(worker.polls, default=None),
                started_unix_ns=T0_UNIX_NS + 3_000_000,
                nats_rtt_ms=0.1,
            ),
        )
        self._lines(
            consumers.samples_name(number),
            (
                WorkerSample(
                    unix_ns=at,
                    processed=(processed := bisect_right(worker.received, at)),
                    bytes=processed * FRAME_BYTES,
                    polls=bisect_right(worker.polls, at),
                    ok=bisect_right(worker.ok_at, at),
                    empty=0,
                    acks=processed,
                    redelivered=0,
                    errors=0,
                    reconnects=0,
                )
                for at in self._seconds(self.spec.end_unix_ns)
            ),
        )
        self._histograms(f"{stem}.hlog", worker.samples | {"loop_lag": self._loop_lag()})
        delivery_log.write(self.directory / f"{stem}.deliveries.cbor.gz", logs)
        with gzip.open(self.directory / f"{stem}.first_fetch.bin.gz", "wb") as file:
            file.write(worker.first_fetch.tobytes())

    def _durables(self, positions: dict[str, list[int]]) -> list[DurableState]:
        """Describe durables as the server would, and settle what their consumers missed."""
        spec = self.spec
        last = len(self.due_ns)
        first = min(self.first_stored(spec.settled_unix_ns), last + 1)
        durables = []
        for durable in dict.fromkeys(spec.durable_of(i) for i in range(spec.consumers.count)):
            index = int(durable[-5:]) if spec.consumers.partitions else 0
            stream_seq, consumer_seq = positions[durable]
            pending = self._matching(index, max(first, stream_seq + 1), last)
            owed = self._matching(index, 1, last)
            self.truth.pending_at_end += pending
            self.truth.expired_unread += owed - pending - consumer_seq
            durables.append(
                DurableState(
                    name=durable,
                    delivered_consumer_seq=consumer_seq,
                    delivered_stream_seq=stream_seq,
                    ack_floor_consumer_seq=consumer_seq,
                    ack_floor_stream_seq=stream_seq,
                    num_pending=pending,
                    num_ack_pending=0,
                    num_redelivered=0,
                )
            )
        return durables

    def _stream(self, at: int) -> StreamState:
        last = self.last_stored(at)
        first = min(self.first_stored(at), last + 1)
        return StreamState(
            messages=last - first + 1,
            bytes=(last - first + 1) * (FRAME_BYTES + 160),
            first_seq=first,
            last_seq=last,
            consumer_count=len({*map(self.spec.durable_of, range(self.spec.consumers.count))}),
            num_deleted=0,
        )

    def _write_probe(self, durables: list[DurableState]) -> None:
        spec = self.spec
        times = self._seconds(spec.settled_unix_ns)
        self._lines(
            probe.HOST,
            (
                HostSample(
                    unix_ns=at,
                    cpu_pct=40 + self.random.uniform(-5, 5),
                    steal_pct=0.5,
                    iowait_pct=0.1,
                    mem_mb=900.0,
                    mem_total_mb=4000.0,
                    load1=1.1,
                    net_rx_bytes=1_000_000 * tick,
                    net_tx_bytes=2_000_000 * tick,
                    disk_read_bytes=0,
                    disk_write_bytes=4096 * tick,
                )
                for tick, at in enumerate(times)
            ),
        )
        processes = {"nats": 90.0, "shuffler": 50.0, "consumers": 70.0, "relay": 35.0}
        self._lines(
            probe.PROCESSES,
            (
                ProcessSample(
                    unix_ns=at,
                    process=process,
                    pid=100 + number,
                    cpu_pct=12.0 + number + self.random.uniform(-2, 2),
                    rss_mb=rss_mb,
                    fds=20,
                    threads=2,
                    ctx_switches_voluntary=10,
                    ctx_switches_involuntary=1,
                )
                for at in times
                for number, (process, rss_mb) in enumerate(processes.items())
            ),
        )
        self._lines(
            nats.SAMPLES,
            (
                NatsSample(
                    unix_ns=at,
                    varz=Varz(**msgspec.structs.asdict(SERVER), cpu_pct=12.0, mem_mb=90.0),
                    stream=self._stream(at),
                    connz=Connz(count=3, pending_bytes_max=0),
                    lag=Lag(consumers=10, p50=900, p99=1100, max=1200, sum=9500),
                    ack_pending=0,
                    took_ms=4.0,
                )
                for at in times[::5]
            ),
        )
        settled = self._stream(spec.settled_unix_ns)
        self._write(
            nats.FINAL,
            FinalSnapshot(
                unix_ns=spec.settled_unix_ns,
                stream_before=settled,
                stream_after=settled,
                consumers=durables,
                server=SERVER,
            ),
        )
        self._lines(
            probe.CLOCK,
            [
                ClockExchange(
                    unix_ns=T0_UNIX_NS,
                    phase="before",
                    offset_low_ns=-90_000,
                    offset_high_ns=70_000,
                    rtt_ns=160_000,
                )
            ],
        )
        self._write(
            probe.NAME,
            ProbeResult(
                cpu_count=2,
                mem_total_mb=4000.0,
                kernel="6.1.0",
                python="3.11.7",
                host=HOST,
                own=OwnCost(cpu_pct_mean=0.5, cpu_s=0.2, rss_mb_max=31.0),
                samples=Samples(taken=len(times), missed=0),
                nats_samples=NatsSamples(taken=len(times[::5]), with_errors=0),
                clock=ClockComparison(
                    bound_ms=0.08,
                    offset_ms=-0.01,
                    method="publish and stored timestamp, 1 exchanges",
                    exchanges=1,
                ),
            ),
        )


class _Worker:
    """What one worker process saw."""

    def __init__(self, first: int, until: int, frames: int) -> None:
        self.first = first
        self.until = until
        self.first_fetch = array("I", [0]) * frames
        self.samples: dict[str, defaultdict[int, list[int]]] = {
            leg: defaultdict(list)
            for leg in (
                "publish_to_fetch",
                "end_to_end",
                "fetch_call",
                "fetch_call_intended",
                "poll_lateness",
            )
        }
        self.polls: list[int] = []
        self.received: list[int] = []
        self.ok = 0
        self.ok_at: list[int] = []
        self.short = 0


def truth_of(run: RawRun) -> dict[str, int]:
    """What the ledger must say, once `write` has played the run."""
    return asdict(run.truth)


def change_spec(run: Path, **changes: object) -> None:
    """Change run.json as if it had been played so, and seal it."""
    part = run / "hosts" / HOST
    content = json.dumps(json.loads((run / "run.json").read_text()) | changes)
    for place in (run, part):
        (place / "run.json").write_text(content)
    if (part / "seal.json").exists():
        seal.seal(part, HOST)
