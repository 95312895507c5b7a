"""A relay's source: frames, and when each is due."""

from __future__ import annotations

from typing import Protocol


class Source(Protocol):
    """A source of frames; `frame(i)` is the same bytes every time.

    Its seq is first_seq + i, and `shift`, which is for relays that renumber.
    """

    @property
    def first_seq(self) -> int:
        """The seq of frame 0."""

    @property
    def count(self) -> int | None:
        """How many frames there are, None if there is no end."""

    def frame(self, index: int, shift: int = 0) -> bytes:
        """Return frame `index`."""

    def ignored(self, count: int) -> int:
        """Tell how many of the first `count` frames are of kinds that are no events."""


class Pace(Protocol):
    """When frames are due; see fpaas.firehose.pace."""

    def due_ns(self, index: int) -> int:
        """Return when frame `index` is due, in ns after T0."""

    def due_count(self, elapsed_ns: int) -> int:
        """Return how many frames are due by then."""
