"""A trickle: how many bytes may go out by now, and those that wait for it."""

from __future__ import annotations

from fpaas.spec import NS_PER_S


class Drip:
    """Lets `bytes_per_s` through. Times are of the monotonic clock, in ns."""

    def __init__(self, bytes_per_s: float, now_ns: int) -> None:
        self.waiting = bytearray()
        self.bytes_per_s = bytes_per_s
        self._since_ns = now_ns
        self._spare_bytes = 0.0

    def take(self, now_ns: int) -> bytes:
        """Return what of `waiting` may go now; what could have gone before is not made up for."""
        elapsed_s = (now_ns - self._since_ns) / NS_PER_S
        self._since_ns = now_ns
        allowed = self._spare_bytes + elapsed_s * self.bytes_per_s
        count = min(int(allowed), len(self.waiting))
        self._spare_bytes = (
            min(allowed - count, 1.0) if count == len(self.waiting) else allowed - count
        )
        taken = bytes(self.waiting[:count])
        del self.waiting[:count]
        return taken
