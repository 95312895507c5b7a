"""`fpaas provision` against a real server."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import nats
import pytest
from nats.js.api import StreamConfig

from fpaas.spec import STREAM_NAME
from tests.support.checkout import SCRIPTS
from tests.support.nats_servers import NatsServer
from tests.support.patience import PATIENCE_S
from tests.support.ports import free_port
from tests.support.provisioning import provision, run_spec, stream_and_durables

pytestmark = pytest.mark.integration


def test_stream_and_durables_are_as_the_run_says(nats_server: NatsServer, tmp_path: Path) -> None:
    spec = run_spec(nats_server.url, bench_consumers=20, bench_delivery="partitioned")

    done = provision(tmp_path, spec)

    assert done.returncode == 0, done.stderr
    assert "20 durable(s)" in done.stderr
    stream, durables = stream_and_durables(nats_server.url)
    assert stream.config.max_bytes == 2_000_000_000
    assert stream.config.max_consumers == 120
    assert sorted(durable.config.filter_subject or "" for durable in durables) == sorted(
        f"atproto.firehose.*.{i}.>" for i in range(20)
    )
    assert all(durable.config.ack_wait == 30 for durable in durables)
    assert all(durable.config.mem_storage for durable in durables)


def test_what_jetstream_is_asked_for_is_what_it_has(
    nats_server: NatsServer, tmp_path: Path
) -> None:
    social = {"name": "social", "count": 2, "collections": ["app.bsky.feed.*", "app.bsky.graph.*"]}
    spec = run_spec(
        nats_server.url,
        bench_consumers=3,
        bench_mix=[social, {"name": "all", "count": 1}],
        bench_stream_storage="file",
        bench_stream_compression="s2",
        bench_stream_persist_mode="async",
        bench_max_ack_pending=7,
        bench_inactive_threshold_s=300,
    )

    done = provision(tmp_path, spec)

    assert done.returncode == 0, done.stderr
    stream, durables = stream_and_durables(nats_server.url)
    assert stream.config.compression == "s2"
    assert stream.config.persist_mode == "async"
    assert [durable.config.max_ack_pending for durable in durables] == [7, 7, 7]
    assert [durable.config.inactive_threshold for durable in durables] == [300, 300, 300]
    filtered = [
        durable.config.filter_subjects for durable in durables if durable.config.filter_subjects
    ]
    assert filtered == 2 * [
        ["atproto.firehose.commit.*.app.bsky.feed.>", "atproto.firehose.commit.*.app.bsky.graph.>"]
    ]


def test_a_leftover_stream_is_replaced_with_what_is_in_it(
    nats_server: NatsServer, tmp_path: Path
) -> None:
    async def leave_something() -> None:
        client = await nats.connect(nats_server.url)
        context = client.jetstream(timeout=PATIENCE_S)
        await context.add_stream(StreamConfig(name=STREAM_NAME, subjects=["other.>"]))
        await context.publish("other.thing", b"x")
        await client.close()

    asyncio.run(leave_something())
    spec = run_spec(nats_server.url, bench_consumers=5, bench_delivery="shared")

    done = provision(tmp_path, spec)

    assert done.returncode == 0, done.stderr
    assert f"an earlier run left: stream {STREAM_NAME}, 1 messages, 0 consumers" in done.stdout
    stream, durables = stream_and_durables(nats_server.url)
    assert stream.state.messages == 0
    assert stream.config.subjects == ["atproto.firehose.>"]
    assert [durable.name for durable in durables] == ["fpaas-shared"]


def test_subjects_that_another_stream_has_are_explained(
    nats_server: NatsServer, tmp_path: Path
) -> None:
    async def take_subjects() -> None:
        client = await nats.connect(nats_server.url)
        await client.jetstream(timeout=PATIENCE_S).add_stream(
            StreamConfig(name="OTHER", subjects=["atproto.>"])
        )
        await client.close()

    asyncio.run(take_subjects())

    done = provision(tmp_path, run_spec(nats_server.url, bench_consumers=5))

    assert done.returncode == 3
    assert "delete the other stream" in done.stderr


def test_ten_thousand_durables_are_made(nats_server: NatsServer, tmp_path: Path) -> None:
    done = provision(tmp_path, run_spec(nats_server.url, bench_consumers=10_000))

    assert done.returncode == 0, done.stderr


def test_nats_that_is_not_there_is_named(tmp_path: Path) -> None:
    url = f"nats://127.0.0.1:{free_port()}"
    started = time.monotonic()

    done = provision(tmp_path, run_spec(url, bench_consumers=5))

    assert done.returncode == 3
    assert url.removeprefix("nats://") in done.stderr
    assert "is nats-server running" in done.stderr
    assert time.monotonic() - started < PATIENCE_S


def test_nats_without_jetstream_is_explained(tmp_path: Path) -> None:
    port = free_port()
    server = subprocess.Popen(
        [SCRIPTS / "nats-server", "-a", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        done = provision(tmp_path, run_spec(f"nats://127.0.0.1:{port}", bench_consumers=5))
    finally:
        server.terminate()
        server.wait(timeout=PATIENCE_S)

    assert done.returncode == 3
    assert "JetStream does not answer" in done.stderr


@pytest.fixture
def old_server() -> Iterator[str]:
    """A server that says it is 2.9; no such binary is at hand, and its INFO is all that is read."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()

        def serve() -> None:
            peer, _ = listener.accept()
            with peer:
                peer.sendall(
                    b'INFO {"server_id":"x","version":"2.9.25","headers":true,"proto":1,'
                    b'"max_payload":1048576}\r\n'
                )
                peer.recv(4096)
                peer.sendall(b"PONG\r\n")
                peer.recv(4096)

        threading.Thread(target=serve, daemon=True).start()
        yield f"nats://127.0.0.1:{listener.getsockname()[1]}"


def test_a_server_that_is_too_old_is_refused(old_server: str, tmp_path: Path) -> None:
    done = provision(tmp_path, run_spec(old_server, bench_consumers=5))

    assert done.returncode == 3
    assert "2.9.25" in done.stderr
    assert "2.10" in done.stderr
