"""One publish of a DID at a time, so that its events are stored in the relay's order.

A publish that is lost, refused or without an answer is repeated, and whatever was written behind it
may be stored first. So the next event of a DID waits until the one before has its outcome. Others
go on: of the events in flight, few are of the same DID. A DID is known by its CRC-32; two that
share one wait for each other, which costs nothing but time.
"""

from __future__ import annotations

from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")


class DidTurns(Generic[T]):
    """Who of each DID is on its way, and who waits for that."""

    __slots__ = ("_waiting",)

    def __init__(self) -> None:
        #: By the DID of each that is on its way: those behind it; None if nobody ever was.
        self._waiting: dict[int, deque[T] | None] = {}

    def enter(self, did_crc: int, item: T) -> bool:
        """Take the turn, or wait for it; returns whether it is `item`'s turn at once."""
        waiting = self._waiting
        if did_crc not in waiting:
            waiting[did_crc] = None
            return True
        behind = waiting[did_crc]
        if behind is None:
            behind = waiting[did_crc] = deque()
        behind.append(item)
        return False

    def leave(self, did_crc: int) -> T | None:
        """End a turn; returns whose turn it is now, None if nobody waits."""
        behind = self._waiting[did_crc]
        if behind:
            return behind.popleft()
        del self._waiting[did_crc]
        return None

    def clear(self) -> None:
        """Let go of all."""
        self._waiting.clear()
