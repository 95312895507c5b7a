"""What users may write for a relay."""

from __future__ import annotations

import asyncio
import tracemalloc

import pytest

from fpaas.errors import BadInput
from fpaas.firehose.relay_client import RelayConnection, subscription_url
from tests.support.websocket_frames import BINARY, CONT, PING, accepted, ws_frame

PATH = "/xrpc/com.atproto.sync.subscribeRepos"


@pytest.mark.parametrize(
    ("relay", "url"),
    [
        ("bsky.network", f"wss://bsky.network{PATH}"),
        ("relay.test:8443", f"wss://relay.test:8443{PATH}"),
        ("wss://bsky.network", f"wss://bsky.network{PATH}"),
        ("https://bsky.network/", f"wss://bsky.network{PATH}"),
        ("ws://127.0.0.1:2480", f"ws://127.0.0.1:2480{PATH}"),
        ("http://[::1]:2480", f"ws://[::1]:2480{PATH}"),
        (f"ws://127.0.0.1:2480{PATH}", f"ws://127.0.0.1:2480{PATH}"),
        ("ws://127.0.0.1:2480/other", "ws://127.0.0.1:2480/other"),
    ],
)
def test_subscription_url(relay: str, url: str) -> None:
    assert subscription_url(relay) == url


@pytest.mark.parametrize(
    "relay", ["", "ftp://host", "wss://", "ws://host?cursor=1", "ws://host:port", "two words"]
)
def test_what_is_no_relay_is_refused_by_name(relay: str) -> None:
    with pytest.raises(BadInput, match="is no relay") as caught:
        subscription_url(relay)
    assert repr(relay) in caught.value.message


@pytest.mark.parametrize("relay", ["wss://me:secret@host", "me@host", "https://:secret@host/"])
def test_a_relays_url_with_credentials_is_refused_without_repeating_them(relay: str) -> None:
    with pytest.raises(BadInput, match="a user or a password") as caught:
        subscription_url(relay)
    assert "secret" not in caught.value.message


class Wire(asyncio.Transport):
    """Takes what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []

    def write(self, data: object) -> None:
        assert isinstance(data, bytes)
        self.written.append(data)

    def is_closing(self) -> bool:
        return False


def connected(frames: list[bytes]) -> tuple[RelayConnection, Wire]:
    connection = RelayConnection("ws://relay.test", cursor=None, on_frames=frames.extend)
    wire = Wire()
    connection.connection_made(wire)
    connection.data_received(accepted(wire.written.pop()))
    return connection, wire


def test_who_does_not_read_answers_to_pings_gets_no_more_and_is_read_on() -> None:
    async def main() -> None:
        frames: list[bytes] = []
        connection, wire = connected(frames)
        ping = ws_frame(PING, b"p" * 125)
        connection.data_received(ping)
        connection.pause_writing()
        connection.data_received(ping * 1000 + ws_frame(BINARY, b"event"))
        assert len(wire.written) == 1
        connection.resume_writing()
        connection.data_received(ping)
        assert len(wire.written) == 2
        assert frames == [b"event"]

    asyncio.run(main())


def test_empty_fragments_do_not_add_up() -> None:
    async def main() -> None:
        frames: list[bytes] = []
        connection, _ = connected(frames)
        connection.data_received(ws_frame(BINARY, b"an ", fin=False))
        some = ws_frame(CONT, fin=False) * 100
        tracemalloc.start()
        for _ in range(100):
            connection.data_received(some)
        grown_bytes = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        connection.data_received(ws_frame(CONT, b"event"))
        assert frames == [b"an event"]
        assert grown_bytes < 50_000

    asyncio.run(main())
