"""Shuffles without a run, until it is stopped; may keep its cursor."""

from __future__ import annotations

import asyncio
import contextlib
import logging

from fpaas import agent
from fpaas.errors import BadInput
from fpaas.firehose.relay_errors import RelayError
from fpaas.jetstream.nats_connection import NatsError
from fpaas.shuffler.cursor_places import CursorPlace
from fpaas.shuffler.shuffler import Endpoints, Shuffler
from fpaas.shuffler.timeline import NATS_PATIENCE_S, STOP_DRAIN_S

log = logging.getLogger(__name__)

TICK_S = 1.0
PROGRESS_INTERVAL_S = 30.0
FORGET_INTERVAL_S = 60.0


async def serve(endpoints: Endpoints, cursor_place: CursorPlace | None) -> None:
    """Shuffle until SIGTERM or SIGINT.

    Raises BadInput if NATS does not answer or the relay's URL is wrong.
    """
    stop = agent.stop_event()
    shuffler = Shuffler(endpoints, after=await cursor_place.load() if cursor_place else None)
    reader, publisher = shuffler.reader, shuffler.publisher
    if cursor_place:
        cursor_place.write_through(publisher.connection)
        # From the first event on, before it is published: if we are killed then, it is read again.
        reader.on_first_read = lambda: cursor_place.save(reader.cursor)
    try:
        await publisher.connect(NATS_PATIENCE_S)
    except NatsError as error:
        raise BadInput(f"{error}; is NATS running there?") from error
    try:
        await reader.connect_once()
    except RelayError as error:
        if error.wrong_url:
            raise BadInput(str(error)) from error
    reading = asyncio.ensure_future(reader.run())
    settling = asyncio.ensure_future(shuffler.settled_reader.run())
    agent.keep_what_is_here()
    ticks = 0
    while not stop.is_set() and not reading.done():
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), TICK_S)
        ticks += 1
        _serve_tick(shuffler, cursor_place, ticks)
    reading.cancel()
    settling.cancel()
    ended, _ = await asyncio.gather(reading, settling, return_exceptions=True)
    await publisher.drain(STOP_DRAIN_S)
    if publisher.window.settled:
        await shuffler.settled_reader.read()
    if cursor_place:
        cursor_place.save(reader.cursor)
        await cursor_place.close()
    await publisher.close()
    log.info("stopped: %s", shuffler.figures())
    if isinstance(ended, RelayError):
        raise BadInput(str(ended)) from ended


def _serve_tick(shuffler: Shuffler, cursor_place: CursorPlace | None, ticks: int) -> None:
    shuffler.tick()
    shuffler.count_acks()
    for recorder in shuffler.recorders:
        recorder.forget()
    if cursor_place:
        cursor_place.save(shuffler.reader.cursor)
        shuffler.cursor_errors = cursor_place.errors
    if ticks % PROGRESS_INTERVAL_S == 0:
        log.info("%s", shuffler.figures())
    if ticks % FORGET_INTERVAL_S == 0:
        shuffler.publisher.window.forget()
