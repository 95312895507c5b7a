"""When a peer fell silent, and when it was heard again: decided by looks at a steady pace.

Nothing here reads a clock or a socket. A look tells whether anything was received since the look
before. A peer that is quiet for a moment (`ping_after_ns`) is pinged, so that the begin of a
silence is known to that and one look. A peer that was not heard for SILENT_AFTER_NS although it
owed an answer, or whose connection was gone for that long, has fallen silent.

Nobody is blamed for our own pauses. A look that comes late proves nothing at once: whatever has
arrived is read before the next. A pause of our own begins the wait again from its end,
and so does anything else that keeps us from listening.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from fpaas.common_time import NS_PER_MS

PING_AFTER_NS = 250 * NS_PER_MS
#: For our own server, which need not be spared.
PING_SERVER_AFTER_NS = 100 * NS_PER_MS
SILENT_AFTER_NS = 1_000 * NS_PER_MS
#: A look that comes so long after the one before is late, one after SILENT_AFTER_NS was paused.
LATE_AFTER_NS = 250 * NS_PER_MS
#: After a ping, and after a late look, an answer gets at least this long.
ANSWER_NS = 500 * NS_PER_MS


class Seen(enum.Enum):
    """What a look found, for the caller to act on."""

    NOTHING = enum.auto()
    #: It was quiet, and is to be pinged now.
    QUIET = enum.auto()
    #: It is silent, since `heard_ns`.
    FELL_SILENT = enum.auto()
    #: It was silent, and was heard since the look before.
    IS_BACK = enum.auto()
    #: Both at once: this look is the first that shows that it was silent, and that it is back.
    WAS_SILENT = enum.auto()


def is_late(now_ns: int, before_ns: int) -> bool:
    """Tell whether the process that looks did not run for a moment between two looks."""
    return now_ns - before_ns > LATE_AFTER_NS


def was_paused(now_ns: int, before_ns: int) -> bool:
    """Tell whether it did not run for as long as makes others silent."""
    return now_ns - before_ns >= SILENT_AFTER_NS


@dataclass
class Silence:
    """One peer, from when it was first heard on; `look` is to be called at every look.

    `heard_ns` is the look after which it was heard last; None before it was first heard. As a
    silence ends with the look after which it is heard again, its length is right on average.
    """

    ping_after_ns: int = PING_AFTER_NS
    heard_ns: int | None = None
    is_silent: bool = False
    _is_pinged: bool = False
    _judged_from_ns: int = 0

    def look(
        self, now_ns: int, before_ns: int, *, is_heard: bool, is_connected: bool, owes: bool
    ) -> Seen:
        """Take in a look at `now_ns`, the one before being at `before_ns` (monotonic clock).

        `owes` is False while the peer cannot be expected to be heard, as we do not listen.
        """
        comes_late = is_late(now_ns, before_ns)
        owed_answer = self._is_pinged or not is_connected
        silent_enough = (
            self.heard_ns is not None
            and now_ns - self.heard_ns >= SILENT_AFTER_NS
            and now_ns >= self._judged_from_ns
        )
        if is_heard:
            seen = Seen.NOTHING
            if self.is_silent:
                seen = Seen.IS_BACK
            elif silent_enough and self._is_pinged and not comes_late:
                seen = Seen.WAS_SILENT
            self.is_silent = False
            self._wait_from(now_ns if comes_late else before_ns)
            return seen
        if self.heard_ns is None or self.is_silent:
            return Seen.NOTHING
        if not owes or was_paused(now_ns, before_ns) or (comes_late and not owed_answer):
            self._wait_from(now_ns)
        elif comes_late:
            self._judged_from_ns = now_ns + ANSWER_NS
        elif not owed_answer and now_ns - self.heard_ns >= self.ping_after_ns:
            self._is_pinged = True
            self._judged_from_ns = now_ns + ANSWER_NS
            return Seen.QUIET
        elif owed_answer and silent_enough:
            self.is_silent = True
            return Seen.FELL_SILENT
        return Seen.NOTHING

    def _wait_from(self, at_ns: int) -> None:
        self.heard_ns = at_ns
        self._is_pinged = False
