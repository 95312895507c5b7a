"""The network between hosts, before a run: round trips and throughput, over plain TCP.

One host serves, the others measure, one after the other: a client waits in the server's backlog
until it is its turn, so that none measures another's traffic. A connection begins with a challenge
(16 bytes from the server) and its answer (HMAC-SHA256 under a token of this one measurement, which
is never sent). Then the client asks, one byte each: `ECHO` returns the 63 bytes that follow, `SEND`
has the server send a bulk, `TAKE` has it receive one. A bulk is chunks of `CHUNK_BYTES`, of which
the first byte says whether it is the last; its receiver measures. The sockets block, because an
event loop would add its own time to every round trip.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
import secrets
import socket
import struct
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from fpaas import common_time
from fpaas.errors import BadInput
from fpaas.measures.figures import percentile
from fpaas.records import files
from fpaas.records.network import NAME, Link, NetworkResult, RoundTrips

ECHO, SEND, TAKE = b"e", b"s", b"t"
MESSAGE_BYTES = 64
CHUNK_BYTES = 1 << 16
CHALLENGE_BYTES = 16
#: Round trips end at whichever comes first.
ROUND_TRIPS = 200
ROUND_TRIPS_S = 0.5
#: Both directions together stay under a second.
BULK_S = 0.4
#: Left out at the start of a bulk, while TCP finds out how fast it may send.
RAMP_S = 0.1
#: For anything on the wire.
PATIENCE_S = 5.0
#: For a client to say who it is, while others wait.
INTRODUCTION_S = 1.0
ACCEPT_S = 0.2
#: The most time that one client takes, roughly; a client waits for those before it.
TURN_S = 2.0

_FIGURES = struct.Struct("!QQ")


@dataclass(frozen=True)
class Peer:
    """Somebody who serves; written NAME=ADDRESS:PORT."""

    name: str
    address: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Peer:
        """Read NAME=ADDRESS:PORT. Raises BadInput."""
        name, separator, where = text.partition("=")
        if not name or not separator:
            raise BadInput(f"{text!r}: expected NAME=ADDRESS:PORT")
        return cls(name, *parse_address(where))


def parse_address(text: str) -> tuple[str, int]:
    """Read ADDRESS:PORT; an IPv6 address may be in brackets. Raises BadInput."""
    address, _, port = text.rpartition(":")
    if not address or not port.isdecimal() or not 0 < int(port) < 65_536:
        raise BadInput(f"{text!r}: expected ADDRESS:PORT")
    return address.removeprefix("[").removesuffix("]"), int(port)


# -- serving -------------------------------------------------------------------------------------


def listen(address: str, port: int) -> socket.socket:
    """Listen on one address only. Raises BadInput that says why not."""
    try:
        family, kind, protocol, _, where = socket.getaddrinfo(
            address, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(where)
        listener.listen(128)
    except OSError as error:
        raise BadInput(f"{address}:{port}: cannot be listened on: {error.strerror}") from error
    listener.settimeout(ACCEPT_S)
    return listener


def serve(listener: socket.socket, token: bytes, clients: int, at_most_s: float) -> int:
    """Serve clients one by one, up to a number or for a time; returns how many there were."""
    served, deadline = 0, time.monotonic() + at_most_s
    with listener:
        while served < clients and time.monotonic() < deadline:
            try:
                connection, _ = listener.accept()
            except TimeoutError:
                continue
            with connection, contextlib.suppress(OSError):
                served += _serve_one(connection, token)
    return served


def _serve_one(connection: socket.socket, token: bytes) -> bool:
    """Serve a client to its end; False if it does not know the token."""
    connection.settimeout(INTRODUCTION_S)
    challenge = secrets.token_bytes(CHALLENGE_BYTES)
    connection.sendall(challenge)
    answer = _receive(connection, hashlib.sha256().digest_size)
    if not hmac.compare_digest(answer, _answer(token, challenge)):
        return False
    connection.settimeout(PATIENCE_S)
    _prepare(connection)
    with contextlib.suppress(OSError):
        while request := connection.recv(1):
            if request == ECHO:
                connection.sendall(ECHO + _receive(connection, MESSAGE_BYTES - 1))
            elif request == SEND:
                _send_bulk(connection)
            elif request == TAKE:
                connection.sendall(_FIGURES.pack(*_receive_bulk(connection)))
            else:
                break
    return True


# -- measuring -----------------------------------------------------------------------------------


def measure(
    directory: Path, host: str, peers: Sequence[Peer], token: bytes, clients: int
) -> list[Link]:
    """Measure to every peer, and write network.json; a peer that fails costs its own figures only.

    `clients`: how many there may be of one peer, so how long to wait for our turn. Returns the
    links as they were written.
    """
    if not directory.is_dir():
        raise BadInput(f"{directory}: there is no such run directory")
    links = [measure_link(host, peer, token, clients) for peer in peers]
    files.write(directory / NAME, NetworkResult(unix_ns=common_time.now_ns(), links=links))
    return links


def measure_link(host: str, peer: Peer, token: bytes, clients: int = 1) -> Link:
    """Measure to one peer; `error` says why there are no figures, and is None if there are."""
    rtt_ms = sent = received = problem = None
    try:
        with _join(peer, token, clients * TURN_S + PATIENCE_S) as connection:
            rtt_ms = _round_trips(connection)
            connection.sendall(SEND)
            received = mbit_per_s(*_receive_bulk(connection))
            connection.sendall(TAKE)
            _send_bulk(connection)
            sent = mbit_per_s(*_FIGURES.unpack(_receive(connection, _FIGURES.size)))
    except TimeoutError:
        problem = "no answer in time"
    except OSError as error:
        problem = error.strerror or str(error)
    return Link(
        from_host=host,
        to=peer.name,
        address=f"{peer.address}:{peer.port}",
        rtt_ms=rtt_ms,
        sent_mbit_per_s=sent,
        received_mbit_per_s=received,
        error=problem,
    )


def _join(peer: Peer, token: bytes, patience_s: float) -> socket.socket:
    """Connect, wait for our turn, and say who we are."""
    connection = socket.create_connection((peer.address, peer.port), PATIENCE_S)
    try:
        connection.settimeout(patience_s)
        challenge = _receive(connection, CHALLENGE_BYTES)
        connection.settimeout(PATIENCE_S)
        _prepare(connection)
        connection.sendall(_answer(token, challenge))
    except OSError:
        connection.close()
        raise
    return connection


def _round_trips(connection: socket.socket) -> RoundTrips:
    message = ECHO + bytes(MESSAGE_BYTES - 1)
    taken_ns = []
    deadline_ns = time.monotonic_ns() + round(ROUND_TRIPS_S * 1e9)
    # The first one finds cold caches on both hosts.
    for number in range(ROUND_TRIPS + 1):
        began_ns = time.monotonic_ns()
        connection.sendall(message)
        _receive(connection, MESSAGE_BYTES)
        ended_ns = time.monotonic_ns()
        if number:
            taken_ns.append(ended_ns - began_ns)
            if ended_ns > deadline_ns:
                break
    return round_trip_figures(taken_ns)


def round_trip_figures(taken_ns: Sequence[int]) -> RoundTrips:
    """Sum up round trips; there must be one at least."""
    ordered = sorted(taken_ns)
    return RoundTrips(
        count=len(ordered),
        min=ordered[0] / 1e6,
        p50=percentile(ordered, 50) / 1e6,
        p99=percentile(ordered, 99) / 1e6,
        max=ordered[-1] / 1e6,
    )


def mbit_per_s(count: int, taken_ns: int) -> float | None:
    """Return a rate with three significant digits; None if too little came to tell."""
    return float(f"{count * 8e3 / taken_ns:.3g}") if count and taken_ns else None


def _send_bulk(connection: socket.socket) -> None:
    chunk = bytearray(CHUNK_BYTES)
    deadline = time.monotonic() + BULK_S
    while time.monotonic() < deadline:
        connection.sendall(chunk)
    chunk[0] = 1
    connection.sendall(chunk)


def _receive_bulk(
    connection: socket.socket, clock_ns: Callable[[], int] = time.monotonic_ns
) -> tuple[int, int]:
    """Receive a bulk; returns bytes and nanoseconds, without the ramp if it was longer."""
    chunk = bytearray(CHUNK_BYTES)
    began_ns = counted_from_ns = now_ns = 0
    count = 0
    is_ramp = True
    while not chunk[0]:
        _receive_into(connection, chunk)
        now_ns = clock_ns()
        if not began_ns:
            began_ns = counted_from_ns = now_ns
            continue
        if is_ramp and now_ns - began_ns >= RAMP_S * 1e9:
            is_ramp, counted_from_ns, count = False, now_ns, 0
            continue
        count += CHUNK_BYTES
    return count, now_ns - counted_from_ns


# -- on the wire ---------------------------------------------------------------------------------


def _answer(token: bytes, challenge: bytes) -> bytes:
    return hmac.digest(token, challenge, "sha256")


def _prepare(connection: socket.socket) -> None:
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    # A slow link does not have to empty megabytes of buffer after the last chunk was handed over.
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, 2 * CHUNK_BYTES)


def _receive(connection: socket.socket, count: int) -> bytes:
    content = bytearray(count)
    _receive_into(connection, content)
    return bytes(content)


def _receive_into(connection: socket.socket, content: bytearray) -> None:
    view = memoryview(content)
    while view:
        received = connection.recv_into(view)
        if not received:
            raise ConnectionError("the connection was refused or closed by the other end")
        view = view[received:]


def detach() -> bool:
    """Go on in the background; True in the process that does, False in the one that was called."""
    if os.fork():
        return False
    os.setsid()
    nothing = os.open(os.devnull, os.O_RDWR)
    for number in range(3):
        os.dup2(nothing, number)
    return True
