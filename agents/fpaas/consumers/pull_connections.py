"""A worker's pullers, and the connections that carry their pulls."""

from __future__ import annotations

import asyncio
import functools
import resource
import secrets
import sys
from collections.abc import Callable
from itertools import islice

from fpaas import common_time
from fpaas.consumers.assignment import Assignment
from fpaas.consumers.deliveries import Deliveries
from fpaas.consumers.delivery_parser import DeliveryParser
from fpaas.consumers.ordering import Ordered, OrderedPuller
from fpaas.consumers.polling import BEGUN_LATE_MAX_NS
from fpaas.consumers.processing_time import ProcessingTime
from fpaas.consumers.pull_size import CONNECTIONS_MAX, OTHER_OPEN_FILES, PullSize, spread
from fpaas.consumers.puller import Gate, Habit, Puller, request_of
from fpaas.consumers.schedule import PollSchedule
from fpaas.consumers.subscribing import NoPolls, subscriber, subscription_of
from fpaas.consumers.work import Work
from fpaas.errors import BadInput, RunInvalid
from fpaas.jetstream import asked
from fpaas.jetstream.nats_address import NatsAddress, address_from_environment
from fpaas.jetstream.nats_connection import NatsConnection, NatsError
from fpaas.measures.delivery_log import DeliveryLog
from fpaas.spec import NS_PER_S, RunSpec
from fpaas.watch.nats_peer import NatsPeer

WAIT_FOR_NATS_S = 10.0
CONNECT_CONCURRENCY = 32


