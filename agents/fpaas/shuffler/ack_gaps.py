"""When the stream took nothing: stretches between two acks, found once a second. Pure.

How soon a shuffler publishes again after a fault is known to the millisecond by these, and the path
of an ack has nothing to do for them.
"""

from __future__ import annotations

from itertools import pairwise
from operator import add, sub

from fpaas.common_time import NS_PER_MS
from fpaas.measures.calls import CallRecorder

#: Shorter ones are not told.
GAP_MIN_NS = 50 * NS_PER_MS


class AckGaps:
    """Looks at the acks that a recorder collects, before it is emptied."""

    def __init__(self, acks: CallRecorder) -> None:
        #: When the last ack came that was looked at; None before the first.
        self.last_unix_ns: int | None = None
        self._acks = acks

    def find(self) -> list[tuple[int | None, int]]:
        """Return the gaps since the last look; before the first ack of all, one without a begin."""
        at = list(map(add, self._acks.began_unix_ns, self._acks.samples_ns))
        if not at:
            return []
        before, self.last_unix_ns = self.last_unix_ns, at[-1]
        found: list[tuple[int | None, int]] = []
        if before is None:
            found.append((None, at[0]))
        elif at[0] - before >= GAP_MIN_NS:
            found.append((before, at[0]))
        # Most seconds have none, which is found out at the least cost.
        if max(map(sub, at[1:], at), default=0) >= GAP_MIN_NS:
            found += [(one, next_) for one, next_ in pairwise(at) if next_ - one >= GAP_MIN_NS]
        return found
