"""An observer of a test's own: how long a NATS server, and this machine, really did nothing."""

from __future__ import annotations

import select
import socket
import threading
import time
from collections import deque
from dataclasses import dataclass

INTERVAL_S = 0.01


@dataclass(frozen=True)
class Ping:
    """A PING and when its PONG came, in Unix seconds."""

    sent_s: float
    answered_s: float

    @property
    def took_s(self) -> float:
        return self.answered_s - self.sent_s


class PingRecorder(threading.Thread):
    """Sends PING on a connection of its own every 10 ms and notes when PONG comes.

    `wake_up_lag_s` is the most that the thread itself woke up too late: what the machine's load
    did to a process that only sleeps.
    """

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self._port = port
        self._ended = threading.Event()
        self.pings: list[Ping] = []
        self.wake_up_lag_s = 0.0

    def run(self) -> None:
        with socket.create_connection(("127.0.0.1", self._port)) as connection:
            connection.sendall(b'CONNECT {"verbose":false,"pedantic":false}\r\n')
            self._ping(connection)

    def end(self) -> None:
        self._ended.set()
        self.join()

    def longest_within(self, from_s: float, until_s: float) -> Ping:
        """Return the ping that took longest of those sent in a stretch of time."""
        within = [ping for ping in self.pings if from_s <= ping.sent_s < until_s]
        return max(within, key=lambda ping: ping.took_s)

    def longest_outside(self, from_s: float, until_s: float) -> float:
        """Return the longest round trip of pings that were sent outside of a stretch of time."""
        return max(ping.took_s for ping in self.pings if not from_s <= ping.sent_s < until_s)

    def _ping(self, connection: socket.socket) -> None:
        waiting: deque[float] = deque()
        received = b""
        due_s = time.time()
        while not self._ended.is_set():
            now_s = time.time()
            if now_s >= due_s:
                self.wake_up_lag_s = max(self.wake_up_lag_s, now_s - due_s)
                connection.sendall(b"PING\r\n")
                waiting.append(now_s)
                due_s = now_s + INTERVAL_S
            readable, _, _ = select.select([connection], [], [], max(0.0, due_s - time.time()))
            if not readable:
                continue
            received += connection.recv(65536)
            now_s = time.time()
            *lines, received = received.split(b"\r\n")
            for line in lines:
                if line == b"PONG":
                    self.pings.append(Ping(waiting.popleft(), now_s))
                elif line == b"PING":
                    connection.sendall(b"PONG\r\n")
