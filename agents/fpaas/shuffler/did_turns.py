"""The order of each DID's events: whose turn it is to be stored, and who waits for that.

A publish that is lost, refused or without an answer is repeated, and whatever was written behind it
may be stored first. So an event has its turn once the one before it of its DID has its outcome. It
may be written ahead of that on a condition that the stream checks; see `stream_end`. A DID is known
by its CRC-32; two that share one wait for each other, which costs nothing but time.
"""

from __future__ import annotations

from fpaas.shuffler.publish import Publish


class DidTurns:
    """The events of each DID that are in flight, each linked with the one before and after."""

    __slots__ = ("_last",)

    def __init__(self) -> None:
        self._last: dict[int, Publish] = {}

    def enter(self, publish: Publish) -> None:
        """Take the turn, or stand behind the last one."""
        last = self._last.get(publish.did_crc)
        if last is not None:
            publish.before = last
            last.following = publish
        self._last[publish.did_crc] = publish

    def leave(self, publish: Publish) -> Publish | None:
        """End the turn of `publish`; returns whose turn it is now, None if nobody waits."""
        following = publish.following
        while following is not None:
            following.before = None
            if not following.has_outcome:
                return following
            following = following.following
        del self._last[publish.did_crc]
        return None

    def clear(self) -> None:
        """Let go of all."""
        for last in self._last.values():
            one: Publish | None = last
            while one is not None:
                one.following, one.before, one = None, None, one.before
        self._last.clear()
