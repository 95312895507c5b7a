"""When we listened to a relay, and when it was quiet though we did."""

from __future__ import annotations

import time
from datetime import datetime

from fpaas import common_time
from fpaas.measures.quiet import Quiet, Stretch
from fpaas.spec import NS_PER_S


class Listening:
    """Notes when events came. Nobody listens outside of the run, nor while there is no room.

    Without room, what the relay sends is not read, and by our own doing no event comes.
    """

    def __init__(self) -> None:
        self._quiet = Quiet()
        self._quiet.listen(time.monotonic_ns())
        self._discarding = False
        self._paused_since_ns: int | None = None
        self._paused_ns = 0
        self._last_event: tuple[str, int] | None = None

    @property
    def discarding(self) -> bool:
        """Whether frames are skipped without a trace: the run has not begun, or is over."""
        return self._discarding

    @discarding.setter
    def discarding(self, value: bool) -> None:
        self._discarding = value
        now_ns = time.monotonic_ns()
        if value:
            self._quiet.look_away(now_ns, common_time.now_ns())
        else:
            self._quiet.listen(now_ns)

    @property
    def paused_s(self) -> float:
        """How long the relay was not read until now, because there was no room."""
        since_ns = self._paused_since_ns
        still_ns = 0 if since_ns is None else time.monotonic_ns() - since_ns
        return (self._paused_ns + still_ns) / NS_PER_S

    def pause(self) -> None:
        """Note that there is no room from now on."""
        if self._paused_since_ns is None:
            self._paused_since_ns = time.monotonic_ns()
            self._quiet.look_away(self._paused_since_ns, common_time.now_ns())

    def resume(self) -> None:
        """Note that there is room again."""
        if self._paused_since_ns is not None:
            now_ns = time.monotonic_ns()
            self._paused_ns += now_ns - self._paused_since_ns
            self._paused_since_ns = None
            if not self._discarding:
                self._quiet.listen(now_ns)

    def heard(self, now_ns: int, now_unix_ns: int, said: str | None) -> None:
        """Note that events came, by the monotonic and by the common clock, and the last one's time.

        None if that is not known; the one before is kept then.
        """
        self._quiet.heard(now_ns, now_unix_ns)
        if said is not None:
            self._last_event = said, now_unix_ns

    def quiet(self) -> list[Stretch]:
        """Return the stretches without an event until now."""
        return self._quiet.stretches(time.monotonic_ns(), common_time.now_ns())

    @property
    def lag_s(self) -> float | None:
        """How old, by its own time, the event read last was when it was read."""
        if self._last_event is None:
            return None
        text, read_unix_ns = self._last_event
        try:
            at = datetime.fromisoformat(text)
        except ValueError:
            return None
        return None if at.tzinfo is None else read_unix_ns / NS_PER_S - at.timestamp()
