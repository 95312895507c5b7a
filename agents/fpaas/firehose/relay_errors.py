"""Why a relay could not be subscribed to, in words, and whether another try may help."""

from __future__ import annotations

import json
import ssl
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus

from websockets.exceptions import (
    InvalidHandshake,
    InvalidMessage,
    InvalidStatus,
    NegotiationError,
)
from websockets.http11 import Response

from fpaas.legible import legible

#: A relay that asks for more patience than this is asked again anyway.
RETRY_AFTER_MAX_S = 86_400.0

#: Client errors that say "later", not "never".
_TEMPORARY_STATUS = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS)
#: Server errors that say "never".
_FINAL_STATUS = (HTTPStatus.NOT_IMPLEMENTED, HTTPStatus.HTTP_VERSION_NOT_SUPPORTED)
_WORDS_CHARACTERS_MAX = 200

_CLOCK_HINT = "it has to be renewed, unless this host's clock is wrong"
_NAME_HINT = "name the relay by a host that its certificate is for"
_AUTHORITY_HINT = (
    "if it is the relay, make this host trust its authority (update-ca-certificates, or "
    "SSL_CERT_FILE for a single command)"
)
#: By OpenSSL's X509_V_ERR_…: CERT_NOT_YET_VALID, CERT_HAS_EXPIRED, HOSTNAME_MISMATCH and
#: IP_ADDRESS_MISMATCH. What else is wrong, such as SELF_SIGNED, is a matter of the authority.
_CERTIFICATE_HINTS = {9: _CLOCK_HINT, 10: _CLOCK_HINT, 62: _NAME_HINT, 64: _NAME_HINT}


class RelayError(Exception):
    """A relay cannot be subscribed to; `wrong_url` if another try will not help.

    `retry_after_s` is how long the relay asks to be left alone; 0 if it does not ask. `refused`:
    nobody listens there.
    """

    def __init__(
        self,
        message: str,
        *,
        wrong_url: bool = False,
        retry_after_s: float = 0.0,
        refused: bool = False,
    ) -> None:
        super().__init__(message)
        self.wrong_url = wrong_url
        self.retry_after_s = retry_after_s
        self.refused = refused


def of_handshake(url: str, error: InvalidHandshake, *, at_end: bool) -> RelayError:
    """Say what was answered in place of a subscription; `at_end`: the relay closed after it."""
    if isinstance(error, InvalidStatus):
        return _of_answer(url, error.response)
    if isinstance(error, NegotiationError):
        cause = "uses an extension or subprotocol that it was not asked for, such as compression"
        return RelayError(f"relay {url}: {cause}: {_words(error)}", wrong_url=True)
    why = error.__cause__ if isinstance(error, InvalidMessage) else None
    if at_end and isinstance(why, EOFError):
        hint = "" if url.startswith("wss") else "; if it speaks TLS, name it as wss://"
        return RelayError(f"relay {url}: closed during the handshake{hint}")
    detail = f": {_words(why)}" if why is not None else ""
    return RelayError(
        f"relay {url}: is not a WebSocket server: {_words(error)}{detail}", wrong_url=True
    )


def of_socket(url: str, error: OSError) -> RelayError:
    """Say why there is no connection."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return RelayError(
            f"relay {url}: its certificate is not to be trusted: {error.verify_message.rstrip('.')}"
            f"; {_CERTIFICATE_HINTS.get(error.verify_code, _AUTHORITY_HINT)}",
            wrong_url=True,
        )
    if isinstance(error, ssl.SSLError) and error.reason == "WRONG_VERSION_NUMBER":
        return RelayError(
            f"relay {url}: does not answer in TLS; name it as ws://, if it is the relay",
            wrong_url=True,
        )
    refused = isinstance(error, ConnectionRefusedError)
    return RelayError(f"relay {url}: cannot connect: {error}", refused=refused)


def _of_answer(url: str, response: Response) -> RelayError:
    status, headers = response.status_code, response.headers
    answer = legible(f"HTTP {status} {response.reason_phrase}".rstrip(), _WORDS_CHARACTERS_MAX)
    if said := _xrpc_error(response.body):
        answer += f", {said}"
    if target := _first(headers.get_all("Location")):
        target = legible(target, _WORDS_CHARACTERS_MAX)
        answer += f", which leads to {target}; name that, if it is the relay"
    wait_s = retry_after_s(_first(headers.get_all("Retry-After")))
    if wait_s:
        answer += f", and asks for {wait_s:.0f} s of patience"
    return RelayError(
        f"relay {url}: answered {answer}", wrong_url=is_final(status), retry_after_s=wait_s
    )


def retry_after_s(value: str | None) -> float:
    """Read a Retry-After header, which has seconds or an HTTP date; 0 if it has neither.

    >>> retry_after_s("7"), retry_after_s("Thu, 01 Jan 1970 00:00:00 GMT"), retry_after_s("soon")
    (7.0, 0.0, 0.0)
    """
    text = (value or "").strip()
    if text.isascii() and text.isdigit():
        # Not float(): it takes what is not a number of seconds, and endless digits.
        return min(float(text[:9]), RETRY_AFTER_MAX_S)
    try:
        at = parsedate_to_datetime(text)
    except ValueError:
        return 0.0
    if at.tzinfo is None:
        at = at.replace(tzinfo=UTC)
    return min(max((at - datetime.now(UTC)).total_seconds(), 0.0), RETRY_AFTER_MAX_S)


def is_final(status: int) -> bool:
    """Whether an HTTP status in place of a subscription says that another try will not help."""
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return status in _FINAL_STATUS
    return status not in _TEMPORARY_STATUS


def _xrpc_error(body: bytes | bytearray | None) -> str:
    """Return what an XRPC error says, as `error: message`; nothing if it is no such error."""
    try:
        said = json.loads(body or b"")
    except (ValueError, RecursionError):
        return ""
    if not isinstance(said, dict):
        return ""
    words = [said[name] for name in ("error", "message") if isinstance(said.get(name), str)]
    return legible(": ".join(words), _WORDS_CHARACTERS_MAX)


def _words(error: BaseException) -> str:
    return legible(str(error), _WORDS_CHARACTERS_MAX)


def _first(values: list[str]) -> str | None:
    return values[0] if values else None
