"""Sans-I/O reader of JetStream deliveries: takes them down and acks them, in one loop.

This loop is the cost of an agent's consumers, so everything that happens once a message is written
out in it: the protocol, the latency legs, the delivery log, the ack.

Source of the reply subject: NATS ADR-15, `$JS.ACK.<stream>.<consumer>.<delivered>.<stream seq>.
<consumer seq>.<stored ns>.<pending>`; the longer form has two tokens more before the stream (domain
and account) and may have one after the last.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from fpaas import common_time
from fpaas.consumers.deliveries import Ages, Deliveries
from fpaas.consumers.puller import Habit, Puller
from fpaas.consumers.work import Work, publish
from fpaas.jetstream.nats_wire import (
    MAX_CONTROL_LINE_BYTES,
    MAX_MESSAGE_BYTES,
    Parser,
    ProtocolError,
)
from fpaas.measures.first_fetch import encode as first_fetch_of
from fpaas.spec import acks
from fpaas.spec.answers import ACKED, Answer

_M = ord("M")
#: Fields of a message line: HMSG subject sid reply header-bytes total-bytes.
_FIELDS_HEADERS_AND_REPLY = 6
_FIELDS_REPLY = 5
_ACK_PREFIX = b"$JS.ACK."
_FLOW_CONTROL_PREFIX = b"$JS.FC."
_SHORT_FORM_TOKENS = 9
_LONG_FORM_FIRST = 6
_FIRST_FETCH_GROWTH = 1 << 16
#: A stream is empty when a run begins, and grows by one message at a time.
_FIRST_FETCH_GROWTH_MAX = 1 << 26
#: Logs are arrays of 64 bits.
_SEQ_LIMIT = 1 << 62


class DeliveryParser(Parser):
    """Parser of a connection that pullers receive on.

    `pullers` maps subscription ids to pullers, all of one `habit`. `write` sends acks, one call a
    chunk, and before them what the habit answers otherwise, if there is any; what takes time goes
    to `work`, which answers later. Then
    `on_answered(puller, status_header, now)` is called for each pull that ended in the chunk; `now`
    is `clock`'s Unix nanoseconds. `ack` is one of the run's ACKS. Other
    subscriptions work as they do in Parser.

    Each ack makes the server push more, and without it a message comes again. From
    `late_from_unix_ns` on, when the server is looked at for the last time, deliveries are logged
    and not acked, and repeats, which may be younger than that look, are left out.

    For ordered consumers, `on_missed` is called if a delivery is missing, and later ones are left
    out.

    All messages of a chunk have the chunk's time as time of receipt: they were here when it was
    read, and our own work on earlier messages is no latency of later ones.
    """

    def __init__(
        self,
        *,
        pullers: dict[bytes, Puller],
        deliveries: Deliveries,
        habit: Habit | None = None,
        work: Work | None = None,
        ack: str = acks.EXPLICIT,
        late_from_unix_ns: int = sys.maxsize,
        on_missed: Callable[[Puller, int], None] | None = None,
        write: Callable[[bytes], None],
        on_answered: Callable[[Puller, bytes, int], None],
        clock: Callable[[], int] = common_time.now_ns,
        **callbacks: Any,  # noqa: ANN401
    ) -> None:
        super().__init__(**callbacks)
        self._pullers = pullers
        self._deliveries = deliveries
        self._ages = deliveries.ages
        if habit is not None and habit.name:
            self._ages = deliveries.ages_by_class.setdefault(habit.name, Ages(habit.name))
        has_answers = habit is not None and (habit.answers or habit.processing)
        self._answering = habit if has_answers else None
        self._work = work
        self._ack = ack
        self._late_from_unix_ns = late_from_unix_ns
        self._on_missed = on_missed
        #: Where each puller's replies begin in `_replies`.
        self._owners: list[tuple[int, Puller]] = []
        self._write = write
        self._on_answered = on_answered
        self._clock = clock
        self._replies: list[bytes] = []
        self._answered: list[tuple[Puller, bytes]] = []
        self._head = b""

    def reset(self) -> None:
        """Forget half-read input; for a new connection."""
        super().reset()
        self._head = b""
        self._replies = []
        self._owners.clear()
        self._answered = []

    def feed(self, data: bytes) -> None:
        """Parse a chunk: record, ack, report. Raises ProtocolError on garbage."""
        now = self._clock()
        redelivered = self._deliveries.redelivered
        position = self._skip_bytes
        if position > len(data):
            self._skip_bytes -= len(data)
            return
        if position:
            # The rest of a payload is here: its message counts from now on.
            self._skip_bytes = 0
            self._scan(self._head, 0, sys.maxsize, now)
        elif self._pending:
            data = self._pending + data
            self._pending = b""
        self._scan(data, position, len(data), now)
        replies = self._replies
        if replies:
            self._replies = []
            if now >= self._late_from_unix_ns:
                replies = self._leave_unanswered(replies)
            elif self._answering is not None:
                replies = self._answer(replies, self._answering, now)
            elif self._ack != acks.EXPLICIT:
                has_repeats = self._deliveries.redelivered != redelivered
                is_all = self._ack == acks.ALL
                replies = self._covering(replies, has_repeats=has_repeats) if is_all else []
        if replies:
            self._write(b"PUB " + b" 0\r\n\r\nPUB ".join(replies) + b" 0\r\n\r\n")
            self._deliveries.acks += len(replies)
        self._owners.clear()
        if self._answered:
            answered, self._answered = self._answered, []
            for puller, status_header in answered:
                self._on_answered(puller, status_header, now)

    def _leave_unanswered(self, replies: list[bytes]) -> list[bytes]:
        """Note what is not acked, unless nothing ever is; returns what is: nothing."""
        if self._ack == acks.EXPLICIT:
            ends = [*(begin for begin, _ in self._owners[1:]), len(replies)]
            for (begin, puller), end in zip(self._owners, ends, strict=True):
                puller.log.unanswered.extend(map(_consumer_seq_of, replies[begin:end]))
        return []

    def _covering(self, replies: list[bytes], *, has_repeats: bool) -> list[bytes]:
        """Return a reply of each consumer, whose ack is of all that it received before.

        The one of the message furthest in the stream: the server does not go back for an ack.
        Without repeats that is the last.
        """
        furthest: dict[Puller, tuple[int, bytes]] = {}
        ends = [*(begin for begin, _ in self._owners[1:]), len(replies)]
        for (begin, puller), end in zip(self._owners, ends, strict=True):
            for reply in replies[begin if has_repeats else max(begin, end - 1) : end]:
                stream_seq = _stream_seq_of(reply)
                if puller not in furthest or stream_seq > furthest[puller][0]:
                    furthest[puller] = stream_seq, reply
        return [reply for _, reply in furthest.values()]

    def _answer(self, replies: list[bytes], habit: Habit, now: int) -> list[bytes]:
        """Answer as the habit says, or hand over to `work`; returns the replies to ack at once."""
        at_once: list[bytes] = []
        written: list[bytes] = []
        owners = iter([*self._owners, (len(replies), None)])
        puller = None
        begin, following = next(owners)
        for number, reply in enumerate(replies):
            while begin <= number:
                puller = following
                begin, following = next(owners)
            tokens = reply.split(b".")
            if len(tokens) == _SHORT_FORM_TOKENS:
                delivered, stream_token, consumer_token = tokens[4:7]
            else:
                delivered, stream_token, consumer_token, _ = _tokens_of_long_form(reply)
            answer = Answer.ACK
            if habit.answers is not None:
                answer = habit.answers.to(int(stream_token), int(delivered))
            if self._work is not None and puller is not None and habit.processing is not None:
                self._work.take(puller, int(consumer_token), reply, answer, now)
                continue
            habit.answered[answer] += 1
            if answer in ACKED:
                at_once.append(reply)
            payload = habit.payload_of(answer)
            if payload:
                written.append(publish(reply, payload))
        if written:
            self._write(b"".join(written))
        return at_once

    def _scan(  # noqa: C901, PLR0912, PLR0915 - one loop, see the module
        self, data: bytes, position: int, complete_to: int, now: int
    ) -> None:
        """Take down the messages in `data` from `position` on.

        Messages that end at `complete_to` or before are here as a whole. A message that is not is
        kept back, without the part of its payload that is there already.
        """
        deliveries = self._deliveries
        first_fetch, first_fetches = deliveries.first_fetch, deliveries.first_fetches
        frame_interval_ns, due_ns = deliveries.frame_interval_ns, deliveries.due_ns
        is_ours = frame_interval_ns is not None or due_ns is not None
        first_seq = deliveries.first_seq
        since_first_due_ns = now - deliveries.t0_unix_ns
        since_t0_ms = since_first_due_ns // 1_000_000
        is_late = now >= self._late_from_unix_ns
        on_missed = self._on_missed
        is_checked = is_late or on_missed is not None
        add_publish_to_fetch = self._ages.publish_to_fetch.samples_ns.append
        add_end_to_end = self._ages.end_to_end.samples_ns.append
        add_reply = self._replies.append
        add_owner = self._owners.append
        find, rfind = data.find, data.rfind
        size = len(data)
        processed = payload_bytes = redelivered = 0
        current_sid = b""
        puller: Puller | None = None
        try:
            while position < size:
                line_end = find(b"\r\n", position)
                if line_end < 0:
                    break
                kind = data[position]
                if kind not in b"HM":
                    self._control(data[position:line_end])
                    position = line_end + 2
                    continue
                fields = data[position:line_end].split(b" ")
                sid = fields[2]
                if sid != current_sid:
                    current_sid = sid
                    puller = self._pullers.get(sid)
                    if puller is not None:
                        puller.progress_unix_ns = now
                        add_owner((len(self._replies), puller))
                        log = puller.log
                        before = puller.before
                        if first_fetches:
                            first_fetch = first_fetches[log.stream]
                if puller is None:
                    end = self._message(data, position, line_end)
                    if end < 0:
                        break
                    if end > size:
                        self._head = b""
                        self._skip_bytes = end - size
                    position = end
                    continue
                if len(fields) == _FIELDS_HEADERS_AND_REPLY:
                    reply = fields[3]
                    header_bytes = int(fields[4])
                    total_bytes = int(fields[5])
                elif kind == _M and len(fields) == _FIELDS_REPLY:
                    reply = fields[3]
                    header_bytes = 0
                    total_bytes = int(fields[4])
                else:
                    reply = b""
                    header_bytes = total_bytes = int(fields[-1])
                if not 0 <= header_bytes <= total_bytes <= MAX_MESSAGE_BYTES:
                    raise ValueError("bad sizes")
                body = line_end + 2
                payload = body + header_bytes
                end = body + total_bytes + 2
                if end > complete_to:
                    if payload <= size:
                        self._head = data[position:payload]
                        self._skip_bytes = end - size
                        position = size
                    break
                position = end
                if not reply:
                    self._answered.append((puller, data[body:payload]))
                    continue
                try:
                    _, _, _, _, delivered, stream_token, consumer_token, stored, _ = reply.split(
                        b"."
                    )
                except ValueError:
                    if reply.startswith(_FLOW_CONTROL_PREFIX):
                        # The server goes on once it knows that all before this was read.
                        self._write(b"PUB %s 0\r\n\r\n" % reply)
                        continue
                    delivered, stream_token, consumer_token, stored = _tokens_of_long_form(reply)
                stream_seq = int(stream_token)
                consumer_seq = int(consumer_token) + before
                if is_checked:
                    if is_late and delivered != b"1":
                        continue
                    if on_missed is not None and consumer_seq != max(
                        log.next_consumer_seq, before + 1
                    ):
                        on_missed(puller, now)
                        puller, current_sid = None, b""
                        continue
                age_ns = now - int(stored)
                add_publish_to_fetch(age_ns)
                if is_ours:
                    # Fpaas-Seq is the last header; the header ends in two line ends.
                    try:
                        seq = int(data[rfind(b" ", body, payload) + 1 : payload - 4])
                    except ValueError:
                        pass
                    else:
                        if frame_interval_ns is not None:
                            due = int((seq - first_seq) * frame_interval_ns)
                            add_end_to_end(since_first_due_ns - due)
                        elif due_ns is not None:
                            add_end_to_end(since_first_due_ns - due_ns(seq - first_seq))
                if first_fetch is not None:
                    try:
                        if not first_fetch[stream_seq - 1]:
                            first_fetch[stream_seq - 1] = first_fetch_of(age_ns)
                    except IndexError:
                        missing = stream_seq - len(first_fetch) + _FIRST_FETCH_GROWTH
                        if not 0 < missing < _FIRST_FETCH_GROWTH_MAX:
                            raise ValueError("bad stream sequence") from None
                        first_fetch.frombytes(bytes(4 * missing))
                        first_fetch[stream_seq - 1] = first_fetch_of(age_ns)
                if stream_seq == log.next_stream_seq and consumer_seq == log.next_consumer_seq:
                    log.count += 1
                    log.next_stream_seq = stream_seq + 1
                    log.next_consumer_seq = consumer_seq + 1
                else:
                    if not (0 < stream_seq < _SEQ_LIMIT and 0 <= consumer_seq < _SEQ_LIMIT):
                        raise ValueError("bad sequence")
                    log.record(stream_seq, consumer_seq, since_t0_ms)
                if delivered != b"1":
                    redelivered += 1
                    log.repeats.append(consumer_seq)
                    log.numbers.append(int(delivered))
                processed += 1
                payload_bytes += total_bytes - header_bytes
                add_reply(reply)
                puller.remaining -= 1
                if puller.remaining == 0:
                    self._answered.append((puller, b""))
        except (ValueError, IndexError, OverflowError) as error:
            raise ProtocolError(f"bad message at {data[position : position + 200]!r}") from error
        deliveries.processed += processed
        deliveries.bytes += payload_bytes
        deliveries.redelivered += redelivered
        if position < size:
            self._pending = data[position:]
            if len(self._pending) > MAX_CONTROL_LINE_BYTES and b"\r\n" not in self._pending:
                raise ProtocolError(f"no line end in {len(self._pending)} bytes: not a NATS server")


def _stream_seq_of(reply: bytes) -> int:
    tokens = reply.split(b".")
    return int(tokens[5] if len(tokens) == _SHORT_FORM_TOKENS else _tokens_of_long_form(reply)[1])


def _consumer_seq_of(reply: bytes) -> int:
    tokens = reply.split(b".")
    return int(tokens[6] if len(tokens) == _SHORT_FORM_TOKENS else _tokens_of_long_form(reply)[2])


def _tokens_of_long_form(reply: bytes) -> list[bytes]:
    """Return delivered, stream seq, consumer seq and stored ns; raises ValueError on garbage."""
    tokens = reply.split(b".")
    if not reply.startswith(_ACK_PREFIX) or len(tokens) < _LONG_FORM_FIRST + 5:
        raise ValueError(reply)
    return tokens[_LONG_FORM_FIRST : _LONG_FORM_FIRST + 4]
