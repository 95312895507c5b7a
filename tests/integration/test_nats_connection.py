"""The lean connection against a real server: subscribe, lose it, come back."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest

from fpaas import spec
from fpaas.commands.plan import LOCALHOST
from fpaas.consumers import connecting
from fpaas.consumers.assignment import Assignment
from fpaas.consumers.consumer_worker import ConsumerWorker
from fpaas.jetstream import nats_connection
from fpaas.jetstream.nats_address import NatsAddress
from fpaas.jetstream.nats_connection import NatsConnection, NatsError
from tests.support.nats_servers import NatsCluster, NatsServer
from tests.support.patience import PATIENCE_S
from tests.support.ports import free_port

pytestmark = pytest.mark.integration


async def _until(condition: object, timeout_s: float = PATIENCE_S) -> None:
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
        await _until(connection.connected.is_set)
        connection.write(b"PUB a.b 3\r\ntwo\r\n")
        await _until(lambda: received == [b"one", b"two"])
        assert connection.connects == 2
        await connection.close()

    asyncio.run(scenario())


def test_nobody_listening_is_an_error_that_names_the_address() -> None:
    port = free_port()

    async def scenario() -> None:
        connection = NatsConnection(NatsAddress.parse(f"nats://127.0.0.1:{port}"), name="test")
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
        connection = NatsConnection(NatsAddress.parse(f"nats://127.0.0.1:{port}"), name="test")
        with pytest.raises(NatsError, match="not a NATS server"):
            await connection.connect(PATIENCE_S)
        await connection.close()
        server.close()

    asyncio.run(scenario())


def test_a_lost_server_of_a_cluster_is_replaced_by_the_next(nats_cluster: NatsCluster) -> None:
    async def scenario() -> None:
        received: list[bytes] = []
        connection = NatsConnection(NatsAddress.parse(nats_cluster.url), name="test", turn=1)
        await connection.connect()
        assert connection.server.port == nats_cluster.servers["n2"].port
        connection.subscribe(
            "a.>",
            lambda _subject, _reply, _header, payload, _size: received.append(payload),
            wants_payload=True,
        )
        nats_cluster.servers["n2"].kill()
        await _until(lambda: connection.connects == 2)
        connection.write(b"PUB a.b 3\r\none\r\n")
        await _until(lambda: received == [b"one"])
        await connection.close()

    asyncio.run(scenario())


def test_a_server_of_a_cluster_that_falls_silent_is_left(
    nats_cluster: NatsCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nats_connection, "PING_INTERVAL_CLUSTER_S", 0.3)

    async def scenario() -> None:
        connection = NatsConnection(NatsAddress.parse(nats_cluster.url), name="test", turn=0)
        await connection.connect()
        os.kill(nats_cluster.servers["n1"].pid, signal.SIGSTOP)
        try:
            await _until(lambda: connection.connects == 2)
            assert connection.server.port != nats_cluster.servers["n1"].port
        finally:
            os.kill(nats_cluster.servers["n1"].pid, signal.SIGCONT)
        await connection.close()

    asyncio.run(scenario())


def test_a_server_that_is_not_there_is_passed_over(nats_server: NatsServer) -> None:
    async def scenario() -> None:
        url = f"nats://127.0.0.1:{free_port()},{nats_server.url}"
        connection = NatsConnection(NatsAddress.parse(url), name="test", turn=0)
        await connection.connect()
        assert connection.server.port == nats_server.port
        assert connection.connects == 1
        await connection.close()

    asyncio.run(scenario())


def test_none_of_several_servers_is_an_error_that_names_them_all() -> None:
    async def scenario() -> None:
        ports = free_port(), free_port()
        url = ",".join(f"nats://127.0.0.1:{port}" for port in ports)
        connection = NatsConnection(NatsAddress.parse(url), name="test")
        with pytest.raises(NatsError) as caught:
            await connection.connect()
        assert all(str(port) in str(caught.value) for port in ports)

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "variables",
    [{"bench_consumers": 1000}, {"bench_consumers": 40, "bench_connections": "per_consumer"}],
)
def test_what_connecting_will_take_is_measured_before(
    nats_server: NatsServer, variables: dict[str, object]
) -> None:
    run = spec.build(
        spec.read_variables(variables),
        run_id="one",
        scenario=spec.Scenario("one", "", ""),
        topology=LOCALHOST,
        first_seq=1,
    )
    part = Assignment(run, 0, 0, run.consumers.count, nats_server.url, None)
    counted = connecting.connections_of(part)
    assert counted == len(ConsumerWorker(part)._connections.by_gate) >= 40
    took_s = asyncio.run(connecting.takes_s(nats_server.url, counted))
    assert took_s is not None
    assert took_s > 0


def test_connecting_takes_nobody_knows_how_long_if_nats_is_not_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connecting, "WAIT_FOR_NATS_S", 0.2)
    assert asyncio.run(connecting.takes_s(f"nats://127.0.0.1:{free_port()}", 8)) is None
