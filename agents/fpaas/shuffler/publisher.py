"""Publishes events into the stream over one NATS connection, many in flight, none forgotten.

Answers arrive on one wildcard inbox whose last token says which publish they are for. What the
connection loses, and what is not answered in time, is written again once NATS takes it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Protocol

from fpaas import common_time
from fpaas.firehose.frames import Event
from fpaas.jetstream.nats_address import NatsAddress
from fpaas.jetstream.nats_connection import NatsConnection
from fpaas.measures.calls import Bins
from fpaas.records.events import NATS_RECONNECTED
from fpaas.shuffler.nats_outages import NatsOutages
from fpaas.shuffler.publish import Publish
from fpaas.shuffler.publish_account import Account
from fpaas.shuffler.publish_answers import NO_STREAM, Ack, AnswerReader, Refusal
from fpaas.shuffler.publish_calls import PublishCalls
from fpaas.shuffler.publish_window import PublishWindow
from fpaas.shuffler.refusal_log import RefusalLog
from fpaas.shuffler.subjects import Addresser, expecting
from fpaas.watch.lost_connections import LostConnections

log = logging.getLogger(__name__)

#: Repeats are written in pieces of this size, each when the socket has taken the one before.
REPEAT_PIECE_BYTES = 256 * 1024
REPEAT_CHECK_S = 0.25
#: How often a stream that refuses as if it were gone is looked after.
LOOK_INTERVAL_S = 1.0


class Recovery(Protocol):
    """Looks after the stream; see fpaas.shuffler.recovery."""

    async def look(self) -> bool:
        """Find out whether the stream is the one that it was; returns whether there is one."""

    async def replay(self) -> None:
        """Publish again what a lost stream had."""


class Publisher:
    """Takes events with `publish` and `flush`, until `close` gives each its outcome.

    `due_ns` tells when a seq was due; `bins` are those of the run that its `calls` are recorded
    for. `streams` are the names of the streams that it publishes into, if there are several.
    """

    def __init__(
        self,
        address: NatsAddress,
        account: Account,
        addresser: Addresser,
        *,
        due_ns: Callable[[int], int] | None = None,
        bins: Bins | None = None,
        streams: Sequence[str] = (),
    ) -> None:
        self.calls = PublishCalls(due_ns, bins)
        self.window = PublishWindow(account, on_unanswered=self.calls.give_up)
        self.calls.watch(self.window, self._held_events)
        self.connection = NatsConnection(
            address,
            name="fpaas-shuffler",
            on_connected=self._connected,
            on_disconnected=self._disconnected,
        )
        #: Notes lost connections; nobody does but in a run.
        self.lost_connections = LostConnections(NATS_RECONNECTED, None)
        self._account = account
        self._addresser = addresser
        self._answers = AnswerReader(streams)
        self._flushing: asyncio.Handle | None = None
        #: Looks after the stream whenever NATS is there again.
        self.recovery: Recovery | None = None
        #: Nothing is written: it is not known yet whether the stream is the one that it was.
        self._looking = False
        #: Events read in the meantime, which come after everything repeated and replayed.
        self._held: list[tuple[Event, bytes]] | None = None
        self._looked_s = 0.0
        #: Events were published into a stream that nobody looked at yet.
        self._has_next_stream = False
        #: No stream took what was published last: what waits is repeated, nothing new comes.
        self._has_no_stream = False
        self.outages = NatsOutages()
        self._room = asyncio.Event()
        self._room.set()
        self._repeating: asyncio.Task[None] | None = None
        self._repeat_checks: asyncio.Task[None] | None = None
        self._refusals = RefusalLog(account)
        inbox = f"_INBOX.fpaas.{secrets.token_hex(8)}"
        self._inbox_prefix = f"{inbox}.".encode()
        self._token_at = len(self._inbox_prefix)
        self.connection.subscribe(f"{inbox}.*", self._answered, wants_payload=True)

    async def connect(self, timeout_s: float) -> None:
        """Connect, trying for `timeout_s`. Raises NatsError that says what was tried."""
        await self.connection.connect_patiently(timeout_s)
        self._repeat_checks = asyncio.ensure_future(self._check_repeats())

    def publish(self, event: Event, frame: bytes) -> None:
        """Take an event; it is written by the next `flush`."""
        if self._held is not None:
            self._held.append((event, frame))
            return
        settled_before = self.window.settled_before
        if settled_before is not None and event.seq in settled_before:
            return
        self.window.add(self.publish_of(event, frame))

    def publish_of(self, event: Event, frame: bytes) -> Publish:
        """Return an event as it goes into the stream."""
        subject, header, did_crc, label, stream = self._addresser.address(event)
        return Publish(
            event.seq, subject, header, frame, label=label, did_crc=did_crc, stream=stream
        )

    def publish_again(self, event: Event, frame: bytes) -> None:
        """Take an event that a lost stream had, or that was in flight when it was lost."""
        publish = self.publish_of(event, frame)
        withdrawn = self.window.withdrawn.pop(event.seq, None)
        publish.again = withdrawn is None
        # If it is in this stream already, a duplicate is its own copy.
        publish.doubtful = withdrawn is not None and withdrawn.in_next
        self.window.add(publish)

    def withdraw(self) -> list[tuple[int, int, int]]:
        """Take out what waits for an answer, as the stream is gone.

        Returns relay seq, CRC-32 of the DID and classes of events that it may have had, in the
        order of writing.
        """
        in_doubt = []
        for publish in self.window.withdraw():
            self.calls.withdraw(publish)
            if publish.doubtful and not publish.in_next:
                in_doubt.append(publish)
        in_doubt.sort(key=lambda publish: publish.first_written_ns)
        self._open_room()
        classes_of = self._account.classes_of or (lambda _: 0)
        return [(one.seq, one.did_crc, classes_of(one.subject)) for one in in_doubt]

    def flush(self) -> None:
        """Write what is ready, in one piece. Without a connection it waits for the next one."""
        self._flushing = None
        if self.connection.connected.is_set() and not self._looking:
            # One that cannot be written has its outcome at once, and another of its DID follows.
            while self.window.ready:
                self._write(self.window.take_ready())
        if self.window.full:
            self._room.clear()

    @property
    def is_clustered(self) -> bool:
        """Whether the server is one of a cluster."""
        return "cluster" in self.connection.server_info

    @property
    def congested(self) -> bool:
        """Whether events should stop coming until `wait_for_room` returns."""
        return self._repeating is not None or not self.has_room

    @property
    def oldest_seq(self) -> int | None:
        """Smallest relay seq that the stream has yet to take; None if there is none."""
        held = [event.seq for event in self._held_events()]
        oldest = self.window.oldest_seq()
        return min([*held, *(() if oldest is None else (oldest,))], default=None)

    @property
    def is_idle(self) -> bool:
        """Whether everything taken has its outcome, and nothing is to be read again."""
        window = self.window
        return not (window.pending or window.withdrawn or window.to_replay or self._held)

    @property
    def has_room(self) -> bool:
        """Whether NATS takes what is written, a stream is there, and the window has room."""
        return self.connection.writable.is_set() and self._room.is_set()

    async def wait_for_own_room(self) -> None:
        """Wait for that."""
        while not self.has_room:
            await self.connection.writable.wait()
            await self._room.wait()

    async def wait_for_room(self) -> None:
        """Wait until NATS is there, takes what is written, and the window has room."""
        while self.congested:
            await self.wait_for_own_room()
            if self._repeating is not None:
                await asyncio.wait([self._repeating])

    async def drain(self, timeout_s: float) -> None:
        """Wait until every publish has its outcome, for at most `timeout_s`."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                # An event would cost a check at every answer; this waits once, at the end.
                while self.window.pending:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)

    async def close(self) -> None:
        """Close the connection and give what is still in flight its outcome."""
        for task in (self._repeat_checks, self._repeating, self._flushing):
            if task is not None:
                task.cancel()
        await self.connection.close()
        self._let_go()
        self.window.close()

    # -- writing ---------------------------------------------------------------------------------

    def _write(self, publishes: Iterable[Publish]) -> None:
        now_s = time.monotonic()
        now_ns = common_time.now_ns()
        window = self.window
        max_payload = self.connection.server_info.get("max_payload", 2**20)
        # In a cluster the condition is checked before a message is stored, which may yet fail.
        may_go_ahead = not self.is_clustered
        lines: list[bytes] = []
        first_writes = 0
        for publish in publishes:
            if publish.place or publish.has_outcome:
                continue
            header, frame = publish.header, publish.frame
            total_bytes = len(header) + len(frame)
            if total_bytes > max_payload:
                # The server would cut the connection, and everything else in flight with it.
                reason = f"larger than the server's max_payload of {max_payload}"
                window.fail(publish.token, reason)
                continue
            if publish.before is not None:
                end = window.expected_end(publish) if may_go_ahead else None
                if end is None:
                    continue
                header = expecting(header, end)
                total_bytes = len(header) + len(frame)
                if total_bytes > max_payload:
                    continue
            lines += (
                b"HPUB %b %b%d %d %d\r\n%b"
                % (
                    publish.subject,
                    self._inbox_prefix,
                    publish.token,
                    len(header),
                    total_bytes,
                    header,
                ),
                frame,
                b"\r\n",
            )
            # A nanosecond apart, they keep the order in which they were written.
            window.written(publish, now_s, now_ns + first_writes)
            first_writes += publish.writes == 1
        self.calls.publish_ack.begin(now_ns, first_writes)
        self.connection.write(b"".join(lines))

    async def _check_repeats(self) -> None:
        while True:
            await asyncio.sleep(REPEAT_CHECK_S)
            if self._has_next_stream:
                self._look()
            if self._repeating is None and self.connection.writable.is_set():
                due = self.window.due(time.monotonic())
                if due:
                    self._start_repeating(due)

    def _start_repeating(self, publishes: list[Publish]) -> None:
        self._repeating = asyncio.ensure_future(self._repeat_alone(publishes))

    async def _repeat_alone(self, publishes: list[Publish]) -> None:
        await self._repeat(publishes)
        self._repeating = None
        self._open_room()

    async def _repeat(self, publishes: list[Publish]) -> None:
        piece: list[Publish] = []
        piece_bytes = 0
        for publish in publishes:
            piece.append(publish)
            piece_bytes += len(publish.frame)
            if piece_bytes >= REPEAT_PIECE_BYTES:
                self._write(piece)
                piece, piece_bytes = [], 0
                await self.connection.writable.wait()
        self._write(piece)

    async def _resume(self, *, is_reconnected: bool) -> None:
        """Go on with the stream that is there now; what is new waits until the rest is written."""
        recovery = self.recovery
        if self._held is None:
            self._held = []
        if recovery is not None:
            self._looking = True
            if await recovery.look():
                self._has_no_stream = False
            self._looking = False
        if is_reconnected and self.window.pending:
            publishes = self.window.on_their_way()
            log.info("NATS is back: %d publishes are repeated", len(publishes))
            await self._repeat(publishes)
        if recovery is not None:
            await recovery.replay()
        self._repeating = None
        self._let_go()
        self.flush()
        self._open_room()
        self.outages.resumed()

    def _held_events(self) -> Iterator[Event]:
        return (event for event, _ in self._held or ())

    def _let_go(self) -> None:
        """Take in the events that were held back."""
        held, self._held = self._held or [], None
        for event, frame in held:
            self.publish(event, frame)

    def _connected(self) -> None:
        self.lost_connections.made(self.connection)
        if self._repeating is not None:
            self._repeating.cancel()
        self.outages.answered()
        self._repeating = asyncio.ensure_future(self._resume(is_reconnected=True))

    def _disconnected(self) -> None:
        connection = self.connection
        told = {"server": str(connection.server), "cause": connection.last_error}
        self.lost_connections.lost(connection, told)
        if self._repeating is not None:
            self._repeating.cancel()
            self._repeating = None
        self._looking = False
        self.window.lose_connection()
        self.outages.begin()

    def _look(self) -> None:
        if self.recovery is not None and self._repeating is None:
            self._looked_s = time.monotonic()
            self._has_next_stream = False
            self._repeating = asyncio.ensure_future(self._resume(is_reconnected=False))

    # -- answers ---------------------------------------------------------------------------------

    def _answered(
        self, subject: bytes, _reply: bytes, header: bytes, payload: bytes, _size: int
    ) -> None:
        answer = self._answers.read(header, payload)
        window = self.window
        token = int(subject[self._token_at :])
        if isinstance(answer, Ack):
            publish = window.pending.get(token)
            if publish is not None:
                places = self._account.streams[publish.stream]
                if answer.stream_seq <= places.last_seq and self._note_if_in_next(publish, answer):
                    self._has_next_stream = True
                    self._look()
                    return
                # Before its outcome is counted: no scrape in between sees more outcomes than acks.
                self._has_no_stream = False
                self.calls.answered(publish)
        window.answer(token, answer, time.monotonic())
        if isinstance(answer, Refusal) and not answer.out_of_turn:
            self._refusals.note(answer.reason)
            if answer.reason == NO_STREAM:
                self._has_no_stream = True
                self._room.clear()
                if time.monotonic() >= self._looked_s + LOOK_INTERVAL_S:
                    self._look()
        if window.ready and self._flushing is None:
            # Many answers come at once; what they let go is written in one piece.
            self._flushing = asyncio.get_running_loop().call_soon(self.flush)
        if not self._room.is_set():
            self._open_room()

    def _note_if_in_next(self, publish: Publish, answer: Ack) -> bool:
        return (
            not answer.duplicate
            and self.recovery is not None
            and self.window.note_if_in_next(publish, answer.stream_seq)
        )

    def _open_room(self) -> None:
        if self._room.is_set() or not self.window.roomy:
            return
        # Waiting publishes find out when there is a stream again.
        if not (self._has_no_stream and self.window.pending):
            self._room.set()
