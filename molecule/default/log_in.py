# ruff: noqa: INP001, T201  (a script, not a module)
"""Tries to log in to NATS in several ways.

`log_in.py NATS_URL LAB_DIR` prints what became of each, as JSON.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import sys
from pathlib import Path
from typing import Any

import nats
import nats.errors

USER, PASSWORD = "NATS_USER", "NATS_PASSWORD"


def credentials(path: Path) -> dict[str, str]:
    """Read what agents log in with: lines of NAME = "value"."""
    pairs = (line.replace("=", ":", 1).partition(":") for line in path.read_text().splitlines())
    return {name.strip(): value.strip().strip("\"'") for name, _, value in pairs}


async def log_in(url: str, **how: Any) -> str:  # noqa: ANN401
    """Connect once and use the connection."""
    try:
        connection = await nats.connect(
            url, allow_reconnect=False, max_reconnect_attempts=0, connect_timeout=5, **how
        )
        await connection.flush(5)
        await connection.close()
    except (nats.errors.Error, OSError) as error:
        print(type(error).__name__, error, file=sys.stderr)
        return "refused"
    return "let in"


async def main(url: str, lab: Path) -> None:
    """Try all ways."""
    ours = ssl.create_default_context(cafile=str(lab / "ca.pem"))
    known = credentials(lab / "credentials")
    user, password = known[USER], known[PASSWORD]
    outcomes = {
        "agents": await log_in(url, user=user, password=password, tls=ours),
        "wrong password": await log_in(url, user=user, password=password[::-1], tls=ours),
        "no password": await log_in(url, tls=ours),
        "another authority": await log_in(
            url, user=user, password=password, tls=ssl.create_default_context()
        ),
    }
    print(json.dumps(outcomes))


asyncio.run(main(sys.argv[1], Path(sys.argv[2])))
