"""The latency legs that polling can see: of all consumers, and of each class."""

from __future__ import annotations

from typing import Protocol

from fpaas.measures.calls import Bins, CallRecorder
from fpaas.measures.histogram_log import of_class


class Pull(Protocol):
    """A pull in flight, or one that waits to be sent."""

    sent_unix_ns: int
    pull_due_unix_ns: int


class PullTimings:
    """The legs of pulls; of one class, or of all."""

    def __init__(self, bins: Bins | None, of: str = "") -> None:
        self.fetch_call = CallRecorder(of_class("fetch_call", of), bins)
        #: Its calls are counted when they begin if no schedule foretells them: a drain's next
        #: pulls.
        self.fetch_call_intended = CallRecorder(of_class("fetch_call_intended", of), bins)

    @property
    def recorders(self) -> list[CallRecorder]:
        """Both of them."""
        return [self.fetch_call, self.fetch_call_intended]

    def end(self, pull: Pull, now: int) -> None:
        """Take in a pull that was answered."""
        self.fetch_call.end(pull.sent_unix_ns, now)
        self.fetch_call_intended.end(pull.pull_due_unix_ns, now)

    def give_up(self, pull: Pull, now: int) -> None:
        """Take in a pull that nobody waits for any longer."""
        self.fetch_call.give_up(pull.sent_unix_ns, now)
        self.fetch_call_intended.give_up(pull.pull_due_unix_ns, now)


class Timings(PullTimings):
    """The legs that polling can see."""

    def __init__(self, bins: Bins | None) -> None:
        super().__init__(bins)
        self.poll_lateness = CallRecorder("poll_lateness", bins)
        #: For polls that waited neither for their predecessor nor for their connection.
        self.poll_lateness_own = CallRecorder("poll_lateness_own", bins)

    @property
    def recorders(self) -> list[CallRecorder]:
        """All of them."""
        return [*super().recorders, self.poll_lateness, self.poll_lateness_own]
