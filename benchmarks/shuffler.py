"""The shuffler's throughput on loopback and over a link with a round trip, and its memory.

Relay, nats-server and shuffler are processes of their own on the same cores, frames are synthetic
(5.5 KB in the mean), and the rate is the growth of the stream as the server tells it.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import nats
import psutil
from nats.js.api import StorageType, StreamConfig
from tests.support.checkout import CHECKOUT, SCRIPTS
from tests.support.nats_servers import NatsServer
from tests.support.ports import free_port

from fpaas.firehose.relay_client import subscription_url
from fpaas.spec import STREAM_NAME, SUBJECT_ROOT

ACKED_PER_S_MIN = 10_000
TIMES_AWAITED_MIN = 8
RSS_MB_MAX = 120
ROUND_TRIP_MS = 1.0
#: Rates are taken between these shares of the frames: neither starting up nor running dry.
FROM_SHARE, TO_SHARE = 0.1, 0.9
OUTAGE_RATE_PER_S = 2000
TIMEOUT_S = 120.0


class Bench:
    """A nats-server with an empty stream, a relay with frames to give, and who reads it."""

    def __init__(self, directory: Path, stack: ExitStack, frames: int, rate_per_s: int) -> None:
        self.frames = frames
        self._directory = directory
        self._stack = stack
        self.server = NatsServer(directory)
        self.server.start()
        stack.callback(self.server.kill)
        self.create_stream()
        port = free_port()
        self.relay_url = f"ws://127.0.0.1:{port}"
        self.relay = self.start(
            *(SCRIPTS / "fpaas", "relay", "--listen", f"127.0.0.1:{port}"),
            *("--rate-per-s", rate_per_s, "--max-frames", frames),
        )
        _until(lambda: _listens(port))

    def create_stream(self) -> None:
        async def create() -> None:
            client = await nats.connect(self.server.url)
            await client.jetstream().add_stream(
                StreamConfig(
                    name=STREAM_NAME,
                    subjects=[f"{SUBJECT_ROOT}.>"],
                    storage=StorageType.MEMORY,
                    duplicate_window=300,
                )
            )
            await client.close()

        asyncio.run(create())

    def start(self, *command: object) -> psutil.Popen:
        log = (self._directory / "processes.log").open("ab")
        process = psutil.Popen([str(part) for part in command], stderr=log, cwd=CHECKOUT)
        self._stack.callback(_end, process)
        return process

    def start_shuffler(self, nats_url: str) -> psutil.Popen:
        cursor_file = self._directory / "cursor.json"
        cursor = {"relay": subscription_url(self.relay_url), "cursor": 0}
        cursor_file.write_text(json.dumps(cursor))
        return self.start(
            *(SCRIPTS / "fpaas", "shuffler", "--relay", self.relay_url, "--nats-url", nats_url),
            *("--cursor-file", cursor_file, "--metrics-listen", "127.0.0.1:0"),
        )

    def start_link(self, delay_ms: float) -> str:
        port = free_port()
        self.start(
            *(sys.executable, "-m", "benchmarks._delaying_link", port),
            *("127.0.0.1", self.server.port, delay_ms),
        )
        _until(lambda: _listens(port))
        return f"nats://127.0.0.1:{port}"

    def stored(self) -> int:
        async def read() -> int:
            client = await nats.connect(self.server.url)
            state = (await client.jetstream().stream_info(STREAM_NAME)).state
            await client.close()
            return state.messages

        return asyncio.run(read())

    def rate(self, process: psutil.Popen) -> tuple[float, float]:
        """Watch the stream fill; returns messages a second and the process's CPU µs a message."""

        async def watch() -> tuple[float, float]:
            client = await nats.connect(self.server.url)
            stream = client.jetstream()
            start: tuple[float, int, float] | None = None
            while True:
                count = (await stream.stream_info(STREAM_NAME)).state.messages
                now_s, cpu_s = time.monotonic(), sum(process.cpu_times()[:2])
                if start is None and count >= FROM_SHARE * self.frames:
                    start = (now_s, count, cpu_s)
                if start and count >= TO_SHARE * self.frames:
                    break
                await asyncio.sleep(0.02)
            await client.close()
            messages = count - start[1]
            return messages / (now_s - start[0]), (cpu_s - start[2]) / messages * 1e6

        return asyncio.run(asyncio.wait_for(watch(), TIMEOUT_S))

    def assert_nothing_lost(self) -> None:
        _until(lambda: self.stored() >= self.frames)
        if self.stored() != self.frames:
            raise RuntimeError(f"{self.stored()} messages of {self.frames} frames")


def _end(process: psutil.Popen) -> None:
    if process.poll() is None:
        process.kill()
    process.wait()


