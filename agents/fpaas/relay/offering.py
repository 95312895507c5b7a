"""Frames falling due, whether or not somebody reads them, and how late they went out."""

from __future__ import annotations

from collections.abc import Callable

from fpaas import common_time
from fpaas.measures.calls import Bins, CallRecorder
from fpaas.relay.source import Pace
from fpaas.relay.wire import Wire


class Offering:
    """Frames that have fallen due: 0 … offered - 1, of `total` (None: without end).

    `lateness` is of each frame that some subscriber was sent, the first time; `lateness_own` of the
    same, from when that subscriber was there and its socket took more.
    """

    def __init__(
        self,
        wire: Wire,
        pace: Pace,
        *,
        total: int | None,
        t0_unix_ns: int,
        bins: Bins | None = None,
    ) -> None:
        self.wire = wire
        self.total = min((n for n in (wire.source.count, total) if n is not None), default=None)
        self.offered = 0
        #: Frames below it were sent to somebody.
        self.handed = 0
        self.lateness = CallRecorder("relay_lateness", bins)
        self.lateness_own = CallRecorder("relay_lateness_own", bins)
        self._pace = pace
        self._t0_unix_ns = t0_unix_ns

    @property
    def is_over(self) -> bool:
        """Whether nothing more will fall due."""
        return self.offered == self.total

    @property
    def next_due_unix_ns(self) -> int:
        """When the next frame falls due."""
        return self._t0_unix_ns + self._pace.due_ns(self.offered)

    def offer_due(self) -> None:
        """Count what has fallen due."""
        due = self._pace.due_count(common_time.now_ns() - self._t0_unix_ns)
        if self.total is not None:
            due = min(due, self.total)
        # The wall clock may be set back; what was offered stays offered.
        self.offered = max(self.offered, due)

    def frames(self) -> Callable[[int], bytes]:
        """Return what makes a frame of its index, as it is sent now."""
        wire = self.wire
        if wire.is_plain:
            return wire.source.frame
        elapsed_ns = common_time.now_ns() - self._t0_unix_ns
        return lambda index: wire.frame(index, elapsed_ns)

    def handed_over(self, indices: range, ready_since_unix_ns: int) -> None:
        """Take note of frames that went to a socket that took them from a time on."""
        new = indices[max(0, self.handed - indices.start) :]
        if not new:
            return
        self.handed = new.stop
        now_ns, t0_ns, due_ns = common_time.now_ns(), self._t0_unix_ns, self._pace.due_ns
        due = [t0_ns + due_ns(index) for index in new]
        self.lateness.samples_ns += [now_ns - one for one in due]
        self.lateness.began_unix_ns += due
        self.lateness_own.samples_ns += [now_ns - max(one, ready_since_unix_ns) for one in due]
        self.lateness_own.began_unix_ns += due
