"""What is fuzzed: whoever reads bytes from outside. Each lets through only the errors it promises.

A target is a function of one input. It returns for what is good and for what is refused as it
should be, and raises for all else. If a file has one of several formats, the input's first byte
says which.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import math
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from fpaas.consumers.deliveries import Deliveries
from fpaas.consumers.delivery_parser import DeliveryParser
from fpaas.consumers.puller import Gate, Habit, Puller
from fpaas.consumers.schedule import PollSchedule
from fpaas.errors import BadInput, SpecError
from fpaas.firehose import dag_cbor
from fpaas.firehose.capture import Capture
from fpaas.firehose.frames import SEQ_MAX, ErrorFrame, Event, FrameError, decode
from fpaas.jetstream import jetstream_api
from fpaas.jetstream.jetstream_api import JetStreamError
from fpaas.jetstream.nats_wire import Parser, ProtocolError
from fpaas.measures import delivery_log
from fpaas.measures.delivery_log import DeliveryLog
from fpaas.probe import server_state
from fpaas.probe.server_state import AnswerError
from fpaas.records import events, files, schemas
from fpaas.records.files import UnreadableError
from fpaas.shuffler.publish_answers import Ack, AnswerReader
from fpaas.shuffler.subjects import Addresser
from fpaas.spec import RunSpec, check_run
from tests.support.kinds_of_files import name_of

_ADDRESSER = Addresser()
_NUMBER_MAX = 2**63


def frame(data: bytes) -> None:
    """A frame of a relay, up to where it goes in the stream."""
    try:
        decoded = decode(data)
    except FrameError as error:
        assert len(str(error)) < 1000
        assert error.seq is None or 0 < error.seq <= SEQ_MAX
        return
    # What is accepted, the walker accepts.
    assert dag_cbor.item_end(data, dag_cbor.item_end(data, 0)) == len(data)
    if isinstance(decoded, Event):
        assert 0 < decoded.seq <= SEQ_MAX
        address = _ADDRESSER.address(decoded)
        assert len(address.header) < 2000
        assert b" " not in address.subject
        assert address.header.count(b"\r\n") == 4
    elif isinstance(decoded, ErrorFrame):
        assert len(decoded.name) + len(decoded.message) < 1000
    else:
        assert len(decoded.detail) < 1000


def capture(data: bytes) -> None:
    """A capture: refused by its name, or played for loops of which none repeats another."""
    with _file(data, "capture") as path:
        try:
            source = Capture(path)
        except BadInput as error:
            assert str(path) in error.message
            return
        source.offsets_ns()
        loops: list[set[bytes]] = []
        for loop in range(3):
            identifiers = set()
            for position in range(source.frames):
                index = loop * source.frames + position
                decoded = decode(source.frame(index))
                assert not isinstance(decoded, ErrorFrame)
                assert decoded.seq == source.first_seq + index
                if isinstance(decoded, Event):
                    identifiers.add(_ADDRESSER.address(decoded).header.split(b"\r\n")[1])
            loops.append(identifiers)
    assert len(set().union(*loops)) == sum(map(len, loops))


def run_json(data: bytes) -> None:
    """A run.json, of a run directory or a bundle."""
    with _file(data, "run.json") as path:
        try:
            run = RunSpec.load(path)
            check_run(run, str(path))
        except SpecError as error:
            assert str(path) in str(error)
            return
    assert math.isfinite(run.end_unix_ns)
    assert (run.frames_due() or 0) >= 0
    assert RunSpec.from_json(run.to_json(), "again") == run


def nats(data: bytes) -> None:
    """What a NATS server sends; the first byte says in chunks of which size."""
    taken: list[int] = []

    def take(subject: bytes, reply: bytes, header: bytes, payload: bytes, size: int) -> None:
        assert size >= 0
        taken.append(len(subject) + len(reply) + len(header) + len(payload))

    parser = Parser(
        on_info=lambda info: taken.append(info.get("max_payload", 0)),
        on_ping=lambda: None,
        on_pong=lambda: None,
        on_error=lambda text: taken.append(len(text)),
    )
    parser.subscriptions = {b"1": (take, True), b"2": (take, False)}
    with contextlib.suppress(ProtocolError):
        for chunk in _chunks(data):
            parser.feed(chunk)
            assert len(taken) <= len(data)


def deliveries(data: bytes) -> None:
    """The same where consumers receive."""
    t0_unix_ns = 1_800_000_000_000_000_000
    counted = Deliveries(t0_unix_ns=t0_unix_ns, first_seq=1, frame_interval_ns=1e6)
    gate = Gate(1)
    habit = Habit(PollSchedule(0, 10**9, 0, 1), batch_size=100, drain=False)
    pullers = {
        b"%d" % n: Puller(DeliveryLog(n, f"fpaas-{n:05d}"), gate, b"", habit) for n in (1, 2)
    }
    parser = DeliveryParser(
        pullers=pullers,
        deliveries=counted,
        write=lambda acks: None,
        on_answered=lambda puller, header, now: puller.log.end_run(),
        clock=lambda: t0_unix_ns + 10**9,
        on_info=lambda info: None,
        on_ping=lambda: None,
        on_pong=lambda: None,
        on_error=lambda text: None,
    )
    with contextlib.suppress(ProtocolError):
        for chunk in _chunks(data):
            parser.feed(chunk)
            assert counted.processed <= len(data)
    for puller in pullers.values():
        puller.log.end_run()
    assert len(counted.first_fetch or ()) < 2**28


def answers(data: bytes) -> None:
    """What JetStream answers to publishes; between lines, so that a usual answer can come first."""
    reader = AnswerReader()
    for line in data.split(b"\n"):
        for header, payload in ((b"", line), (line, b"")):
            answer = reader.read(header, payload)
            if isinstance(answer, Ack):
                assert 0 < answer.stream_seq < 2**64
            else:
                assert len(answer.reason) < 1000


def api(data: bytes) -> None:
    """What the JetStream API and the monitoring port answer."""
    try:
        answer = jetstream_api.decode(data, "$JS.API.STREAM.INFO.S")
    except JetStreamError as error:
        assert len(str(error)) < 1000
        assert abs(error.err_code) < _NUMBER_MAX
        return
    for read in (
        server_state.varz,
        server_state.server,
        server_state.stream_state,
        lambda content: server_state.stream_in_jsz(content, "S"),
        lambda content: server_state.leader_in_jsz(content, "S"),
        server_state.connz,
        server_state.consumer,
    ):
        with contextlib.suppress(AnswerError):
            json.loads(files.encode(read(answer)))
    with contextlib.suppress(JetStreamError):
        jetstream_api.page_of(answer, "$JS.API.CONSUMER.LIST.S")


def record(data: bytes) -> None:
    """A file that an agent wrote, or one about a whole run, behind its name on a line."""
    first_line, _, content = data.partition(b"\n")
    name = name_of(first_line.decode("latin-1")) or ""
    if name in ("", "run", "summary"):
        name = sorted(schemas.FILES)[len(first_line) % len(schemas.FILES)]
    kind = schemas.FILES[name].record
    with _file(content, "record") as path, contextlib.suppress(UnreadableError):
        if name == "events":
            events.read(path)
        elif schemas.FILES[name].pattern.endswith(".jsonl"):
            files.read_lines(path, kind)
        else:
            files.write(path, files.read(path, kind))


def delivered(data: bytes) -> None:
    """A delivery log: as it is, packed by us, and as a journal."""
    with _file(data, "log") as path, contextlib.suppress(ValueError):
        delivery_log.read(path)
    with _file(gzip.compress(data, 1), "log") as path, contextlib.suppress(ValueError):
        delivery_log.read(path)
    with _file(data, "journal") as path, contextlib.suppress(ValueError):
        delivery_log.read_journal(path, str)


TARGETS: dict[str, Callable[[bytes], None]] = {
    target.__name__: target
    for target in (frame, capture, run_json, nats, deliveries, answers, api, record, delivered)
}


def _chunks(data: bytes) -> list[bytes]:
    size = data[0] + 1 if data else 1
    return [data[at : at + size] for at in range(1, len(data), size)]


@contextlib.contextmanager
def _file(data: bytes, name: str) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="fpaas-fuzz-") as directory:
        path = Path(directory) / name
        path.write_bytes(data)
        yield path
