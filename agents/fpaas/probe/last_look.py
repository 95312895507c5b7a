"""The last look at a server, once the run has settled: at a stream that is at rest."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from fpaas.jetstream.jetstream_api import STREAM_NOT_FOUND, JetStreamError
from fpaas.records.nats import FinalSnapshot

log = logging.getLogger(__name__)
RETRY_PAUSE_S = 0.25


async def at_rest(look: Callable[[], Awaitable[FinalSnapshot]], retry_s: float) -> FinalSnapshot:
    """Look until the stream is at rest: a server that stood still stores for a while what waited.

    Acks that are owed may be on their way and are looked for twice. After `retry_s` the last look
    counts. Raises JetStreamError if there is nothing to look at.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + retry_s
    seen: int | None = None
    while True:
        try:
            final = await look()
        except JetStreamError as error:
            if loop.time() >= deadline or error.err_code == STREAM_NOT_FOUND:
                raise
            log.warning("%s; trying again", error)
        else:
            before, after = final.stream_before.last_seq, final.stream_after.last_seq
            owed = sum(one.num_ack_pending for one in final.consumers)
            is_at_rest = before == after and (not owed if seen is None else seen == after)
            if is_at_rest or loop.time() >= deadline:
                return final
            log.info("the stream is at %d, %d acks are owed; looking again", after, owed)
            seen = after
        await asyncio.sleep(RETRY_PAUSE_S)
