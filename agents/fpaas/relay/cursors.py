"""Where a subscription begins: what a cursor means, by the event stream specification.

Source: https://atproto.com/specs/event-stream.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import parse_qs

REPLAY_WINDOW_FRAMES = 1_000_000
#: As real relays have it.
MAX_LAG_FRAMES = 16_384
#: A lexicon's integers have 64 bits.
CURSOR_MAX = 2**63 - 1
_CURSOR_DIGITS_MAX = len(str(CURSOR_MAX))


@dataclass(frozen=True)
class Rules:
    """How far back a cursor may reach, and how far behind a live subscriber may fall.

    `inclusive`: a replay begins with the cursor's own frame, as the specification has it; otherwise
    with the one after it, as the reference implementations have it.
    """

    replay_window_frames: int = REPLAY_WINDOW_FRAMES
    max_lag_frames: int = MAX_LAG_FRAMES
    inclusive: bool = True


class Refused(Exception):  # noqa: N818
    """A subscription that ends with an error frame of this name."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(name)
        self.name = name
        self.message = message


@dataclass(frozen=True)
class Backlog:
    """Frames that a relay can replay: `oldest` … `end` - 1; frame i has seq i + `shift`.

    Frame `end` is the next to fall due.
    """

    oldest: int
    end: int
    shift: int


@dataclass(frozen=True)
class Start:
    """The frame a subscription begins with; `outdated` if the cursor asked for an older one."""

    index: int
    outdated: bool


def read_cursor(query: str) -> int | None:
    """Read the cursor of a request's query; an empty one is none.

    Raises ValueError if it is not a sequence number.
    """
    values = parse_qs(query, keep_blank_values=True).get("cursor")
    if not values or not values[-1]:
        return None
    value = values[-1]
    if value.isascii() and value.isdigit():
        digits = value.lstrip("0") or "0"
        if len(digits) <= _CURSOR_DIGITS_MAX and int(digits) <= CURSOR_MAX:
            return int(digits)
    raise ValueError(f"cursor {value!r:.80} is not a sequence number")


def start_of(cursor: int | None, backlog: Backlog, *, inclusive: bool = True) -> Start:
    """Find where a subscription begins.

    Without a cursor with the next frame; with 0 at the oldest; else at seq ≥ cursor, or after it
    if a replay is not `inclusive`. Raises Refused for a cursor in the future.
    """
    if cursor is None:
        return Start(backlog.end, outdated=False)
    if cursor == 0:
        return Start(backlog.oldest, outdated=False)
    last_seq = backlog.end - 1 + backlog.shift
    if cursor > last_seq:
        raise Refused("FutureCursor", f"cursor {cursor} is in the future; the last is {last_seq}")
    index = cursor - backlog.shift
    # A cursor names a frame that was seen: with the one before the oldest, nothing is missing.
    outdated = index < backlog.oldest - 1
    return Start(max(index if inclusive else index + 1, backlog.oldest), outdated)
