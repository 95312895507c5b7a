"""The relay: how many frames a second it sends to one subscriber, and how late they are.

The subscriber is a socket that counts frames and decodes none, so that it is not what is measured.
Beside it, in the same run, `websockets`' own server sends ready-made frames one `await` each.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from typing import Any

import psutil
from tests.support.relay_process import PATH, running_relay
from websockets.asyncio.server import ServerConnection, serve

from fpaas.firehose.capture import LENGTH
from fpaas.firehose.synthetic import Synthetic
from fpaas.measures.histograms import merge_logs

#: More than the relay can send: it is never idle.
SATURATED_PER_S = 1_000_000
UNLIMITED_FRAMES = 10**9
POOL_FRAMES = 2048
#: Before the count begins: buffers fill, caches warm.
SETTLE_S = 0.5


def run(*, quick: bool) -> list[dict[str, Any]]:
    """Measure; see benchmarks.__main__ for the form of the results."""
    repeats, seconds = (1, 2.0) if quick else (3, 4.0)
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        capture = directory / "capture"
        firehose = Synthetic(seed=1)
        frames = [firehose.frame(index) for index in range(POOL_FRAMES)]
        capture.write_bytes(b"".join(LENGTH.pack(len(frame)) + frame for frame in frames))
        # In turns: what disturbs the machine disturbs all of them.
        rounds = [
            (
                saturated(directory, seconds),
                saturated(directory, seconds, "--source", capture),
                plain(seconds),
            )
            for _ in range(repeats)
        ]
        lateness = {
            rate: [lateness_p99_ms(directory, rate, seconds) for _ in range(repeats)]
            for rate in (2000, 20_000)
        }
    synthetic, looped, websockets = zip(*rounds, strict=True)
    ratios = [ours[0] / theirs for (ours, _, theirs) in rounds]
    return [
        result("synthetic frames to one subscriber", [r[0] for r in synthetic], "/s", 20_000, 1),
        result("looped capture to one subscriber", [r[0] for r in looped], "/s", 20_000, 1),
        result("ready-made frames by websockets' own server", list(websockets), "/s"),
        result("ratio of ours to that", ratios, "x"),
        result("CPU a synthetic frame", [r[1] for r in synthetic], "µs", 25, -1),
        result("p99 lateness at 2000/s", lateness[2000], "ms", 5, -1),
        result("p99 lateness at 20 000/s", lateness[20_000], "ms"),
    ]


def result(
    name: str, repeats: list[float], unit: str, target: float | None = None, direction: int = 1
) -> dict[str, Any]:
    """Describe a median; `direction` is 1 if more is better, -1 if less is."""
    value = median(repeats)
    return {
        "name": name,
        "value": value,
        "unit": unit,
        "target": None if target is None else f"{'≥' if direction > 0 else '≤'} {target:,.0f}",
        "met": None if target is None else direction * (value - target) >= 0,
        "repeats": repeats,
    }


def saturated(directory: Path, seconds: float, *options: object) -> tuple[float, float]:
    """Return frames a second and the relay's µs of CPU a frame, when all are overdue."""
    overdue = ("--rate-per-s", SATURATED_PER_S, "--max-lag-frames", UNLIMITED_FRAMES)
    with running_relay(directory, *overdue, *options) as relay:
        process = psutil.Process(relay.process.pid)
        with subscribed(relay.url) as count:
            count(SETTLE_S)
            before = process.cpu_times()
            frames, took_s = count(seconds)
            after = process.cpu_times()
    cpu_s = after.user + after.system - before.user - before.system
    return frames / took_s, 1e6 * cpu_s / frames


def lateness_p99_ms(directory: Path, rate_per_s: int, seconds: float) -> float:
    """Return how late 99 of 100 frames were at most, from the relay's own histogram."""
    options = ("--rate-per-s", rate_per_s, "--out", directory)
    with running_relay(directory, *options) as relay:
        with subscribed(relay.url) as count:
            count(seconds)
        relay.stop()
    p99_us = merge_logs([directory / "relay.hlog"])["relay_lateness"].percentile_us(99)
    if p99_us is None:
        raise RuntimeError(f"no frame was sent: {relay.log}")
    return p99_us / 1000


def plain(seconds: float) -> float:
    """Return frames a second of `websockets`' asyncio server, in a process of its own."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    server = context.Process(target=_serve_plainly, args=(theirs,), daemon=True)
    server.start()
    try:
        with subscribed(ours.recv()) as count:
            count(SETTLE_S)
            frames, took_s = count(seconds)
    finally:
        server.kill()
        server.join()
    return frames / took_s


def _serve_plainly(ready: Connection) -> None:
    firehose = Synthetic(seed=1)
    frames = [firehose.frame(index) for index in range(POOL_FRAMES)]

    async def send(connection: ServerConnection) -> None:
        while True:
            for frame in frames:
                await connection.send(frame)

    async def main() -> None:
        async with serve(send, "127.0.0.1", 0, compression=None) as server:
            host, port = next(iter(server.sockets)).getsockname()
            ready.send(f"ws://{host}:{port}")
            await server.serve_forever()

    asyncio.run(main())


Counter = Callable[[float], tuple[int, float]]


@contextmanager
def subscribed(url: str) -> Iterator[Counter]:
    """Subscribe with a bare socket; yields what counts whole frames for some seconds."""
    host, port = url.removeprefix("ws://").split(":")
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(
            f"GET {PATH} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\n"
            "Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            "Sec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        pending = b""
        while b"\r\n\r\n" not in pending:
            pending += connection.recv(1)
        counted = _frames(connection)

        def count(seconds: float) -> tuple[int, float]:
            began_s = time.perf_counter()
            frames = 0
            while time.perf_counter() - began_s < seconds:
                frames += next(counted)
            return frames, time.perf_counter() - began_s

        yield count


def _frames(connection: socket.socket) -> Iterator[int]:
    """Yield how many frames began in each chunk read; follows their lengths only."""
    buffer = bytearray(1 << 20)
    kept = 0  # bytes of a header that was cut
    skip = 0  # bytes of a frame that are still to come
    while True:
        size = kept + connection.recv_into(memoryview(buffer)[kept:])
        if size == kept:
            raise RuntimeError("the relay closed the connection")
        at, frames = skip, 0
        while at + 10 <= size:
            length = buffer[at + 1]
            if length == 126:
                at += 4 + int.from_bytes(buffer[at + 2 : at + 4], "big")
            elif length == 127:
                at += 10 + int.from_bytes(buffer[at + 2 : at + 10], "big")
            else:
                at += 2 + length
            frames += 1
        kept = max(0, size - at)
        skip = max(0, at - size)
        buffer[:kept] = buffer[at : at + kept]
        yield frames
