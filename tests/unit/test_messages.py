"""Messages are what the library alone would read, however the socket cuts them."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.server import ServerProtocol
from websockets.uri import parse_uri

from fpaas.firehose.messages import MessageReader

MESSAGE_MAX_BYTES = 70_000
MASK = 0x80
WHOLE = bytes(range(256)) * 260


def binary(size_bytes: int) -> bytes:
    return frame(0x82, size_bytes)


def frame(first_byte: int, size_bytes: int, second_bits: int = 0) -> bytes:
    if size_bytes < 126:
        head = bytes([first_byte, second_bits | size_bytes])
    elif size_bytes < 1 << 16:
        head = bytes([first_byte, second_bits | 126]) + size_bytes.to_bytes(2)
    else:
        head = bytes([first_byte, second_bits | 127]) + size_bytes.to_bytes(8)
    return head + WHOLE[: min(size_bytes, len(WHOLE))]


sizes_bytes = st.sampled_from([0, 1, 5, 125, 126, 127, 500, 65535, 65536])
binaries = sizes_bytes.map(binary)
others = st.builds(frame, st.integers(0, 255), sizes_bytes, st.sampled_from([0, 0, 0, MASK]))
oversized = st.just(frame(0x82, 1 << 62))
pings = st.builds(frame, st.just(0x89), st.integers(0, 125))
fragments = st.tuples(
    st.sampled_from([0x02, 0x01]).map(lambda first: frame(first, 3)),
    st.lists(st.one_of(st.just(frame(0x00, 4)), pings), max_size=3).map(b"".join),
    st.just(frame(0x80, 2)),
).map(b"".join)
closes = st.just(bytes([0x88, 2]) + (1000).to_bytes(2))
streams = st.lists(
    st.one_of(binaries, binaries, pings, fragments, others, oversized, closes), max_size=8
).map(b"".join)
cuts = st.lists(st.integers(1, 3000), max_size=40)


def connected() -> tuple[ClientProtocol, bytes]:
    """Return a client that has asked, and what the server answers."""
    client = ClientProtocol(parse_uri("ws://127.0.0.1/"), max_size=MESSAGE_MAX_BYTES)
    server = ServerProtocol()
    client.send_request(client.connect())
    server.receive_data(b"".join(client.data_to_send()))
    request = server.events_received()[0]
    assert isinstance(request, Request)
    server.send_response(server.accept(request))
    return client, b"".join(server.data_to_send())


def pieces(data: bytes, sizes: list[int]) -> list[bytes]:
    """Cut off pieces of these sizes; the last one is what is left."""
    found = []
    for size in sizes:
        found.append(data[:size])
        data = data[size:]
    return [*found, data]


def by_library(client: ClientProtocol, data: bytes) -> list[bytes]:
    client.receive_data(data)
    client.receive_eof()
    messages, fragments = [], b""
    for event in client.events_received():
        if isinstance(event, Frame) and event.opcode in (Opcode.BINARY, Opcode.TEXT, Opcode.CONT):
            fragments += event.data
            if event.fin:
                messages.append(fragments)
                fragments = b""
    return messages


def outcome(client: ClientProtocol) -> tuple[object, ...]:
    close, broken = client.close_rcvd, client.parser_exc
    # What is sent is masked by chance.
    sent_bytes = sum(map(len, client.data_to_send()))
    return client.state, close, type(broken), str(broken), sent_bytes


@given(streams, cuts)
@example(binary(5) + frame(0x02, 3) + binary(5), [1] * 400)
@example(binary(5) + frame(0x82, 65535)[:100], [7] * 60)
@example(frame(0xC2, 65536)[:20] + binary(1), [3000])
def test_messages_are_those_that_the_library_reads(stream: bytes, sizes: list[int]) -> None:
    alone, answer = connected()
    expected = by_library(alone, answer + stream)
    client, answer = connected()
    reader = MessageReader(client, message_max_bytes=MESSAGE_MAX_BYTES)
    messages = [one for piece in pieces(answer + stream, sizes) for one in reader.read(piece)]
    reader.end()
    assert messages == expected
    assert outcome(client) == outcome(alone)


@given(st.binary(max_size=300), cuts)
@example(b"HTTP/1.1 503 Away\r\nContent-Length: 4\r\n\r\n\r\n\r\n", [1] * 60)
@example(b"HTTP/1.1 200 OK\r\n\r\n" + binary(5), [4] * 6)
def test_another_answer_than_the_handshakes_is_the_librarys(
    answer: bytes, sizes: list[int]
) -> None:
    alone, _ = connected()
    assert by_library(alone, answer) == []
    client, _ = connected()
    reader = MessageReader(client, message_max_bytes=MESSAGE_MAX_BYTES)
    assert [one for piece in pieces(answer, sizes) for one in reader.read(piece)] == []
    reader.end()
    assert str(client.handshake_exc) == str(alone.handshake_exc)
    assert client.state is alone.state


def test_a_large_message_in_small_pieces_is_copied_in_proportion_to_its_size() -> None:
    client, answer = connected()
    reader = MessageReader(client, message_max_bytes=MESSAGE_MAX_BYTES)
    assert reader.read(answer) == []
    found = [one for piece in pieces(binary(65536), [1] * 65536) for one in reader.read(piece)]
    assert found == [WHOLE[:65536]]
