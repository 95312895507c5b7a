"""Whether this host's NATS server leads the stream, as the server itself says."""

from __future__ import annotations

import json
import urllib.request
from typing import Any

from fpaas.faults.injection import InjectionError

TIMEOUT_S = 2.0


def leads(monitoring_url: str, stream: str) -> bool:
    """Ask the server. Raises InjectionError if it does not answer, or nobody leads."""
    name = _ask(f"{monitoring_url}/varz").get("server_name")
    answer = _ask(f"{monitoring_url}/jsz?accounts=true&streams=true")
    for account in answer.get("account_details") or ():
        for detail in account.get("stream_detail") or ():
            if detail.get("name") == stream:
                leader = (detail.get("cluster") or {}).get("leader")
                if not leader:
                    raise InjectionError(f"nobody leads the stream {stream} now")
                return bool(leader == name)
    # A server that has no replica does not lead.
    return False


def _ask(url: str) -> dict[str, Any]:
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_S) as answer:  # noqa: S310  (ours)
            content = json.load(answer)
    except (OSError, ValueError) as error:
        raise InjectionError(f"{url}: {error}") from error
    if not isinstance(content, dict):
        raise InjectionError(f"{url}: is not a NATS monitoring port")
    return content
