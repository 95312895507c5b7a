"""Stretches of time in which no event came although we listened. Pure: times are given."""

from __future__ import annotations

#: Shorter ones are none: at the rates of a firehose, an event is due every few milliseconds.
LEAST_NS = 1_000_000_000
#: Beyond this many, the shorter ones are forgotten.
STRETCHES_MAX = 4096

Stretch = tuple[int, int]


class Quiet:
    """Notes when events came; `stretches` are those without, as (begin, end) of the wall clock, ns.

    Lengths are of the monotonic clock, as all other times. It is not quiet before `listen`, nor
    between `look_away` and the next `listen`, because nobody listened.
    """

    def __init__(self) -> None:
        self._stretches: list[Stretch] = []
        self._least_ns = LEAST_NS
        self._since_ns: int | None = None

    def listen(self, now_ns: int) -> None:
        """Note that events can be heard from now on."""
        if self._since_ns is None:
            self._since_ns = now_ns

    def heard(self, now_ns: int, now_unix_ns: int) -> None:
        """Note that an event came."""
        if self._since_ns is None:
            return
        if now_ns - self._since_ns >= self._least_ns:
            self._add(now_ns, now_unix_ns)
        self._since_ns = now_ns

    def look_away(self, now_ns: int, now_unix_ns: int) -> None:
        """Note that no event can be heard from now on."""
        self.heard(now_ns, now_unix_ns)
        self._since_ns = None

    def stretches(self, now_ns: int, now_unix_ns: int) -> list[Stretch]:
        """Return those so far, and the one that has not ended as if it ended now."""
        found = list(self._stretches)
        if self._since_ns is not None and now_ns - self._since_ns >= self._least_ns:
            found.append((now_unix_ns - (now_ns - self._since_ns), now_unix_ns))
        return found

    def _add(self, now_ns: int, now_unix_ns: int) -> None:
        assert self._since_ns is not None  # noqa: S101
        self._stretches.append((now_unix_ns - (now_ns - self._since_ns), now_unix_ns))
        while len(self._stretches) > STRETCHES_MAX:
            self._least_ns *= 2
            self._stretches = [
                (begin, end) for begin, end in self._stretches if end - begin >= self._least_ns
            ]
