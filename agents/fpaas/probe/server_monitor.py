"""Asks the NATS server about itself, at a bounded cost to it and never for longer than agreed.

Monitoring over HTTP is plain blocking code in a thread; consumers come from the JetStream API page
by page, since /jsz would answer with all of them in one document.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import logging
import math
import os
import ssl
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import msgspec

from fpaas import common_time, json_input
from fpaas.errors import BadInput
from fpaas.jetstream.jetstream_api import CONSUMERS_PER_PAGE, JetStreamApi, JetStreamError
from fpaas.jetstream.nats_connection import NatsConnection
from fpaas.probe import server_state
from fpaas.probe.server_events import ServerEvents
from fpaas.probe.server_metrics import ServerAnswers
from fpaas.probe.server_state import AnswerError
from fpaas.records import nats
from fpaas.records.nats import (
    DurableState,
    FinalSnapshot,
    Lag,
    NatsSample,
    ServerLife,
    StreamAtEnd,
    StreamState,
)

log = logging.getLogger(__name__)

HTTP_TIMEOUT_S = 2.0
#: How many of the connections closed last are searched for those that it cut off.
CLOSED_MAX = 1000
#: By then a line is written, with the figures that are known.
SAMPLE_TIMEOUT_S = 4.5
#: Pages of one sweep over many consumers are spread over this time …
SWEEP_SPREAD_S = 3.0
#: … but come no faster than this: 10,000 consumers take 20 s, so that they cost half a per cent of
#: a core (a page is 2.5 ms of parsing).
PAGE_INTERVAL_MIN_S = 0.5


class MonitoringError(Exception):
    """The server's monitoring port did not answer; the message has the URL and the cause."""


