"""Where a shuffler keeps its cursor over restarts: a file, or a bucket of NATS.

In a run the file is its account (fpaas.shuffler.shuffler), and a bucket comes beside that.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import logging
import re
import secrets
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Protocol

from fpaas import json_input
from fpaas.errors import BadInput
from fpaas.jetstream.jetstream_api import STREAM_NOT_FOUND, JetStreamApi, JetStreamError, decode
from fpaas.jetstream.nats_address import NatsAddress
from fpaas.jetstream.nats_connection import NatsConnection, NatsError
from fpaas.jetstream.nats_wire import status_of
from fpaas.records import files

log = logging.getLogger(__name__)

KEY = "cursor"
NAME = re.compile(r"[A-Za-z0-9_-]{1,200}")
CONNECT_PATIENCE_S = 10.0
#: At the end, the last cursor gets this long to be taken.
CLOSE_PATIENCE_S = 2.0
NO_MESSAGE = 10037
#: Nobody subscribed to the subject published to: there is no such stream.
NOBODY = "503"


class CursorPlace(Protocol):
    """Keeps the cursor of one relay over restarts."""

    #: How often it could not be written.
    errors: int

    async def load(self) -> int | None:
        """Return the cursor, None if there is none yet. Raises BadInput that names the place."""

    def write_through(self, connection: NatsConnection) -> None:
        """Use the connection on which events are published, if need be."""

    def save(self, cursor: int | None) -> None:
        """Save it; if that fails the shuffler goes on, says so, and counts it."""

    async def close(self) -> None:
        """Wait until the last one is saved."""


class CursorFile:
    """Keeps the cursor in a file."""

    def __init__(self, path: Path, relay_url: str) -> None:
        self._path = path
        self._relay_url = relay_url
        self._saved: int | None = None
        self.errors = 0

    async def load(self) -> int | None:
        """See CursorPlace."""
        try:
            content = json.loads(self._path.read_text(encoding="utf-8"))
            relay, cursor = content["relay"], int(content["cursor"])
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise BadInput(
                f"{self._path}: is no cursor file: {error}; remove it to begin at the live tail"
            ) from error
        if relay != self._relay_url:
            raise BadInput(
                f"{self._path}: is the cursor of {relay}, not of {self._relay_url}; a cursor is "
                "good for one relay: remove it or name another file"
            )
        return cursor

    def write_through(self, connection: NatsConnection) -> None:
        """See CursorPlace."""

    async def close(self) -> None:
        """See CursorPlace."""

    def save(self, cursor: int | None) -> None:
        """See CursorPlace."""
        if cursor is None or cursor == self._saved:
            return
        try:
            files.write(self._path, {"relay": self._relay_url, "cursor": cursor}, durable=True)
        except OSError as error:
            # A disk that stays full says the same every time.
            level = logging.DEBUG if self.errors else logging.ERROR
            log.log(level, "%s: cannot be written: %s", self._path, error.strerror)
            self.errors += 1
        else:
            self._saved = cursor


class CursorBucket:
    """Keeps the cursor in NATS: a key-value bucket, as clients know it, with one key.

    The bucket `NAME` is the stream `KV_NAME`. It is made, in files, if there is none, also if it
    goes with its server; one that is there is used as it is, with as many replicas as it has.
    Raises BadInput if the name can be no bucket's.

    A run's bucket has the run's id beside the cursor, and the storage of the run's stream.
    """

    def __init__(
        self,
        name: str,
        relay_url: str,
        address: NatsAddress,
        *,
        run_id: str | None = None,
        storage: str = "file",
        replicas: int = 1,
    ) -> None:
        if not NAME.fullmatch(name):
            raise BadInput(f"--cursor-kv {name!r}: allowed: letters, digits, - and _")
        self._run_id = run_id
        self._storage = storage
        self._replicas = replicas
        self._is_gone = False
        self._making: asyncio.Task[None] | None = None
        self._name = name
        self._relay_url = relay_url
        self._address = address
        self._stream = f"KV_{name}"
        self._subject = f"$KV.{name}.{KEY}"
        self._inbox = f"_INBOX.{secrets.token_hex(8)}"
        self._connection: NatsConnection | None = None
        self._written: int | None = None
        self._saved: int | None = None
        self.errors = 0

    async def load(self) -> int | None:
        """See CursorPlace."""
        try:
            async with self._api() as api:
                await self._make(api)
                content = await self._get(api)
        except (JetStreamError, NatsError) as error:
            raise BadInput(f"--cursor-kv {self._name}: {error}") from error
        return None if content is None else self._cursor_of(content)

    async def renew(self) -> None:
        """Make it new, as a run wants it; if that fails, so do the first saves, and it is made."""
        try:
            async with self._api() as api:
                await self._remove(api)
                await self._make(api)
        except (JetStreamError, NatsError) as error:
            self._failed(str(error))

    @contextlib.asynccontextmanager
    async def _api(self) -> AsyncIterator[JetStreamApi]:
        api = JetStreamApi(self._address, name="fpaas-shuffler-cursor")
        try:
            await api.connection.connect_patiently(CONNECT_PATIENCE_S)
            yield api
        finally:
            await api.close()

    async def _make_again(self) -> None:
        try:
            async with self._api() as api:
                await self._make(api)
        except (JetStreamError, NatsError) as error:
            self._failed(str(error))
        else:
            log.warning("bucket %s was gone: it was made again", self._name)
            self._is_gone = False

    async def _remove(self, api: JetStreamApi) -> None:
        try:
            await api.call(f"$JS.API.STREAM.DELETE.{self._stream}")
        except JetStreamError as error:
            if error.err_code != STREAM_NOT_FOUND:
                raise

    def write_through(self, connection: NatsConnection) -> None:
        """Write on this connection: what is saved is ahead of whatever is published later."""
        self._connection = connection
        connection.subscribe(f"{self._inbox}.*", self._answered, wants_payload=True)

    def save(self, cursor: int | None) -> None:
        """See CursorPlace."""
        if cursor is None or cursor == self._saved or self._connection is None:
            return
        if not self._connection.connected.is_set():
            self._failed("not connected to NATS")
            return
        if self._is_gone:
            if self._making is None or self._making.done():
                self._making = asyncio.create_task(self._make_again())
            return
        if self._written != self._saved:
            self._failed("no answer")
        self._written = cursor
        content: dict[str, Any] = {"relay": self._relay_url, "cursor": cursor}
        if self._run_id is not None:
            content["run_id"] = self._run_id
        body = json.dumps(content).encode()
        head = f"PUB {self._subject} {self._inbox}.{cursor} {len(body)}\r\n".encode()
        self._connection.write(head + body + b"\r\n")

    async def close(self) -> None:
        """See CursorPlace."""
        if self._making is not None:
            self._making.cancel()
        for _ in range(round(CLOSE_PATIENCE_S / 0.01)):
            if self._written == self._saved:
                return
            await asyncio.sleep(0.01)
        self._failed("no answer")

    async def _make(self, api: JetStreamApi) -> None:
        try:
            await api.stream_info(self._stream)
        except JetStreamError as error:
            if error.err_code != STREAM_NOT_FOUND:
                raise
        else:
            return
        bucket = {
            "name": self._stream,
            "subjects": [f"$KV.{self._name}.>"],
            "max_msgs_per_subject": 1,
            "discard": "new",
            "storage": self._storage,
            "num_replicas": self._replicas,
            "allow_rollup_hdrs": True,
            "deny_delete": True,
            "allow_direct": True,
        }
        await api.call(f"$JS.API.STREAM.CREATE.{self._stream}", bucket)

    async def _get(self, api: JetStreamApi) -> bytes | None:
        try:
            found: dict[str, Any] = await api.call(
                f"$JS.API.STREAM.MSG.GET.{self._stream}", {"last_by_subj": self._subject}
            )
        except JetStreamError as error:
            if error.err_code == NO_MESSAGE:
                return None
            raise
        # A key that was deleted is a message without a body.
        return base64.b64decode(found["message"].get("data", "")) or None

    def _cursor_of(self, content: bytes) -> int | None:
        where = f"--cursor-kv {self._name}: key {KEY}"
        try:
            saved = json_input.loads(content)
            if self._run_id is not None and saved.get("run_id") != self._run_id:
                return None
            relay, cursor = saved["relay"], int(saved["cursor"])
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise BadInput(
                f"{where}: is no cursor: {error}; delete it to begin at the live tail"
            ) from error
        if relay != self._relay_url:
            raise BadInput(
                f"{where}: is the cursor of {relay}, not of {self._relay_url}; a cursor is good "
                "for one relay: delete it or name another bucket"
            )
        return cursor

    def _answered(
        self, subject: bytes, _reply: bytes, header: bytes, payload: bytes, _payload_bytes: int
    ) -> None:
        cursor = int(subject[subject.rfind(b".") + 1 :])
        if not payload and status_of(header)[0] == NOBODY:
            self._is_gone, self._written = True, self._saved
            self._failed("the bucket is gone")
            return
        try:
            decode(payload, self._subject)
        except JetStreamError as error:
            if cursor == self._written:
                self._written = self._saved
            self._failed(str(error))
        else:
            self._saved = cursor

    def _failed(self, why: str) -> None:
        # A bucket that is gone says the same every time.
        level = logging.DEBUG if self.errors else logging.ERROR
        log.log(level, "bucket %s: the cursor was not saved: %s", self._name, why)
        self.errors += 1
