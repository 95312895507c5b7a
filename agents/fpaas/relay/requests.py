"""A relay's answers to requests for a subscription: HTTP before the WebSocket is open.

Refusals are XRPC's: a JSON object with `error`, a name, and `message`; see
https://atproto.com/specs/xrpc.
"""

from __future__ import annotations

import json
from http import HTTPStatus
from urllib.parse import urlsplit

from websockets.http11 import Request, Response
from websockets.server import ServerProtocol

from fpaas.firehose.relay_client import SUBSCRIBE_PATH
from fpaas.relay.cursors import read_cursor

METHOD = "GET"
_INVALID = "InvalidRequest"
_NAMES = {
    HTTPStatus.NOT_FOUND: "XRPCNotSupported",
    HTTPStatus.SERVICE_UNAVAILABLE: "NotEnoughResources",
}


def answer(protocol: ServerProtocol, request: Request) -> tuple[Response, int | None]:
    """Return the response to a request, and the cursor that it asks for (None: live).

    Whether it is accepted is in the response: then its status is 101.
    """
    try:
        parts = urlsplit(request.path)
        cursor = read_cursor(parts.query)
    except ValueError as error:
        return refusal(protocol, HTTPStatus.BAD_REQUEST, str(error)), None
    if parts.path != SUBSCRIBE_PATH:
        message = f"only {SUBSCRIBE_PATH} is here"
        return refusal(protocol, HTTPStatus.NOT_FOUND, message), None
    response = protocol.accept(request)
    if response.status_code != HTTPStatus.SWITCHING_PROTOCOLS:
        _as_xrpc(response, (response.body or b"").decode().partition("\n")[0])
    return response, cursor


def refusal(protocol: ServerProtocol, status: HTTPStatus, message: str) -> Response:
    """Make the response that refuses a request."""
    response = protocol.reject(status, "")
    if status is HTTPStatus.METHOD_NOT_ALLOWED:
        response.headers["Allow"] = METHOD
    _as_xrpc(response, message)
    return response


def _as_xrpc(response: Response, message: str) -> None:
    name = _NAMES.get(HTTPStatus(response.status_code), _INVALID)
    response.body = json.dumps({"error": name, "message": message}).encode()
    for header, value in (
        ("Content-Type", "application/json"),
        ("Content-Length", str(len(response.body))),
    ):
        del response.headers[header]
        response.headers[header] = value
