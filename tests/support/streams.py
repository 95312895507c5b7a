"""Makes the lab's stream in a server, as far as a shuffler needs it."""

from __future__ import annotations

import nats
from nats.js.api import StorageType, StreamConfig

from fpaas import spec
from tests.support.patience import PATIENCE_S


async def create_stream(url: str, storage: StorageType = StorageType.MEMORY) -> None:
    connection = await nats.connect(url)
    await connection.jetstream(timeout=PATIENCE_S).add_stream(
        StreamConfig(
            name=spec.STREAM_NAME,
            subjects=[f"{spec.SUBJECT_ROOT}.>"],
            storage=storage,
            duplicate_window=120,
        )
    )
    await connection.close()
