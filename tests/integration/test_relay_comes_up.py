"""A relay that comes up after who subscribes to it, over real sockets."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
from websockets.asyncio.server import ServerConnection, serve

from fpaas.firehose import subscription
from fpaas.firehose.subscription import Subscription
from tests.support.patience import PATIENCE_S
from tests.support.ports import free_port

pytestmark = pytest.mark.integration


async def follow(port: int, relay_comes_after_s: float | None) -> tuple[int, int]:
    """Return connects and errors: upon the first connection or, if it stays away, error."""

    async def hold(connection: ServerConnection) -> None:
        await connection.wait_closed()

    followed = Subscription(
        f"ws://127.0.0.1:{port}", cursor=lambda: None, events=lambda: 0, on_frames=lambda _: None
    )
    task = asyncio.ensure_future(followed.run())
    try:
        if relay_comes_after_s is None:
            async with asyncio.timeout(PATIENCE_S):
                while not followed.errors:
                    await asyncio.sleep(0.05)
            return followed.connects, followed.errors
        await asyncio.sleep(relay_comes_after_s)
        async with serve(hold, "127.0.0.1", port):
            async with asyncio.timeout(PATIENCE_S):
                await followed.connected.wait()
            return followed.connects, followed.errors
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def test_a_relay_that_is_not_up_yet_is_no_error(caplog: pytest.LogCaptureFixture) -> None:
    assert asyncio.run(follow(free_port(), 0.5)) == (1, 0)
    # It does close the connection in the end, of which there is a warning.
    warnings = [one.getMessage() for one in caplog.records if one.levelname == "WARNING"]
    assert not [one for one in warnings if "cannot connect" in one]


def test_one_that_stays_away_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subscription, "COMES_UP_IN_S", 0.1)
    connects, errors = asyncio.run(follow(free_port(), None))
    assert connects == 0
    assert errors >= 1
