"""How every agent notices freezes: its own, and those of its peers.

It looks 20 times a second, when the event loop wakes anyhow for its lag to be measured, whether
each peer's count of socket reads went up, so that a message costs nothing; a peer that is quiet is
pinged as long as it stays so, about four times a second, a NATS server more often. Of many
connections to one server, one is watched.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from fpaas import agent, common_time
from fpaas.measures.calls import CallRecorder
from fpaas.measures.silence import Seen, Silence, is_late
from fpaas.records.events import AGENT_PAUSED, EventLog, EventRecord, Value
from fpaas.spec import NS_PER_S

LOOK_ALONE_INTERVAL_S = 0.1


class Peer(Protocol):
    """A peer that should be heard, the `kind` of event if it is not, and when to ping it."""

    kind: str
    ping_after_ns: int

    def progress(self) -> object:
        """Return a value that differs from the last one if anything was received since.

        Only connections count, also one that is gone already.
        """

    def is_connected(self) -> bool:
        """Whether there is a connection; if not, nobody answers a ping."""

    def owes(self) -> bool:
        """Whether anything can be expected: we listen, and have not closed."""

    def ping(self) -> None:
        """Ask for a sign of life."""

    def parameters(self) -> dict[str, Value]:
        """Return who it is, as of when it was last heard."""


@dataclass
class _Watched:
    peer: Peer
    silence: Silence
    progress: object = None
    event: EventRecord | None = None
    begin_ns: int = 0
    stayed_connected: bool = True


class Watch:
    """Writes events to a log; `look` is called at a steady pace."""

    def __init__(self, log: EventLog, peers: Sequence[Peer]) -> None:
        self._log = log
        self._watched = [_Watched(peer, Silence(peer.ping_after_ns)) for peer in peers]
        self._looked_ns: int | None = None

    def look(self, now_ns: int) -> None:
        """Look at everybody; `now_ns` is of the monotonic clock."""
        before_ns = self.look_at_itself(now_ns)
        for watched in self._watched:
            self._look_at(watched, now_ns, before_ns)

    def look_at_itself(self, now_ns: int) -> int:
        """Note whether this process was paused since the last look; returns when that was."""
        before_ns = now_ns if self._looked_ns is None else self._looked_ns
        self._looked_ns = now_ns
        if is_late(now_ns, before_ns):
            begin_unix_ns = _unix_ns(before_ns)
            end_unix_ns = begin_unix_ns + now_ns - before_ns
            self._log.begin(AGENT_PAUSED, begin_unix_ns, {}, end_unix_ns=end_unix_ns)
        return before_ns

    def _look_at(self, watched: _Watched, now_ns: int, before_ns: int) -> None:
        peer, silence = watched.peer, watched.silence
        is_connected = peer.is_connected()
        progress = peer.progress()
        is_heard = is_connected if watched.progress is None else progress != watched.progress
        watched.progress = progress
        watched.stayed_connected &= is_connected
        heard_ns = silence.heard_ns
        seen = silence.look(
            now_ns, before_ns, is_heard=is_heard, is_connected=is_connected, owes=peer.owes()
        )
        if seen is Seen.QUIET:
            peer.ping()
        elif heard_ns is not None and seen in (Seen.FELL_SILENT, Seen.WAS_SILENT):
            watched.begin_ns = heard_ns
            parameters = {**peer.parameters(), "connected": watched.stayed_connected}
            watched.event = self._log.begin(peer.kind, _unix_ns(heard_ns), parameters)
        if watched.event is not None and seen in (Seen.IS_BACK, Seen.WAS_SILENT):
            event = watched.event
            self._log.end(
                event,
                event.begin_unix_ns + before_ns - watched.begin_ns,
                {**event.parameters, "connected": watched.stayed_connected},
            )
            watched.event = None
        if is_heard:
            watched.stayed_connected = True


async def watch(path: Path, peers: Sequence[Peer], loop_lag: CallRecorder, t0_unix_ns: int) -> None:
    """Watch this process and `peers` until cancelled, and write what happens to `path`.

    From T0 on it looks whenever the event loop's lag is measured, for `loop_lag`. Before, less
    often: an agent that stands still when T0 comes is late with everything that is due then.
    """
    with _watch(path, peers) as watching:
        while (left_s := (t0_unix_ns - common_time.now_ns()) / NS_PER_S) > 0:
            watching.look(time.monotonic_ns())
            await asyncio.sleep(min(LOOK_ALONE_INTERVAL_S, left_s))
        await agent.measure_loop_lag(loop_lag, t0_unix_ns, watching.look)


async def watch_alone(path: Path, peers: Sequence[Peer] = ()) -> None:
    """Do the same if nobody measures the event loop's lag; less often, to cost less."""
    with _watch(path, peers) as watching:
        while True:
            await asyncio.sleep(LOOK_ALONE_INTERVAL_S)
            watching.look(time.monotonic_ns())


@contextlib.contextmanager
def _watch(path: Path, peers: Sequence[Peer]) -> Iterator[Watch]:
    with EventLog(path) as log:
        watching = Watch(log, peers)
        try:
            yield watching
        finally:
            # A paused agent may go on right into its end, before it looks again.
            watching.look_at_itself(time.monotonic_ns())


def _unix_ns(monotonic_ns: int) -> int:
    """Return what the wall clock, as it goes now, had shown at a time of the monotonic one."""
    return common_time.now_ns() - (time.monotonic_ns() - monotonic_ns)