class MonitoringPort:
    """The server's HTTP monitoring."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise BadInput(f"{url!r} is not a monitoring URL; expected http://host:8222")
        self.url = url.rstrip("/")
        self._parts = parts

    def get_blocking(self, path: str) -> dict[str, Any]:
        """Get a document. Raises MonitoringError."""
        try:
            connection = self._connection()
            try:
                connection.request("GET", self._parts.path.rstrip("/") + path)
                response = connection.getresponse()
                body = response.read()
            finally:
                connection.close()
            if response.status != http.client.OK:
                raise MonitoringError(f"{self.url}{path}: HTTP status {response.status}")
            answer = json_input.loads(body)
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise MonitoringError(f"{self.url}{path}: {error or type(error).__name__}") from error
        if not isinstance(answer, dict):
            raise MonitoringError(f"{self.url}{path}: is not a NATS monitoring port")
        return answer

    async def get(self, path: str) -> dict[str, Any]:
        """Get a document from a thread. Raises MonitoringError."""
        return await asyncio.to_thread(self.get_blocking, path)

    def _connection(self) -> http.client.HTTPConnection:
        host, port = self._parts.hostname or "", self._parts.port
        if self._parts.scheme == "https":
            context = ssl.create_default_context(cafile=os.environ.get("NATS_CA_FILE"))
            return http.client.HTTPSConnection(host, port, timeout=HTTP_TIMEOUT_S, context=context)
        return http.client.HTTPConnection(host, port, timeout=HTTP_TIMEOUT_S)


@dataclass(frozen=True)
class Sweep:
    """One pass over all consumers."""

    began_unix_ns: int
    took_ms: float
    num_pending: list[int]
    num_ack_pending: int

    def lag(self) -> Lag:
        """As in probe.nats.jsonl."""
        return msgspec.structs.replace(
            server_state.lag(self.num_pending),
            unix_ns=self.began_unix_ns,
            took_ms=self.took_ms,
        )


class ServerMonitor:
    """Samples of one server and the run's streams; several streams are on a single server only.

    In a cluster only the monitor of the server that leads the stream sweeps over its consumers: one
    sweep is enough.
    """

    def __init__(
        self,
        port: MonitoringPort,
        api: JetStreamApi,
        streams: Sequence[str],
        events: ServerEvents,
        *,
        is_clustered: bool = False,
    ) -> None:
        self._events = events
        self._server_name = ""
        self._port = port
        self._api = api
        self._streams = streams
        self._is_clustered = is_clustered
        self._leads = not is_clustered
        self._sweep: asyncio.Task[Sweep] | None = None
        #: The server's last answers, for /metrics.
        self.answers = ServerAnswers(consumers=dict.fromkeys(streams, ()))

    def hear_advisories(self, connection: NatsConnection) -> None:
        """Be told on a connection to the server of pauses, and of who is elected."""
        for stream in self._streams:
            subject = f"$JS.EVENT.ADVISORY.CONSUMER.PAUSE.{stream}.>"
            connection.subscribe(subject, partial(self._paused, stream), wants_payload=True)
        if self._is_clustered:
            subject = f"$JS.EVENT.ADVISORY.STREAM.LEADER_ELECTED.{self._streams[0]}"
            connection.subscribe(subject, self._elected, wants_payload=True)

    def _elected(self, _s: bytes, _r: bytes, _h: bytes, payload: bytes, _size: int) -> None:
        with contextlib.suppress(ValueError, AnswerError):
            leader = server_state.elected(json_input.loads(payload))
            self._events.led_by(leader, self._server_name)

    def _paused(
        self, stream: str, _s: bytes, _r: bytes, _h: bytes, payload: bytes, _size: int
    ) -> None:
        with contextlib.suppress(ValueError, AnswerError):
            name, is_paused = server_state.paused(json_input.loads(payload))
            self._events.durable_paused(stream, name, is_paused=is_paused)

    async def look(self) -> None:
        """Note whether it is another server than before, if it answers."""
        with contextlib.suppress(MonitoringError, AnswerError):
            await self._note_life(await self._port.get("/varz"))

    async def sample(self) -> NatsSample:
        """Return a line of probe.nats.jsonl in at most SAMPLE_TIMEOUT_S.

        Missing figures are left out, and `error` says why. A sweep over very many consumers
        goes on; the sample in whose time it ends has it.
        """
        began = time.monotonic()
        line: dict[str, Any] = {"unix_ns": common_time.now_ns()}
        self._start_sweep()
        errors = []
        try:
            line.update(await asyncio.wait_for(self._monitoring(), SAMPLE_TIMEOUT_S))
        except (MonitoringError, AnswerError, KeyError, TimeoutError) as error:
            errors.append(_reason(error))
        stream: StreamState | None = line.get("stream")
        if stream is not None and stream.num_deleted:
            # Which ones: once they have left the stream, nobody knows that they did not expire.
            with contextlib.suppress(JetStreamError):
                line.update(_in_line(await self._stream_states()))
        line["took_ms"] = (time.monotonic() - began) * 1e3
        if self._is_clustered:
            self._leads = line.get("leader") is not None and line["leader"] == line["server"]
            self._start_sweep()
        if self._sweep is not None:
            left_s = SAMPLE_TIMEOUT_S - (time.monotonic() - began)
            await asyncio.wait({self._sweep}, timeout=left_s)
        if self._sweep is not None and self._sweep.done():
            try:
                sweep = self._sweep.result()
                line["lag"], line["ack_pending"] = sweep.lag(), sweep.num_ack_pending
            except (JetStreamError, KeyError, TypeError) as error:
                errors.append(_reason(error))
            self._sweep = None
        if errors:
            line["error"] = "; ".join(errors)
        return NatsSample(**line)

    async def final(self) -> FinalSnapshot:
        """Return probe.final.json; `server` is None if the monitoring port does not answer.

        Raises JetStreamError if the JetStream API does not.
        """
        self.cancel()
        unix_ns = common_time.now_ns()
        before = await self._stream_states()
        try:
            found = await self._consumers(spread_s=0.0, interval_min_s=0.0)
        except AnswerError as error:
            raise JetStreamError(str(error)) from error
        after = await self._stream_states()
        both = zip(before, after, strict=True)
        return FinalSnapshot(
            unix_ns=unix_ns,
            took_ms=(common_time.now_ns() - unix_ns) / 1e6,
            stream_before=nats.together(before),
            stream_after=nats.together(after),
            consumers=[one for consumers in found.values() for one in consumers],
            server=await self._server(),
            streams=[StreamAtEnd(before=one, after=other) for one, other in both]
            if len(before) > 1
            else msgspec.UNSET,
        )

    def cancel(self) -> None:
        """End a sweep that is under way."""
        if self._sweep is not None:
            self._sweep.cancel()
            self._sweep = None

    def _start_sweep(self) -> None:
        if self._sweep is None and self._leads:
            self._sweep = asyncio.ensure_future(self._sweep_consumers())

    async def _monitoring(self) -> dict[str, Any]:
        varz = await self._port.get("/varz")
        await self._note_life(varz)
        jsz = await self._port.get("/jsz?accounts=true&streams=true")
        found: dict[str, Any] = {
            "varz": server_state.varz(varz),
            **_in_line([server_state.stream_in_jsz(jsz, name) for name in self._streams]),
            # Sorted by pending bytes, one connection tells the maximum of all of them: no need
            # to page through thousands.
            "connz": server_state.connz(await self._port.get("/connz?sort=pending&limit=1")),
        }
        self.answers = replace(self.answers, varz=varz, jsz=jsz, connections=found["connz"].count)
        if self._is_clustered:
            found["server"] = varz["server_name"]
            found["leader"] = server_state.leader_in_jsz(jsz, self._streams[0])
            self._server_name = found["server"]
            self._events.led_by(found["leader"] or "", self._server_name)
        return found

    async def _note_life(self, varz: dict[str, Any]) -> None:
        """Note whether the server is another one, and whether it cut off connections."""
        cut_off = self._events.answered(server_state.server(varz))
        if cut_off > 0:
            stops: list[int] = []
            with contextlib.suppress(MonitoringError, AnswerError):
                closed = await self._port.get(f"/connz?state=closed&sort=stop&limit={CLOSED_MAX}")
                stops = server_state.cut_off_unix_ns(closed)
            self._events.cut_off(cut_off, stops)

    async def _server(self) -> ServerLife | None:
        try:
            varz = await self._port.get("/varz")
            await self._note_life(varz)
            return server_state.server(varz)
        except (MonitoringError, AnswerError) as error:
            log.warning("%s", error)
            return None

    async def _sweep_consumers(self) -> Sweep:
        began_unix_ns = common_time.now_ns()
        began = time.monotonic()
        found = await self._consumers(SWEEP_SPREAD_S, PAGE_INTERVAL_MIN_S)
        took_ms = (time.monotonic() - began) * 1e3
        self.answers = replace(self.answers, consumers=found)
        consumers = [one for of_stream in found.values() for one in of_stream]
        return Sweep(
            began_unix_ns,
            took_ms,
            [one.num_pending for one in consumers],
            sum(one.num_ack_pending for one in consumers),
        )

    async def _consumers(
        self, spread_s: float, interval_min_s: float
    ) -> dict[str, list[DurableState]]:
        """List the consumers of each stream, one stream after the other."""
        spread_s /= len(self._streams)
        return {
            stream: [
                server_state.consumer(info)
                async for page in self._pages(stream, spread_s, interval_min_s)
                for info in page
            ]
            for stream in self._streams
        }

    async def _pages(
        self, stream: str, spread_s: float, interval_min_s: float
    ) -> AsyncIterator[list[dict[str, Any]]]:
        offset = 0
        while True:
            page, total = await self._api.consumers_page(stream, offset)
            yield page
            offset += len(page)
            if not page or offset >= total:
                return
            pages = math.ceil(total / CONSUMERS_PER_PAGE)
            await asyncio.sleep(max(spread_s / pages, interval_min_s))

    async def _stream_states(self) -> list[StreamState]:
        infos = [await self._api.stream_info(one, with_deleted=True) for one in self._streams]
        try:
            return [
                server_state.stream_state(one.get("state"), one.get("created")) for one in infos
            ]
        except AnswerError as error:
            raise JetStreamError(str(error)) from error


def _in_line(states: Sequence[StreamState | None]) -> dict[str, Any]:
    """Return the streams as a line of probe.nats.jsonl has them: only if all are there."""
    known = [one for one in states if one is not None]
    if len(known) < len(states):
        return {"stream": None}
    return {"stream": nats.together(known), "streams": known if len(known) > 1 else []}


def _reason(error: Exception) -> str:
    if isinstance(error, KeyError):
        return f"the server's answer has no {error}"
    if isinstance(error, TypeError):
        return f"the server's answer makes no sense: {error}"
    if isinstance(error, TimeoutError):
        return f"no answer in {SAMPLE_TIMEOUT_S:g} s"
    return str(error)
