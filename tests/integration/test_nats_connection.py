"""The lean connection against a real server: subscribe, lose it, come back."""

from __future__ import annotations

import asyncio

import pytest

from fpaas.jetstream.nats_connection import NatsAddress, NatsConnection, NatsError
from tests.conftest import NatsServer, free_port

pytestmark = pytest.mark.integration


async def _until(condition: object, timeout_s: float = 5.0) -> None:
    assert callable(condition)
    async with asyncio.timeout(timeout_s):
        while not condition():
            await asyncio.sleep(0.01)


def test_messages_arrive_again_after_the_server_was_killed(nats_server: NatsServer) -> None:
    async def scenario() -> None:
        received: list[bytes] = []
        lost: list[bool] = []
        connection = NatsConnection(
            NatsAddress.parse(nats_server.url),
            name="test",
            on_disconnected=lambda: lost.append(True),
        )
        await connection.connect()
        connection.subscribe(
            "a.>",
            lambda _subject, _reply, _header, payload, _size: received.append(payload),
            wants_payload=True,
        )
        connection.write(b"PUB a.b 3\r\none\r\n")
        await _until(lambda: received == [b"one"])
        nats_server.kill()
        await _until(lambda: lost)
        nats_server.start()
        await _until(connection.connected.is_set, 10)
        connection.write(b"PUB a.b 3\r\ntwo\r\n")
        await _until(lambda: received == [b"one", b"two"])
        assert connection.connects == 2
        await connection.close()

    asyncio.run(scenario())


def test_nobody_listening_is_an_error_that_names_the_address() -> None:
    port = free_port()

    async def scenario() -> None:
        connection = NatsConnection(NatsAddress("127.0.0.1", port), name="test")
        with pytest.raises(NatsError, match=f"127.0.0.1:{port}"):
            await connection.connect_patiently(0.3)

    asyncio.run(scenario())


def test_a_server_that_is_not_nats_is_an_error() -> None:
    async def scenario() -> None:
        async def greet(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"220 mail.example ESMTP\r\n")
            await writer.drain()

        server = await asyncio.start_server(greet, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        connection = NatsConnection(NatsAddress("127.0.0.1", port), name="test")
        with pytest.raises(NatsError, match="not a NATS server"):
            await connection.connect(2)
        await connection.close()
        server.close()

    asyncio.run(scenario())
