"""One WebSocket connection to a relay's com.atproto.sync.subscribeRepos, with back pressure.

The sans-I/O core of `websockets` stands on an asyncio protocol of our own: frames come in the
chunks that the socket brings, and `pause` stops reading the socket itself, so that whatever is
ahead of a slow stream waits in the relay and not in memory.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from typing import cast
from urllib.parse import urlsplit

from websockets.client import ClientProtocol
from websockets.exceptions import InvalidHandshake, InvalidURI, PayloadTooBig
from websockets.frames import CloseCode
from websockets.protocol import State
from websockets.uri import parse_uri

from fpaas.errors import BadInput
from fpaas.firehose import relay_errors
from fpaas.firehose.dialing import dial
from fpaas.firehose.messages import MessageReader
from fpaas.firehose.relay_errors import RelayError
from fpaas.legible import cause_of, legible

DEFAULT_RELAY = "wss://bsky.network"
SUBSCRIBE_PATH = "/xrpc/com.atproto.sync.subscribeRepos"
USER_AGENT = "fpaas-shuffler/1"
CONNECT_TIMEOUT_S = 10.0
#: Far beyond the largest frame that is allowed, so that one too large can be stepped over as any
#: other that is malformed. An even larger one costs the connection.
RECEIVE_MAX_BYTES = 64 * 2**20

#: The library takes no answer in the older one, which proxies use to say that the relay is away.
_OLD_HTTP, _HTTP = b"HTTP/1.0 ", b"HTTP/1.1 "
_SCHEMES = {"ws": "ws", "wss": "wss", "http": "ws", "https": "wss"}


def subscription_url(relay: str) -> str:
    """Make the URL to subscribe at from a host or a URL; raises BadInput if it is neither.

    >>> subscription_url("bsky.network")
    'wss://bsky.network/xrpc/com.atproto.sync.subscribeRepos'
    """
    text = relay if "://" in relay else f"wss://{relay}"
    if "@" in text:
        raise BadInput(
            "a relay's URL with a user or a password is not allowed: relays ask for none, and it "
            "would stand in run.json, reports and logs"
        )
    try:
        parts = urlsplit(text)
        scheme = _SCHEMES.get(parts.scheme)
        odd = parts.query or parts.fragment or text.split() != [text]
        if scheme is None or not parts.hostname or odd:
            raise ValueError
        path = parts.path.rstrip("/") or SUBSCRIBE_PATH
        url = f"{scheme}://{parts.netloc}{path}"
        parse_uri(url)
    except (ValueError, InvalidURI):
        raise BadInput(
            f"{relay!r} is no relay; expected a host such as bsky.network, or ws:// or wss:// "
            "and a host"
        ) from None
    return url


class RelayConnection(asyncio.Protocol):
    """A subscription at `url` from `cursor` on (None: live); `open` makes it.

    `on_frames` gets the frames of each chunk read. `closed` is done when the connection is gone;
    its result says why.
    `reads` counts what the socket brought.
    """

    def __init__(
        self, url: str, *, cursor: int | None, on_frames: Callable[[list[bytes]], None]
    ) -> None:
        loop = asyncio.get_running_loop()
        self.closed: asyncio.Future[str] = loop.create_future()
        self.reads = 0
        self._url = url
        self._uri = parse_uri(url if cursor is None else f"{url}?cursor={cursor}")
        self._on_frames = on_frames
        self._protocol = ClientProtocol(self._uri, max_size=RECEIVE_MAX_BYTES)
        self._messages = MessageReader(self._protocol, message_max_bytes=RECEIVE_MAX_BYTES)
        self._opened: asyncio.Future[None] = loop.create_future()
        self._transport: asyncio.Transport | None = None
        self._paused = False
        self._choked = False
        self._ended = False
        self._reason = ""

    @property
    def close_code(self) -> int | None:
        """With which code the relay closed; None if it did not."""
        close = self._protocol.close_rcvd
        return None if close is None else close.code

    @property
    def oversized(self) -> str:
        """That it ended in a frame larger than can be received; empty: it did not."""
        is_oversized = isinstance(self._protocol.parser_exc, PayloadTooBig)
        return f"is larger than {RECEIVE_MAX_BYTES} bytes" if is_oversized else ""

    @property
    def broken(self) -> str:
        """What is wrong with the WebSocket frame that it ended in; empty: nothing, or we closed."""
        if self._reason:
            return ""
        error = self._protocol.parser_exc
        if error is not None and not isinstance(error, EOFError):
            return f"breaks the WebSocket protocol: {legible(str(error))}"
        return "ends before it is whole" if self._messages.is_cut else ""

    async def open(self) -> None:
        """Connect and subscribe. Raises RelayError that names the URL and the cause."""
        url, uri = self._url, self._uri
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                await asyncio.get_running_loop().create_connection(
                    lambda: self,
                    sock=await dial(uri.host, uri.port),
                    ssl=ssl.create_default_context() if uri.secure else None,
                    server_hostname=uri.host if uri.secure else None,
                )
                await self._opened
        except TimeoutError:
            self.abort("timeout")
            raise RelayError(f"relay {url}: {self._what_is_missing()}") from None
        except InvalidHandshake as error:
            raise relay_errors.of_handshake(url, error, at_end=self._ended) from None
        except OSError as error:
            raise relay_errors.of_socket(url, error) from None

    def pause(self) -> None:
        """Stop reading the socket."""
        if self._transport is not None and not self._paused and not self._transport.is_closing():
            self._paused = True
            self._transport.pause_reading()

    def resume(self) -> None:
        """Read on."""
        if self._transport is not None and self._paused and not self._transport.is_closing():
            self._paused = False
            self._transport.resume_reading()

    def ping(self) -> None:
        """Ask the relay for a sign of life."""
        if self._protocol.state is State.OPEN:
            self._protocol.send_ping(b"")
            self._send()

    def close(self, code: int = CloseCode.NORMAL_CLOSURE, reason: str = "") -> None:
        """Tell the relay and close; what it still sends is not read."""
        self._reason = self._reason or reason or "closed by us"
        self._on_frames = _discard
        if self._transport is None:
            return
        if self._protocol.state is State.OPEN:
            self._protocol.send_close(code, reason)
            self._send()
        self._transport.close()

    def abort(self, reason: str) -> None:
        """Close without a word."""
        self._reason = self._reason or reason
        if self._transport is not None:
            self._transport.abort()

    # -- asyncio.Protocol ------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio.Protocol."""
        # uvloop's transports are asyncio.Transport in everything but their base class.
        self._transport = cast("asyncio.Transport", transport)
        request = self._protocol.connect()
        request.headers["User-Agent"] = USER_AGENT
        self._protocol.send_request(request)
        self._send()

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        if not self.reads and data.startswith(_OLD_HTTP):
            data = _HTTP + data[len(_OLD_HTTP) :]
        self.reads += 1
        messages = self._messages.read(data)
        if not self._opened.done():
            self._handshake_ended()
        if messages:
            self._on_frames(messages)
        self._send()
        if self._protocol.close_expected() and self._transport is not None:
            self._transport.close()

    def pause_writing(self) -> None:
        """See asyncio.Protocol; who does not read the answers to its pings gets no more of them."""
        self._choked = True

    def resume_writing(self) -> None:
        """See asyncio.Protocol."""
        self._choked = False

    def eof_received(self) -> None:
        """See asyncio.Protocol; closes the transport."""
        self._ended = True
        self._messages.end()
        self._handshake_ended()

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.Protocol."""
        self._transport = None
        if not self._opened.done():
            self._opened.set_exception(exc or ConnectionResetError("connection lost"))
            self._opened.exception()
        if not self.closed.done():
            self.closed.set_result(self._reason or self._why(exc))

    # -- inside ----------------------------------------------------------------------------------

    def _handshake_ended(self) -> None:
        if self._opened.done():
            return
        if self._protocol.handshake_exc is not None:
            self._opened.set_exception(self._protocol.handshake_exc)
        elif self._protocol.state is not State.CONNECTING:
            # It may be closing already: one chunk can bring the handshake and the end.
            self._opened.set_result(None)

    def _what_is_missing(self) -> str:
        """Say how far a handshake came that was not over in time."""
        if self.reads:
            return f"its answer did not end in {CONNECT_TIMEOUT_S:g} s"
        hint = "; if it does not speak TLS, name it as ws://" if self._uri.secure else ""
        return f"no answer in {CONNECT_TIMEOUT_S:g} s{hint}"

    def _send(self) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        for data in self._protocol.data_to_send():
            if data and not self._choked:
                self._transport.write(data)

    def _why(self, exc: Exception | None) -> str:
        close, broken = self._protocol.close_rcvd, self._protocol.parser_exc
        if close is not None:
            return f"closed by the relay: {close.code} {legible(close.reason)}".rstrip()
        if broken is not None and not isinstance(broken, EOFError):
            return f"broke the WebSocket protocol: {legible(str(broken))}"
        where = f" ({broken})" if broken is not None else ""
        why = "closed by the relay without a word" if exc is None else cause_of(exc)
        return f"{why}{where}"


def _discard(_frames: list[bytes]) -> None:
    """Take the frames that come after we closed."""
