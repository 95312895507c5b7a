"""Ordered consumers: ephemeral ones that their owner makes, and makes again; no I/O.

An ordered consumer is pushed to without acks. Its owner counts: if a delivery is missing, if not
even heartbeats come, or if the connection was lost, it gives that consumer up, and makes one that
goes on after the message received last. So nothing is lost on the way, and nothing comes twice.

Each of them counts its deliveries from 1. In logs, those of the next one go on after those of the
one before: `before` of a puller is how many these were.

Source: NATS ADR-17, ordered consumers; ADR-15, flow control.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterable

from fpaas.consumers.puller import Gate, Habit, Puller
from fpaas.consumers.subscribing import Subscribing, unsubscribes
from fpaas.jetstream import asked
from fpaas.jetstream.nats_wire import status_of
from fpaas.measures.delivery_log import ConsumerDeliveries, DeliveryLog
from fpaas.records.consumers import OrderedPlace
from fpaas.spec import NS_PER_S, RunSpec

log = logging.getLogger(__name__)

#: So many heartbeats may be missing, as clients have it.
HEARTBEATS_MISSED_MAX = 2
SILENT_MAX_NS = HEARTBEATS_MISSED_MAX * asked.HEARTBEAT_S * NS_PER_S
#: A consumer that was asked for and is not there by then is asked for again.
MADE_WITHIN_NS = 2 * NS_PER_S
#: Why a consumer was made again.
GAP, SILENCE, CONNECTION, STATUS = "gap", "silence", "connection", "status"
_IDLE = "100"


class Ordered:
    """The consumer that a puller has now.

    `sids` are those that its connection's parser reads, `inbox` is where its worker hears.
    """

    def __init__(self, index: int, inbox: str, sids: dict[bytes, Puller]) -> None:
        self.index = index
        self.inbox = inbox
        self.sids = sids
        #: How many there were, this one counted in.
        self.number = 0
        self.sid = b""
        #: When it was asked for, until it is there.
        self.asked_unix_ns: int | None = None
        #: The message after which the first one goes on, if somebody else was served before.
        self.after_stream_seq = 0

    @property
    def subject(self) -> str:
        """The subject that it is delivered to."""
        return f"{self.inbox}.to.{self.index}.{self.number}"


class OrderedPuller(Puller):
    """A consumer with the ordered one that serves it."""

    __slots__ = ("ordered",)

    def __init__(self, log: DeliveryLog, gate: Gate, habit: Habit, ordered: Ordered) -> None:
        super().__init__(log, gate, b"", habit)
        self.remaining = sys.maxsize
        self.ordered = ordered


class Ordering(Subscribing):
    """All ordered consumers of one process."""

    spec: RunSpec
    worker: int

    def serve(self, spec: RunSpec, worker: int) -> None:
        """Say whose they are, before a connection is up."""
        self.spec, self.worker = spec, worker
        self._by_index = {puller.log.consumer_index: puller for puller in self._pullers}

    def connection_up(self, gate: Gate, now: int) -> None:
        """Make a consumer for each on a connection."""
        gate.is_open = True
        for puller in gate.pullers:
            self._make(puller, CONNECTION, now)

    def connection_lost(self, gate: Gate, now: int) -> None:
        """Give up the consumers of a connection, and whatever may still come of theirs."""
        super().connection_lost(gate, now)
        for puller in gate.pullers:
            _ordered(puller).sids.pop(_ordered(puller).sid, None)

    def begin_stream(self, stream: int, now: int) -> None:
        """Begin at the first message of another stream."""
        super().begin_stream(stream, now)
        for puller in self._pullers:
            puller.before = _ordered(puller).after_stream_seq = 0

    def go_on(self, logs: Iterable[ConsumerDeliveries]) -> None:
        """Begin where somebody else ended, who left these logs of the stream that is there."""
        for one in logs:
            puller = self._by_index.get(one.consumer_index)
            if puller is None:
                continue
            for _, stream_seq, consumer_seq, count in one.runs:
                puller.before = max(puller.before, consumer_seq + count - 1)
                ordered = _ordered(puller)
                ordered.after_stream_seq = max(ordered.after_stream_seq, stream_seq + count - 1)

    def expire(self, now: int) -> None:
        """Make those again that are not there, or have gone silent."""
        super().expire(now)
        for puller in self._pullers:
            if not puller.gate.is_open or self._is_over(now):
                continue
            asked_unix_ns = _ordered(puller).asked_unix_ns
            if asked_unix_ns is not None:
                if now >= asked_unix_ns + MADE_WITHIN_NS:
                    self._make(puller, STATUS, now)
            elif now >= puller.progress_unix_ns + SILENT_MAX_NS:
                self._make(puller, SILENCE, now)

    def made(self, subject: bytes, answer: bytes, now: int) -> None:
        """Take the server's answer to a request for a consumer."""
        *_, index, number = subject.split(b".")
        puller = self._by_index[int(index)]
        if _ordered(puller).number != int(number):
            return
        error = json.loads(answer).get("error")
        if error is None:
            _ordered(puller).asked_unix_ns = None
            puller.progress_unix_ns = now
        else:
            log.warning("an ordered consumer was refused: %s", error)

    def missed(self, puller: Puller, now: int) -> None:
        """Make a consumer again that misses a delivery."""
        self._make(puller, GAP, now)

    def pull_answered(self, puller: Puller, status_header: bytes, now: int) -> None:
        """Take a status: a heartbeat, which says what was delivered, or the consumer's end."""
        code, _ = status_of(status_header)
        if code != _IDLE:
            self._make(puller, STATUS, now)
            return
        headers = dict(
            line.split(b": ", 1) for line in status_header.split(b"\r\n")[1:] if b": " in line
        )
        if stalled := headers.get(b"Nats-Consumer-Stalled"):
            self._say(puller.gate, [b"PUB %s 0\r\n\r\n" % stalled])
        delivered = headers.get(b"Nats-Last-Consumer")
        if delivered is not None and int(delivered) != _received(puller) - puller.before:
            self.missed(puller, now)

    def stop(self, now: int) -> None:
        """Unsubscribe all."""
        super().stop(now)
        for puller in self._pullers:
            # Nobody makes it again.
            _ordered(puller).asked_unix_ns = None

    def places(self) -> dict[str, OrderedPlace]:
        """Return by durable which consumer is its last, and how many deliveries were before.

        Consumers that still have their first one, as most do, are left out.
        """
        return {
            puller.log.durable: OrderedPlace(
                asked.ordered_name(puller.log.durable, self.worker, _ordered(puller).number),
                puller.before,
            )
            for puller in self._pullers
            if puller.before or _ordered(puller).number != 1
        }

    def _make(self, puller: Puller, why: str, now: int) -> None:
        if self._is_over(now):
            return
        ordered, gate = _ordered(puller), puller.gate
        stream = self.spec.stream.name_of(self.spec.stream_of(ordered.index))
        durable = puller.log.durable
        lines: list[bytes] = []
        answers_to = f"{ordered.inbox}.made.{ordered.index}"
        if ordered.number:
            self.made_again[why] += 1
            ordered.sids.pop(ordered.sid, None)
            before = asked.ordered_name(durable, self.worker, ordered.number)
            lines.append(unsubscribes(puller.request))
            lines.append(
                _publish(f"$JS.API.CONSUMER.DELETE.{stream}.{before}", f"{answers_to}.0", b"")
            )
        puller.log.end_run()
        puller.before = _received(puller)
        ordered.number += 1
        ordered.sid = gate.new_sid()
        ordered.sids[ordered.sid] = puller
        ordered.asked_unix_ns = puller.progress_unix_ns = now
        puller.request = f"SUB {ordered.subject} ".encode() + ordered.sid + b"\r\n"
        name = asked.ordered_name(durable, self.worker, ordered.number)
        after = max(puller.log.reached, ordered.after_stream_seq)
        config = asked.ordered(
            self.spec, ordered.index, name, deliver_to=ordered.subject, after_stream_seq=after
        )
        body = json.dumps({"stream_name": stream, "config": config}).encode()
        create = f"$JS.API.CONSUMER.CREATE.{stream}.{name}"
        lines += [puller.request, _publish(create, f"{answers_to}.{ordered.number}", body)]
        self._say(gate, lines)


def _ordered(puller: Puller) -> Ordered:
    assert isinstance(puller, OrderedPuller)  # noqa: S101
    return puller.ordered


def _received(puller: Puller) -> int:
    """Return how many deliveries a puller received, of all its consumers of this stream."""
    return max(puller.before, puller.log.next_consumer_seq - 1)


def _publish(subject: str, reply: str, body: bytes) -> bytes:
    return f"PUB {subject} {reply} {len(body)}\r\n".encode() + body + b"\r\n"
