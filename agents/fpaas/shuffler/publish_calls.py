"""How long publishes take: from their first write, and from when they were due, to their ack."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import chain

from fpaas import common_time
from fpaas.firehose.frames import Event
from fpaas.measures.calls import Bins, CallRecorder
from fpaas.shuffler.publish import Publish
from fpaas.shuffler.publish_window import PublishWindow


class PublishCalls:
    """The legs `publish_ack`, and `due_to_ack` if `due_ns` tells when a seq was due."""

    def __init__(self, due_ns: Callable[[int], int] | None, bins: Bins | None) -> None:
        self.publish_ack = CallRecorder("publish_ack", bins)
        self.due_to_ack = CallRecorder("due_to_ack", bins)
        self._due_ns = due_ns

    def watch(self, window: PublishWindow, held: Callable[[], Iterable[Event]]) -> None:
        """Know from now on what waits: it is in the window, or `held` back from it."""
        self.publish_ack.still_open = lambda: _written_since(window)
        if (due_ns := self._due_ns) is not None:
            self.due_to_ack.still_open = lambda: _due_since(window, held(), due_ns)

    def answered(self, publish: Publish) -> None:
        """Note an ack."""
        now_ns = common_time.now_ns()
        self.publish_ack.samples_ns.append(now_ns - publish.first_written_ns)
        self.publish_ack.began_unix_ns.append(publish.first_written_ns)
        if self._due_ns is not None and not publish.again:
            due_ns = self._due_ns(publish.seq)
            self.due_to_ack.samples_ns.append(now_ns - due_ns)
            self.due_to_ack.began_unix_ns.append(due_ns)

    def withdraw(self, publish: Publish) -> None:
        """Note that nobody waits for its ack any more; it may yet get one by another write."""
        if publish.writes:
            self.publish_ack.give_up(publish.first_written_ns, common_time.now_ns())

    def give_up(self, publish: Publish) -> None:
        """Note an outcome that is no ack."""
        self.withdraw(publish)
        if self._due_ns is not None and not publish.again:
            self.due_to_ack.give_up(self._due_ns(publish.seq), common_time.now_ns())


def _written_since(window: PublishWindow) -> Iterator[int]:
    return (one.first_written_ns for one in window.pending.values() if one.writes)


def _due_since(
    window: PublishWindow, held: Iterable[Event], due_ns: Callable[[int], int]
) -> Iterator[int]:
    waiting = chain(window.pending.values(), window.withdrawn.values())
    yield from (due_ns(one.seq) for one in waiting if not one.again)
    yield from (due_ns(event.seq) for event in held)