class PullConnections:
    """Each carries pulls of one class, so that all of its pulls are equally large."""

    def __init__(
        self,
        assignment: Assignment,
        deliveries: Deliveries,
        work: Work,
        *,
        on_connected: Callable[[Gate], None],
        on_disconnected: Callable[[Gate], None],
        on_answered: Callable[[Puller, bytes, int], None],
        on_missed: Callable[[Puller, int], None],
        on_made: Callable[[bytes, bytes], None],
    ) -> None:
        self.address = address_of(assignment.nats_url)
        self.by_gate: dict[Gate, NatsConnection] = {}
        self.pullers: list[Puller] = []
        #: By the name of their class; empty if all poll alike.
        self.habits: dict[str, Habit] = {}
        self._assignment = assignment
        self._deliveries = deliveries
        self._work = work
        self._on_connected = on_connected
        self._on_disconnected = on_disconnected
        self._on_answered = on_answered
        self._on_missed = on_missed
        self._on_made = on_made
        self._build()

    async def connect(self) -> None:
        """Connect all, some at a time. Raises RunInvalid if NATS does not let us."""
        connections = list(self.by_gate.values())
        _allow_open_files(len(connections) + OTHER_OPEN_FILES)
        queue = iter(connections)

        async def connect_some() -> None:
            for connection in queue:
                await connection.connect_patiently(WAIT_FOR_NATS_S)

        tasks = [asyncio.create_task(connect_some()) for _ in range(CONNECT_CONCURRENCY)]
        try:
            await asyncio.gather(*tasks)
        except NatsError as error:
            raise RunInvalid(f"{error}; is nats-server running there?") from error
        finally:
            for task in tasks:
                task.cancel()

    async def close(self) -> None:
        """Disconnect all."""
        await asyncio.gather(*(connection.close() for connection in self.by_gate.values()))

    def send(self, gates: list[Gate]) -> None:
        """Write what these gates hold, and empty the list."""
        if gates:
            for gate in gates:
                self.by_gate[gate].write(b"".join(gate.outbox))
                gate.outbox.clear()
            gates.clear()

    def ping(self) -> None:
        """Ask the server on each connection whether it has read all that was written."""
        for connection in self.by_gate.values():
            connection.ping()

    @property
    def awaits_pongs(self) -> bool:
        """Whether a server may still send what it had sent already when it was pinged."""
        return any(connection.awaits_pong for connection in self.by_gate.values())

    def answer_due(self, now: int) -> None:
        """Answer what consumers are done with by now."""
        written, acks = self._work.answer_due(now)
        self._deliveries.acks += acks
        for gate, answers in written.items():
            self.by_gate[gate].write(b"".join(answers))

    def peers(self) -> list[NatsPeer]:
        """Watch one connection to each server: what one server does to it, it does to all."""
        by_server = {c.server: c for c in self.by_gate.values()}
        return [NatsPeer(connection) for connection in by_server.values()]

    @property
    def logs(self) -> list[DeliveryLog]:
        """Each consumer's deliveries from the stream that is there now."""
        return [puller.log for puller in self.pullers]

    def _build(self) -> None:
        spec, assignment = self._assignment.spec, self._assignment
        inbox = f"_INBOX.{secrets.token_hex(6)}"
        indices: list[list[int]] = [[] for _ in spec.by_class()]
        for index in range(assignment.first, assignment.first + assignment.count):
            indices[spec.class_of(index)].append(index)
        for of_class, members in zip(spec.by_class(), indices, strict=True):
            if members:
                self._build_class(of_class, members, inbox)

    def _build_class(self, of_class: RunSpec, indices: list[int], inbox: str) -> None:
        """Make the pullers and connections of consumers that poll alike."""
        spec, consumers = self._assignment.spec, of_class.consumers
        size = PullSize.of(of_class)
        habit = Habit(
            NoPolls() if consumers.is_pushed else PollSchedule.of(of_class),
            batch_size=consumers.batch_size,
            drain=consumers.fetch == "drain",
            processing=ProcessingTime.of(of_class),
            name=consumers.only_class.name if consumers.only_class else "",
        )
        if consumers.classes:
            [own] = consumers.classes
            self.habits[own.name] = habit
            habit.answers = own.answers or None
            if own.nak_delay_s:
                habit.nak = b'-NAK {"delay": %d}' % round(own.nak_delay_s * NS_PER_S)
        of_connections = iter(indices)
        for share in shares_of(of_class, len(indices)):
            gate = Gate(size.pulls_at_a_time)
            sids: dict[bytes, Puller] = {}
            connection = self._new_connection(gate, habit, sids, len(self.by_gate))
            self.by_gate[gate] = connection
            gate.new_sid = connection.new_sid
            if consumers.is_ordered:
                connection.subscribe(f"{inbox}.made.>", self._made, wants_payload=True)
            for index in islice(of_connections, share):
                durable, stream = spec.durable_of(index), spec.stream_of(index)
                log = DeliveryLog(index, durable, stream)
                if consumers.is_ordered:
                    ordered = Ordered(index, inbox, sids)
                    self.pullers.append(OrderedPuller(log, gate, habit, ordered))
                    continue
                if consumers.is_pushed:
                    sid = connection.new_sid()
                    subject = asked.deliver_subject(durable)
                    subscription = subscription_of(subject, asked.DELIVER_GROUP, sid)
                    puller = subscriber(log, gate, subscription, habit)
                else:
                    own_inbox = f"{inbox}.{index}"
                    request = request_of(
                        spec.stream.name_of(stream),
                        durable,
                        own_inbox,
                        size.batch_size,
                        size.stated_bytes_max,
                    )
                    puller = Puller(log, gate, request, habit)
                    sid = connection.subscribe(own_inbox, _ignore, wants_payload=False)
                self.pullers.append(puller)
                sids[sid] = puller

    def _made(
        self, subject: bytes, _reply: bytes, _header: bytes, payload: bytes, _size: int
    ) -> None:
        self._on_made(subject, payload)

    def _new_connection(
        self, gate: Gate, habit: Habit, sids: dict[bytes, Puller], number: int
    ) -> NatsConnection:
        spec = self._assignment.spec

        def write(data: bytes) -> None:
            connection.write(data)

        connection = NatsConnection(
            self.address,
            name=f"fpaas-consumers-{self._assignment.worker}-{number}",
            on_connected=functools.partial(self._on_connected, gate),
            on_disconnected=functools.partial(self._on_disconnected, gate),
            make_parser=functools.partial(
                DeliveryParser,
                pullers=sids,
                deliveries=self._deliveries,
                habit=habit,
                work=self._work,
                ack=spec.consumers.ack,
                on_missed=self._on_missed if spec.consumers.is_ordered else None,
                late_from_unix_ns=spec.end_unix_ns + BEGUN_LATE_MAX_NS
                if spec.consumers.is_pushed
                else sys.maxsize,
                write=write,
                on_answered=self._on_answered,
                clock=common_time.clock(),
            ),
            # Each of a cluster's servers gets its part of the connections.
            turn=self._assignment.worker + number,
        )
        return connection


def _ignore(_subject: bytes, _reply: bytes, _header: bytes, _payload: bytes, _size: int) -> None:
    """Stand in as handler of inboxes, which the delivery parser reads itself."""


def shares_of(of_class: RunSpec, count: int) -> list[int]:
    """Return how many of a worker's consumers of one class are on each of its connections."""
    if of_class.consumers.connections == "per_consumer":
        return [1] * count
    return spread(count, PullSize.of(of_class).pulls_at_a_time, CONNECTIONS_MAX)


def address_of(nats_url: str) -> NatsAddress:
    """Return where NATS is, with credentials from the environment. Raises BadInput."""
    try:
        return address_from_environment(nats_url)
    except ValueError as error:
        raise BadInput(str(error)) from error


def _allow_open_files(needed: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft >= needed:
        return
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise RunInvalid(
            f"{needed} open files are needed and {hard} allowed here; raise the limit (ulimit -n), "
            "or set bench_connections to auto"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