def _listens(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def _until(true: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + TIMEOUT_S
    while not true():
        if time.monotonic() > deadline_s:
            raise TimeoutError(f"not so in {TIMEOUT_S:g} s")
        time.sleep(0.05)


@contextmanager
def _bench(frames: int, rate_per_s: int = 1_000_000) -> Iterator[Bench]:
    with tempfile.TemporaryDirectory() as directory, ExitStack() as stack:
        yield Bench(Path(directory), stack, frames, rate_per_s)


def loopback(frames: int) -> tuple[float, float, float]:
    """Return acked frames a second, shuffler CPU µs a frame, and its RSS in MB."""
    with _bench(frames) as bench:
        process = bench.start_shuffler(bench.server.url)
        per_s, cpu_us = bench.rate(process)
        bench.assert_nothing_lost()
        return per_s, cpu_us, process.memory_info().rss / 1e6


def round_trip_ms(url: str) -> float:
    """Return the median of PING → PONG."""

    async def measure() -> float:
        client = await nats.connect(url)
        samples_ms = []
        for _ in range(200):
            began_s = time.perf_counter()
            await client.flush()
            samples_ms.append((time.perf_counter() - began_s) * 1e3)
        await client.close()
        return statistics.median(samples_ms)

    return asyncio.run(measure())


def linked(frames: int, awaited_frames: int) -> tuple[float, float, float]:
    """Return the link's round trip in ms, and frames a second of the shuffler and the awaiting."""
    with _bench(1) as bench:
        # Waking up costs a part of the round trip: delay by what is left of it.
        excess_ms = round_trip_ms(bench.start_link(ROUND_TRIP_MS / 2)) - ROUND_TRIP_MS
    delay_ms = max(0.0, (ROUND_TRIP_MS - excess_ms) / 2)
    with _bench(awaited_frames) as bench:
        url = bench.start_link(delay_ms)
        command = (sys.executable, "-m", "benchmarks._awaiting_shuffler", bench.relay_url, url)
        awaited_per_s, _ = bench.rate(bench.start(*command))
    with _bench(frames) as bench:
        url = bench.start_link(delay_ms)
        measured_ms = round_trip_ms(url)
        per_s, _ = bench.rate(bench.start_shuffler(url))
        bench.assert_nothing_lost()
    return measured_ms, per_s, awaited_per_s


def outage(outage_s: float, *, crash: bool) -> float:
    """Return the shuffler's largest RSS in MB through an outage of NATS, which loses nothing.

    A hung server is continued; a crashed one loses its stream, and gets what is still to come.
    """
    with _bench(round(OUTAGE_RATE_PER_S * (outage_s + 4)), OUTAGE_RATE_PER_S) as bench:
        process = bench.start_shuffler(bench.server.url)
        _until(lambda: bench.stored() > OUTAGE_RATE_PER_S)
        if crash:
            bench.server.kill()
        else:
            os.kill(bench.server.pid, signal.SIGSTOP)
        peak_bytes = _peak_rss_bytes(process, outage_s)
        if crash:
            bench.server.start()
            bench.create_stream()
            _until(lambda: bench.stored() > OUTAGE_RATE_PER_S * outage_s / 2)
        else:
            os.kill(bench.server.pid, signal.SIGCONT)
            bench.assert_nothing_lost()
        return max(peak_bytes, _peak_rss_bytes(process, 0.5)) / 1e6


def _peak_rss_bytes(process: psutil.Popen, duration_s: float) -> int:
    peak = 0
    deadline_s = time.monotonic() + duration_s
    while time.monotonic() < deadline_s:
        peak = max(peak, process.memory_info().rss)
        time.sleep(0.1)
    return peak


def run(*, quick: bool) -> list[dict[str, Any]]:
    """Measure throughput (medians) and memory."""
    repeats = 1 if quick else 3
    outage_s = 10.0 if quick else 30.0
    on_loopback = [loopback(100_000) for _ in range(repeats)]
    on_link = [linked(60_000, 4000) for _ in range(repeats)]
    per_s, cpu_us, rss_mb = map(statistics.median, zip(*on_loopback, strict=True))
    trip_ms, link_per_s, awaited_per_s = map(statistics.median, zip(*on_link, strict=True))
    times = statistics.median(fast / slow for _, fast, slow in on_link)
    stopped_mb = outage(outage_s, crash=False)
    crashed_mb = outage(outage_s, crash=True)
    link = f"round trip of {ROUND_TRIP_MS:g} ms"
    results = [
        _result("acked on loopback", per_s, "frames/s", minimum=ACKED_PER_S_MIN),
        _result("own CPU a frame, loopback", cpu_us, "µs"),
        _result("RSS after it", rss_mb, "MB", maximum=RSS_MB_MAX),
        _result(f"round trip measured, {link}", trip_ms, "ms"),
        _result(f"acked, {link}", link_per_s, "frames/s"),
        _result(f"each publish awaited, {link}", awaited_per_s, "frames/s"),
        _result(f"ratio, {link}", times, "times", minimum=TIMES_AWAITED_MIN),
    ]
    for result in results:
        result["repeats"] = repeats
    return [
        *results,
        _result(f"peak RSS, NATS hung {outage_s:g} s", stopped_mb, "MB", maximum=RSS_MB_MAX),
        _result(f"peak RSS, NATS dead {outage_s:g} s", crashed_mb, "MB", maximum=RSS_MB_MAX),
    ]


def _result(
    name: str,
    value: float,
    unit: str,
    *,
    minimum: float | None = None,
    maximum: float | None = None,
) -> dict[str, Any]:
    result = {"name": name, "value": value, "unit": unit, "target": None, "met": None}
    if minimum is not None:
        return result | {"target": f"≥ {minimum:g}", "met": value >= minimum}
    if maximum is not None:
        return result | {"target": f"≤ {maximum:g}", "met": value <= maximum}
    return result
