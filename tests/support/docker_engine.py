"""Whether a Docker engine answers; `python -m tests.support.docker_engine` says why not."""

from __future__ import annotations

import http.client
import json
import os
import socket
import sys
from typing import Any

SOCKET = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock").removeprefix("unix://")
WHAT_TO_DO = (
    "install one (Debian, Ubuntu: `apt-get install docker.io mmdebstrap`), start it, and let this "
    "user use it (group `docker`); or set DOCKER_HOST to its socket"
)


def request_of_engine(method: str, path: str) -> bytes:
    """Body of the answer of the engine's API; OSError if none answers."""
    connection = http.client.HTTPConnection("localhost", timeout=30)
    try:
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.settimeout(30)
        connection.sock.connect(SOCKET)
        connection.request(method, path)
        answer = connection.getresponse()
        body = answer.read()
        assert answer.status < 300, body
        return body
    finally:
        connection.close()


def ask_engine(path: str) -> Any:  # noqa: ANN401
    return json.loads(request_of_engine("GET", path))


def why_not() -> str | None:
    """Why no engine answers; None if one does."""
    try:
        ask_engine("/info")
    except (OSError, http.client.HTTPException, AssertionError) as error:
        return f"no Docker engine answers at {SOCKET} ({error}): {WHAT_TO_DO}"
    return None


if __name__ == "__main__":
    sys.exit(why_not())
