"""Notes what becomes of the NATS server on the probe's host: restarts, elections, cut-offs."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from fpaas import common_time
from fpaas.probe import server_state
from fpaas.records.events import (
    CUT_OFF,
    DURABLES_PAUSED,
    LEADER_CHANGED,
    NATS_RESTARTED,
    EventLog,
    EventRecord,
    Value,
)
from fpaas.records.nats import ServerLife


class ServerEvents:
    """Writes events; `ended_unix_ns` tells when the server's process was last seen to end."""

    def __init__(self, events: EventLog, ended_unix_ns: Callable[[], int | None]) -> None:
        self._events = events
        self._ended_unix_ns = ended_unix_ns
        self._life: ServerLife | None = None
        self._leader = ""
        self._cut_off_until_unix_ns = 0
        #: By stream: its durables that are paused, the event, and how many there were at most.
        self._paused: dict[str, set[str]] = {}
        self._pauses: dict[str, tuple[EventRecord, int]] = {}

    def answered(self, life: ServerLife) -> int:
        """Take in who answers now; returns how many connections it cut off since the last time.

        Raises AnswerError if it does not say when it started.
        """
        before, self._life = self._life, life
        had = 0
        if before is not None and before.server_id == life.server_id:
            had = before.slow_consumers or 0
        elif before is not None:
            started_unix_ns = server_state.started_unix_ns(life)
            ended_unix_ns = self._ended_unix_ns() or started_unix_ns
            began_unix_ns = min(ended_unix_ns, started_unix_ns)
            self._events.begin(NATS_RESTARTED, began_unix_ns, {}, end_unix_ns=started_unix_ns)
        return (life.slow_consumers or 0) - had

    def cut_off(self, times: int, stops_unix_ns: Sequence[int]) -> None:
        """Note that it cut off connections, and when, as far as it says so.

        `times` is by its counter, which may count a connection twice.
        """
        new = [one for one in stops_unix_ns if one > self._cut_off_until_unix_ns]
        at = new or [common_time.now_ns()]
        self._cut_off_until_unix_ns = max(at)
        told: dict[str, Value] = {"connections": len(new) or times}
        self._events.begin(CUT_OFF, min(at), told, end_unix_ns=max(at))

    def led_by(self, leader: str, server: str) -> None:
        """Take in who leads the stream now; the probe of that `server` notes it."""
        if not leader:
            return
        before, self._leader = self._leader, leader
        if before and before != leader == server:
            now_unix_ns = common_time.now_ns()
            told: dict[str, Value] = {"leader": leader, "before": before}
            self._events.begin(LEADER_CHANGED, now_unix_ns, told, end_unix_ns=now_unix_ns)

    def durable_paused(self, stream: str, name: str, *, is_paused: bool) -> None:
        """Take in that a durable was paused, or goes on."""
        paused = self._paused.setdefault(stream, set())
        if is_paused:
            paused.add(name)
        else:
            paused.discard(name)
        now_unix_ns = common_time.now_ns()
        if stream not in self._pauses:
            if paused:
                told: dict[str, Value] = {"stream": stream, "durables": None}
                event = self._events.begin(DURABLES_PAUSED, now_unix_ns, told)
                self._pauses[stream] = event, len(paused)
            return
        event, most = self._pauses[stream]
        most = max(most, len(paused))
        self._pauses[stream] = event, most
        if not paused:
            del self._pauses[stream]
            self._events.end(event, now_unix_ns, {"stream": stream, "durables": most})
