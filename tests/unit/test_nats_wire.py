from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fpaas.jetstream.nats_wire import (
    MAX_CONTROL_LINE_BYTES,
    Parser,
    ProtocolError,
    status_of,
)
from tests.support.chunks import cut
from tests.support.nats_headers import header_block

TOKENS = st.text("abcXYZ019_-$", min_size=1, max_size=8)
SUBJECTS = st.lists(TOKENS, min_size=1, max_size=5).map(".".join)
PAYLOADS = st.one_of(st.binary(max_size=60), st.just(b"\r\nMSG a 1 3\r\n"), st.just(b"\r\n"))


@st.composite
def messages(draw: st.DrawFn) -> tuple[bytes, tuple[object, ...]]:
    """A message as the server writes it, and the call that it should become."""
    subject, sid = draw(SUBJECTS), draw(st.sampled_from(["1", "2"]))
    reply = draw(st.one_of(st.just(""), SUBJECTS))
    payload = draw(PAYLOADS)
    fields = [subject, sid] + ([reply] if reply else [])
    header = b""
    if draw(st.booleans()):
        header = header_block([("A", draw(TOKENS)), ("B", draw(TOKENS))])
        sizes = [len(header), len(header) + len(payload)]
    else:
        sizes = [len(payload)]
    line = " ".join(["HMSG" if header else "MSG", *fields, *map(str, sizes)])
    # Subscription 2 does not want payloads.
    seen = payload if sid == "1" else b""
    call = (sid, subject.encode(), reply.encode(), header, seen, len(payload))
    return line.encode() + b"\r\n" + header + payload + b"\r\n", call


CONTROL = st.sampled_from(
    [
        (b"PING\r\n", ("ping",)),
        (b"PONG\r\n", ("pong",)),
        (b"+OK\r\n", None),
        (b"-ERR 'Slow Consumer'\r\n", ("error", "Slow Consumer")),
        (b'INFO {"version":"2.15.1","n":[1, 2]}\r\n', ("info", "2.15.1")),
    ]
)


class Calls:
    """A parser that notes what it was told to call."""

    def __init__(self) -> None:
        self.calls: list[tuple[object, ...]] = []
        self.parser = Parser(
            on_info=lambda info: self.calls.append(("info", info["version"])),
            on_ping=lambda: self.calls.append(("ping",)),
            on_pong=lambda: self.calls.append(("pong",)),
            on_error=lambda text: self.calls.append(("error", text)),
        )
        self.parser.subscriptions[b"1"] = (self._handler("1"), True)
        self.parser.subscriptions[b"2"] = (self._handler("2"), False)

    def _handler(self, sid: str) -> Callable[..., None]:
        return lambda *arguments: self.calls.append((sid, *arguments))


@given(st.lists(st.one_of(messages(), CONTROL), max_size=12), st.lists(st.integers(0)))
def test_any_chunking_gives_the_same_calls(
    sent: list[tuple[bytes, tuple[object, ...] | None]], places: list[int]
) -> None:
    received = Calls()

    for chunk in cut(b"".join(data for data, _ in sent), places):
        received.parser.feed(chunk)

    assert received.calls == [call for _, call in sent if call is not None]


@given(messages(), st.integers(1, 200))
def test_after_a_reset_half_a_message_is_forgotten(
    message: tuple[bytes, tuple[object, ...]], length: int
) -> None:
    data, _ = message
    received = Calls()
    received.parser.feed(data[: min(length, len(data) - 1)])
    received.calls.clear()

    received.parser.reset()
    received.parser.feed(b"PING\r\n")

    assert received.calls == [("ping",)]


def test_messages_of_an_unknown_subscription_are_passed_by() -> None:
    received = Calls()

    received.parser.feed(b"MSG a 99 5\r\nhello\r\nPING\r\n")

    assert received.calls == [("ping",)]


@pytest.mark.parametrize(
    "garbage",
    [
        b"HTTP/1.1 400 Bad Request\r\n",
        b"MSG a 1 x\r\n",
        b"HMSG a\r\n",
        b"INFO {\r\n",
        b"INFO []\r\n",
        b'INFO {"max_payload":"x"}\r\n',
        b"INFO " + b"[" * 50_000 + b"\r\n",
        b"MSG a 1 -9\r\n\r\n",
        b"HMSG a 1 5 2\r\n\r\n",
        b"MSG a 1 99999999999\r\n\r\n",
        b"\x00" * (MAX_CONTROL_LINE_BYTES + 1),
    ],
)
def test_garbage_is_an_error(garbage: bytes) -> None:
    with pytest.raises(ProtocolError):
        Calls().parser.feed(garbage)


@pytest.mark.parametrize(
    ("header", "status"),
    [
        (b"NATS/1.0 404 No Messages\r\n\r\n", ("404", "No Messages")),
        (b"NATS/1.0 503\r\n\r\n", ("503", "")),
        (
            b"NATS/1.0 408 Request Timeout\r\nNats-Pending-Messages: 1\r\n\r\n",
            ("408", "Request Timeout"),
        ),
        (b"NATS/1.0\r\nA: b\r\n\r\n", ("", "")),
    ],
)
def test_status_is_code_and_description(header: bytes, status: tuple[str, str]) -> None:
    assert status_of(header) == status


def test_info_may_hold_anything_json_can() -> None:
    infos: list[dict[str, Any]] = []
    parser = Parser(
        on_info=infos.append, on_ping=infos.clear, on_pong=infos.clear, on_error=lambda _text: None
    )
    info = {"server_name": "a b c d e", "connect_urls": ["127.0.0.1:4222"]}

    parser.feed(b"INFO " + json.dumps(info).encode() + b"\r\n")

    assert infos == [info]
