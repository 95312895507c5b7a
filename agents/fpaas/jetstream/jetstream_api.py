"""Requests to the JetStream API over one connection: few, small, and without a heavy client.

Source: https://docs.nats.io/reference/reference-protocols/nats_api_reference
"""

from __future__ import annotations

import asyncio
import itertools
import json
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeGuard

from fpaas import common_time, json_input
from fpaas.jetstream.nats_address import NatsAddress
from fpaas.jetstream.nats_connection import NatsConnection, NatsError
from fpaas.jetstream.nats_wire import status_of

REQUEST_TIMEOUT_S = 4.0
#: A cluster gives servers that do not answer 4 s, and then lists the others' consumers.
LIST_TIMEOUT_S = 6.0
#: The server's own page size; it ignores wishes for more.
CONSUMERS_PER_PAGE = 256
STREAM_NOT_FOUND = 10059
STREAM_NAME_IN_USE = 10058


class JetStreamError(Exception):
    """NATS did not answer a request, or refused it; `err_code` is the server's, 0 if it has none.

    The message says what was asked.
    """

    def __init__(self, message: str, err_code: int = 0) -> None:
        super().__init__(message)
        self.err_code = err_code


@dataclass(frozen=True)
class Answer:
    """An answer as it came, and when, on this host's clock."""

    header: bytes
    payload: bytes
    received_unix_ns: int


class JetStreamApi:
    """Asks and matches answers; owns its connection, which reconnects by itself."""

    def __init__(self, address: NatsAddress, name: str) -> None:
        self.connection = NatsConnection(address, name=name, on_disconnected=self._fail_waiting)
        self._inbox = f"_INBOX.{secrets.token_hex(8)}"
        self._tokens = itertools.count(1)
        self._waiting: dict[bytes, asyncio.Future[Answer]] = {}
        self.connection.subscribe(f"{self._inbox}.*", self._answered, wants_payload=True)

    async def request(
        self, subject: str, body: bytes = b"", timeout_s: float = REQUEST_TIMEOUT_S
    ) -> Answer:
        """Publish and wait for the answer. Raises JetStreamError if there is none."""
        if not self.connection.connected.is_set():
            raise JetStreamError(f"{subject}: not connected to NATS at {self.connection.address}")
        token = b"%d" % next(self._tokens)
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting[token] = future
        reply = f"{self._inbox}.".encode() + token
        try:
            async with asyncio.timeout(timeout_s):
                self.connection.write(
                    b"PUB %s %s %d\r\n%s\r\n" % (subject.encode(), reply, len(body), body)
                )
                answer = await future
        except TimeoutError:
            raise JetStreamError(f"{subject}: no answer in {timeout_s:g} s") from None
        except NatsError as error:
            raise JetStreamError(f"{subject}: {error}") from error
        finally:
            del self._waiting[token]
        if not answer.payload and status_of(answer.header)[0] == "503":
            raise JetStreamError(f"{subject}: nobody answers there (is JetStream enabled?)")
        return answer

    async def call(
        self, subject: str, arguments: object = None, timeout_s: float = REQUEST_TIMEOUT_S
    ) -> dict[str, Any]:
        """Make a request whose answer is a JSON object. Raises JetStreamError on any failure."""
        body = b"" if arguments is None else json.dumps(arguments).encode()
        return decode((await self.request(subject, body, timeout_s)).payload, subject)

    async def stream_info(self, stream: str, *, with_deleted: bool = False) -> dict[str, Any]:
        """Return configuration and state of a stream; see JetStreamError.

        `with_deleted` lists the sequences inside the stream that are gone.
        """
        arguments = {"deleted_details": True} if with_deleted else None
        return await self.call(f"$JS.API.STREAM.INFO.{stream}", arguments)

    async def consumers_page(self, stream: str, offset: int) -> tuple[list[dict[str, Any]], int]:
        """Return consumers `offset` … of a stream, in order of name, and how many there are.

        Raises JetStreamError also if some of them have no leader that could tell.
        """
        subject = f"$JS.API.CONSUMER.LIST.{stream}"
        return page_of(await self.call(subject, {"offset": offset}, LIST_TIMEOUT_S), subject)

    async def close(self) -> None:
        """Close the connection."""
        await self.connection.close()

    def _answered(
        self, subject: bytes, _reply: bytes, header: bytes, payload: bytes, _payload_bytes: int
    ) -> None:
        received_unix_ns = common_time.now_ns()
        future = self._waiting.get(subject[subject.rfind(b".") + 1 :])
        if future is not None and not future.done():
            future.set_result(Answer(header, payload, received_unix_ns))

    def _fail_waiting(self) -> None:
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(NatsError(f"lost NATS at {self.connection.address}"))


def decode(payload: bytes, subject: str) -> dict[str, Any]:
    """Decode an API answer. Raises JetStreamError if it is an error or no JSON object."""
    try:
        answer = json_input.loads(payload)
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        raise JetStreamError(f"{subject}: the answer is not JSON: {payload[:80]!r}")
    error = answer.get("error")
    if error:
        said = error if isinstance(error, dict) else {"description": error}
        code = said.get("err_code")
        text = f"{said.get('description', said)!s:.200} (err {'?' if code is None else code!s:.20})"
        raise JetStreamError(f"{subject}: {text}", code if _is_count(code) else 0)
    return answer


def page_of(answer: dict[str, Any], subject: str) -> tuple[list[dict[str, Any]], int]:
    """Return the consumers that a page lists, and how many there are in all.

    Raises JetStreamError if it is no such page, or if some of them have no leader.
    """
    missing = answer.get("missing")
    if isinstance(missing, list) and missing:
        raise JetStreamError(
            f"{subject}: {len(missing)} consumers have no leader, {missing[0]!s:.80} for one"
        )
    page, total = answer.get("consumers") or [], answer.get("total")
    if not isinstance(page, list) or not all(isinstance(one, dict) for one in page):
        page, total = [], None
    if not _is_count(total):
        raise JetStreamError(f"{subject}: the answer is not a page of consumers")
    return page, total


def _is_count(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and 0 <= value < 2**63


def headers_of(header: bytes) -> Iterator[tuple[str, str]]:
    """Iterate over a header block's names and values.

    >>> list(headers_of(b"NATS/1.0\\r\\nNats-Stream: A\\r\\n\\r\\n"))
    [('Nats-Stream', 'A')]
    """
    for line in header.decode("utf-8", "replace").split("\r\n")[1:]:
        name, separator, value = line.partition(":")
        if separator:
            yield name, value.strip()
