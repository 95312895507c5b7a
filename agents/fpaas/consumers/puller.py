"""One consumer and what it shares with others: its connection's gate, its class's habit; no I/O."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from typing import Protocol

from fpaas.consumers.processing_time import ProcessingTime
from fpaas.consumers.pull_timings import PullTimings
from fpaas.measures.delivery_log import DeliveryLog
from fpaas.records.consumers import Fetches
from fpaas.spec.answers import Answer, Answers

IN_PROGRESS = b"+WPI"
_PAYLOADS = {Answer.TERMINATE: b"+TERM", Answer.IN_PROGRESS: IN_PROGRESS}


class Schedule(Protocol):
    """When polls are due; see fpaas.consumers.schedule."""

    def first_due(self, consumer: int) -> int:
        """Return when poll 0 is due."""

    def next_due(self, consumer: int, poll: int, previous_due: int) -> int:
        """Return when a later poll is due."""

    def absences_before(self, due: int) -> int:
        """Return how often consumers were away before a poll."""


class Gate:
    """Lets pulls through to one connection: while it is up, and not too many at a time."""

    __slots__ = ("in_flight", "is_open", "limit", "new_sid", "outbox", "pullers", "queue")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.is_open = False
        self.in_flight = 0
        self.queue: deque[Puller] = deque()
        #: Pull requests to be written to the connection.
        self.outbox: list[bytes] = []
        self.pullers: list[Puller] = []
        #: Of its connection.
        self.new_sid: Callable[[], bytes] = bytes


class Habit:
    """How the consumers of one class poll, and how their pulls ended so far."""

    __slots__ = (
        *("batch_size", "drain", "fetches", "polls", "processing", "schedule"),
        *("answered", "answers", "name", "nak", "pull_timings"),
    )

    def __init__(
        self,
        schedule: Schedule,
        *,
        batch_size: int,
        drain: bool,
        processing: ProcessingTime | None = None,
        name: str = "",
    ) -> None:
        #: The class's; empty if all poll alike.
        self.name = name
        #: The recorders of its pulls: the one of all, and its own.
        self.pull_timings: list[PullTimings] = []
        self.schedule = schedule
        #: How long messages take; None: they are answered when they come.
        self.processing = processing
        self.batch_size = batch_size
        self.drain = drain
        self.fetches = Fetches()
        #: Polls sent; one that drains sends several pulls.
        self.polls = 0
        #: Its answers to deliveries (None: acks), the text of a nak, and counts of answers.
        self.answers: Answers | None = None
        self.nak = b"-NAK"
        self.answered: Counter[Answer] = Counter()

    def payload_of(self, answer: Answer) -> bytes:
        """Return what is published before an ack, or in its place; nothing for an ack alone."""
        return self.nak if answer is Answer.NAK else _PAYLOADS.get(answer, b"")


class Puller:
    """One consumer. `remaining` and `progress_unix_ns` are kept by the reader of its deliveries."""

    __slots__ = (
        "absences",
        "before",
        "busy_until_unix_ns",
        "catches_up",
        "delayed",
        "due_unix_ns",
        "gate",
        "habit",
        "in_flight",
        "is_poll_begun",
        "log",
        "poll",
        "position",
        "progress_unix_ns",
        "pull",
        "pull_due_unix_ns",
        "remaining",
        "request",
        "sent_unix_ns",
    )

    def __init__(self, log: DeliveryLog, gate: Gate, request: bytes, habit: Habit) -> None:
        self.log = log
        #: For an ordered consumer: how many deliveries its predecessors had.
        self.before = 0
        self.habit = habit
        self.gate = gate
        self.request = request
        self.position = 0
        #: Number of the current or next poll, and when it is due.
        self.poll = 0
        self.is_poll_begun = False
        self.due_unix_ns = 0
        #: Number of the current pull; a drain has several a poll, each due when the last ended.
        self.pull = 0
        self.pull_due_unix_ns = 0
        self.sent_unix_ns = 0
        self.progress_unix_ns = 0
        self.in_flight = False
        self.remaining = 0
        self.delayed = False
        #: When it will be done with what it received; it does not pull before.
        self.busy_until_unix_ns = 0
        #: How often it was away; the first poll after that fetches until empty.
        self.absences = 0
        self.catches_up = False
        gate.pullers.append(self)


def request_of(
    stream: str, durable: str, inbox: str, batch_size: int, max_bytes: int | None
) -> bytes:
    """Return the protocol line and body of a pull that the server answers at once.

    It ends at `max_bytes` as well, if that is not None.
    """
    limit = b"" if max_bytes is None else b',"max_bytes":%d' % max_bytes
    body = b'{"batch":%d%s,"no_wait":true}' % (batch_size, limit)
    subject = f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{durable}"
    return f"PUB {subject} {inbox} {len(body)}\r\n".encode() + body + b"\r\n"
