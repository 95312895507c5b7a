"""Connections of an agent that were lost: one event until all of them are there again."""

from __future__ import annotations

from collections.abc import Mapping

from fpaas import common_time
from fpaas.records.events import EventLog, EventRecord, Value


class LostConnections:
    """Writes one kind of event to a log, which is None if nobody keeps events.

    Connections that are lost while others still are belong to the same event. Only once all are
    there again does it say how many they were.
    """

    def __init__(self, kind: str, log: EventLog | None) -> None:
        self._kind = kind
        self._log = log
        self._away: set[object] = set()
        self._count = 0
        self._event: EventRecord | None = None

    def lost(self, connection: object, parameters: Mapping[str, Value]) -> None:
        """Note that a connection is gone; `parameters` are those of the first."""
        if self._log is None:
            return
        if self._event is None:
            self._count = 0
            told = {**parameters, "connections": None}
            self._event = self._log.begin(self._kind, common_time.now_ns(), told)
        self._away.add(connection)
        self._count += 1

    def made(self, connection: object) -> None:
        """Note that a connection was made, for the first time or again."""
        self._away.discard(connection)
        if self._log is None or self._event is None or self._away:
            return
        told = {**self._event.parameters, "connections": self._count}
        self._log.end(self._event, common_time.now_ns(), told)
        self._event = None
