"""How far consumers have come, as they tell the shuffler through NATS once a second.

A stream that was lost is filled again with events that not all of them had. Plain messages, not
kept: one that is lost or late costs repeats and nothing else.
"""

from __future__ import annotations

import msgspec

SUBJECT_ROOT = "fpaas.progress"


class Progress(msgspec.Struct, frozen=True):
    """A worker's message: it has everything of the stream made at `created` up to `reached`.

    `first` is the index of its first consumer, and there are `consumers` of them. In `fanout` and
    `partitioned` delivery `reached` is of the one that is furthest behind.
    """

    first: int
    consumers: int
    created: str | None
    reached: int


def subject(run_id: str) -> str:
    """Return the subject on which a run's consumers say it."""
    return f"{SUBJECT_ROOT}.{run_id}"


class Listener:
    """Knows what workers said last; `consumers` is how many there are to speak for."""

    def __init__(self, consumers: int, *, shared: bool) -> None:
        self._consumers = consumers
        self._shared = shared
        self._said: dict[str, dict[int, Progress]] = {}

    def take(self, payload: bytes) -> None:
        """Take in a message; what is none is skipped."""
        try:
            progress = _DECODER.decode(payload)
        except msgspec.DecodeError:
            return
        if progress.created is not None:
            self._said.setdefault(progress.created, {})[progress.first] = progress

    def reached(self, created: str | None) -> int:
        """Return up to which stream sequence nobody misses anything; 0 if that is not known."""
        said = list(self._said.get(created or "", {}).values())
        if self._shared:
            return max((one.reached for one in said), default=0)
        if sum(one.consumers for one in said) < self._consumers:
            return 0
        return min((one.reached for one in said), default=0)


_DECODER = msgspec.json.Decoder(Progress)
