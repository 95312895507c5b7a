"""Ports of the tests' own."""

from __future__ import annotations

import itertools
import os
import random
import socket

PORTS_A_PROCESS = 2_000
#: Below the ports that the kernel hands out by itself; a stretch for each process of the tests.
_FIRST_PORT = 10_000 + PORTS_A_PROCESS * (
    int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % 10
)
_ports = itertools.count(random.randrange(PORTS_A_PROCESS))


def free_port() -> int:
    """Return a port that nobody listens on, and that nobody else is given meanwhile."""
    for number in _ports:
        port = _FIRST_PORT + number % PORTS_A_PROCESS
        with socket.socket() as listener:
            try:
                listener.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("the count has no end")
