"""Changes to a capture's frame when it is sent again, so that no loop repeats another.

Readers tell events apart by did + rev, or by did + time if there is no rev. So loop k
adds k times a fixed number of seconds to that text. The seconds are more than any account's own
events span, so that an account's events stay distinct and in order.

Some texts cannot be shifted: revs that are no TIDs, times that are no times, what would leave the
years 1 to 9999, and all of an account whose clock is weeks off. They are marked with the loop's
number instead, behind more number signs than there are in any of them.
"""

from __future__ import annotations

import re
from array import array
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from enum import IntEnum

from fpaas.firehose import tid

#: An account whose events span more has a wrong clock, or is better marked anyway.
SPAN_MAX_S = 14 * 86_400

_SECONDS_TEXT = len("2026-01-01T00:00:00")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", re.ASCII)
_UNIX_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_US_PER_S = 1_000_000


class Change(IntEnum):
    """How a frame is told apart from itself in the loop before."""

    NONE = 0
    REV = 1
    TIME = 2
    MARK = 3


class LoopTexts:
    """The changes of all frames of a capture: `add` each in order, then `settle`.

    Holds 5 bytes a frame until it is settled, then one.
    """

    def __init__(self) -> None:
        self._changes = bytearray()
        self._accounts: dict[tuple[str, Change], int] = {}
        self._account_of = array("I")
        #: By account, its earliest and latest event, in µs.
        self._spans: list[tuple[int, int]] = []
        self._mark = "#"
        #: Added by each loop.
        self.seconds = 0

    def add(self, did: str, rev: str | None, time: str) -> None:
        """Take in the next frame."""
        change = Change.MARK
        moment_us: int | None = None
        if rev is not None:
            with suppress(ValueError):
                moment_us = tid.decode(rev) >> tid.CLOCK_ID_BITS
                change = Change.REV
        else:
            moment_us = unix_us(time)
            if moment_us is not None:
                change = Change.TIME
        if moment_us is None:
            self._see_marks(time if rev is None else rev)
            moment_us = 0
        account = self._accounts.setdefault((did, change), len(self._spans))
        if account == len(self._spans):
            self._spans.append((moment_us, moment_us))
        low, high = self._spans[account]
        self._spans[account] = (min(low, moment_us), max(high, moment_us))
        self._account_of.append(account)
        self._changes.append(change)

    def add_other(self) -> None:
        """Take in a frame that is not an event: nobody tells those apart."""
        self._changes.append(Change.NONE)
        self._account_of.append(0)

    def settle(self) -> None:
        """Fix the seconds, when all frames are in."""
        spans_us = [high - low for low, high in self._spans]
        wide = {n for n, span_us in enumerate(spans_us) if span_us > SPAN_MAX_S * _US_PER_S}
        for position, account in enumerate(self._account_of if wide else ()):
            if account in wide and self._changes[position]:
                self._changes[position] = Change.MARK
        narrow_us = [span_us for n, span_us in enumerate(spans_us) if n not in wide]
        self.seconds = max(narrow_us, default=0) // _US_PER_S + 2
        self._accounts.clear()
        self._account_of = array("I")
        self._spans.clear()

    def text(self, position: int, text: str, loop: int) -> str:
        """Return what stands for the frame's rev or time in loop 1, 2, …."""
        change = self._changes[position]
        seconds = loop * self.seconds
        if change == Change.REV:
            shifted = tid.decode(text) + tid.from_unix_us(seconds * _US_PER_S)
            if shifted <= tid.MAX:
                return tid.encode(shifted)
        elif change == Change.TIME:
            with suppress(OverflowError):
                moment = datetime.fromisoformat(text[:_SECONDS_TEXT]) + timedelta(seconds=seconds)
                return moment.isoformat(timespec="seconds") + text[_SECONDS_TEXT:]
        return f"{text}{self._mark}{loop}"

    def _see_marks(self, text: str) -> None:
        longest = max(map(len, re.findall("#+", text)), default=0)
        self._mark = "#" * max(len(self._mark), longest + 1)


def unix_us(time: str) -> int | None:
    """Return a time in µs since 1970; None if it is not an RFC 3339 time."""
    with suppress(ValueError, OverflowError):
        if _TIME.fullmatch(time):
            return (datetime.fromisoformat(time) - _UNIX_EPOCH) // timedelta(microseconds=1)
    return None
