"""Where a subscription begins: what a cursor means, by the event stream specification.

Source: https://atproto.com/specs/event-stream.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import parse_qs

REPLAY_WINDOW_FRAMES = 1_000_000
#: As real relays have it.
MAX_LAG_FRAMES = 16_384


@dataclass(frozen=True)
class Limits:
    """How far back a cursor may reach, and how far behind a live subscriber may fall."""

    replay_window_frames: int = REPLAY_WINDOW_FRAMES
    max_lag_frames: int = MAX_LAG_FRAMES


class Refused(Exception):  # noqa: N818
    """A subscription that ends with an error frame of this name."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(name)
        self.name = name
        self.message = message


@dataclass(frozen=True)
class Start:
    """The frame a subscription begins with; `outdated` where the cursor asked for an older one."""

    index: int
    outdated: bool


def read_cursor(query: str) -> int | None:
    """Read the cursor of a request's query; raises ValueError where it is no sequence number."""
    values = parse_qs(query, keep_blank_values=True).get("cursor")
    if not values:
        return None
    if not values[-1].isascii() or not values[-1].isdigit():
        raise ValueError(f"cursor {values[-1]!r} is no sequence number")
    return int(values[-1])


def start_of(cursor: int | None, first_seq: int, offered: int, window_frames: int) -> Start:
    """Find where a subscription begins when `offered` frames have fallen due.

    Without a cursor with the next frame; with one at seq ≥ cursor. Raises Refused for a cursor
    in the future.
    """
    if cursor is None:
        return Start(offered, outdated=False)
    last_seq = first_seq + offered - 1
    if cursor > last_seq:
        raise Refused("FutureCursor", f"cursor {cursor} is in the future; the last is {last_seq}")
    oldest = max(0, offered - window_frames)
    index = cursor - first_seq
    # A cursor names a frame that was seen: with the one before the oldest, nothing is missing.
    return Start(max(index, oldest), outdated=index < oldest - 1)
