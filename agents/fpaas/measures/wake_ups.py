"""When an event loop is due to wake up, so that it can be measured how late it does. Pure."""

from __future__ import annotations

WAKE_UP_INTERVAL_NS = 50_000_000


def wake_ups_between(t0_unix_ns: int, from_unix_ns: int, until_unix_ns: int) -> int:
    """Return how many wake-ups of an event loop are due in [from, until), Unix ns."""
    first, end = (
        max(0, -((t0_unix_ns - unix_ns) // WAKE_UP_INTERVAL_NS))
        for unix_ns in (from_unix_ns, until_unix_ns)
    )
    return end - first
