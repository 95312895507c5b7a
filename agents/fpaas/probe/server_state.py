"""The NATS server's answers, in the form of the probe's files; no I/O.

Source: https://docs.nats.io/running-a-nats-service/nats_admin/monitoring (/varz, /jsz, /connz) and
the JetStream API's stream and consumer info. Counters that the server leaves out when they are 0
are 0; what it must state and does not, or states as what it cannot be, raises AnswerError.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import wraps
from typing import Any, TypeVar

import msgspec

from fpaas import common_time
from fpaas.measures import figures
from fpaas.records.nats import Connz, DurableState, Lag, ServerLife, StreamState, Varz

R = TypeVar("R")


class AnswerError(Exception):
    """The server's answer is not as documented; the message says how."""


def _checked(read: Callable[..., R]) -> Callable[..., R]:
    """Make a reader raise AnswerError, whatever it stumbles over, and check what it returns."""

    @wraps(read)
    def checked(*answer: Any) -> R:  # noqa: ANN401
        try:
            found = read(*answer)
            if isinstance(found, msgspec.Struct):
                msgspec.convert(msgspec.structs.asdict(found), type(found))
        except KeyError as error:
            raise AnswerError(f"the server's answer has no {error!s:.80}") from error
        except (TypeError, AttributeError, ValueError, OverflowError) as error:
            raise AnswerError(f"the server's answer makes no sense: {error!s:.200}") from error
        return found

    return checked


@_checked
def varz(answer: Mapping[str, Any]) -> Varz:
    """Pick the server's identity and counters from /varz; `cpu_pct` is of one core."""
    return Varz(
        server_id=answer["server_id"],
        start=answer["start"],
        version=answer["version"],
        cpu_pct=answer["cpu"],
        mem_mb=answer["mem"] / 1e6,
        connections=answer["connections"],
        total_connections=answer["total_connections"],
        slow_consumers=answer["slow_consumers"],
        in_msgs=answer["in_msgs"],
        out_msgs=answer["out_msgs"],
        in_bytes=answer["in_bytes"],
        out_bytes=answer["out_bytes"],
    )


@_checked
def server(answer: Mapping[str, Any]) -> ServerLife:
    """Pick what tells one life of a server from the next, from /varz."""
    return ServerLife(
        server_id=answer["server_id"],
        start=answer["start"],
        version=answer["version"],
        slow_consumers=answer["slow_consumers"],
    )


@_checked
def stream_state(state: Mapping[str, Any], created: str | None = None) -> StreamState:
    """Pick a stream's figures from its `state` in /jsz or in STREAM.INFO.

    `deleted` are the sequences inside it that are gone, if they were asked for.
    """
    return StreamState(
        deleted=state.get("deleted") or [],
        messages=state["messages"],
        bytes=state["bytes"],
        first_seq=state["first_seq"],
        last_seq=state["last_seq"],
        consumer_count=state["consumer_count"],
        num_deleted=state.get("num_deleted", 0),
        created=created,
    )


@_checked
def stream_in_jsz(answer: Mapping[str, Any], name: str) -> StreamState | None:
    """Find a stream in /jsz?accounts=true&streams=true; None if the server has no such one."""
    for account in answer.get("account_details") or []:
        for detail in account.get("stream_detail") or []:
            if detail["name"] == name:
                return stream_state(detail["state"], detail.get("created"))
    return None


@_checked
def leader_in_jsz(answer: Mapping[str, Any], name: str) -> str | None:
    """Find who leads a stream, by server name; None if the server has no such stream.

    A server that is in no cluster names nobody: the empty string.
    """
    for account in answer.get("account_details") or []:
        for detail in account.get("stream_detail") or []:
            if detail["name"] == name:
                return str((detail.get("cluster") or {}).get("leader", ""))
    return None


@_checked
def connz(answer: Mapping[str, Any]) -> Connz:
    """Count connections in /connz?sort=pending&limit=1: the first has the most bytes pending."""
    connections = answer.get("connections") or []
    pending = [connection.get("pending_bytes", 0) for connection in connections]
    return Connz(count=answer["total"], pending_bytes_max=max(pending, default=0))


@_checked
def cut_off_unix_ns(answer: Mapping[str, Any]) -> list[int]:
    """Return when connections in /connz?state=closed ended that did not read what was sent."""
    return [
        _unix_ns(connection["stop"])
        for connection in answer.get("connections") or []
        if connection["reason"].startswith("Slow Consumer")
    ]


@_checked
def started_unix_ns(life: ServerLife) -> int:
    """Return when a server started."""
    return _unix_ns(life.start)


@_checked
def elected(advisory: Mapping[str, Any]) -> str:
    """Return who was elected, by an advisory `stream_leader_elected`."""
    return str(advisory["leader"])


def _unix_ns(text: str) -> int:
    """Return a time by the clock of the server's host, which is the probe's, as common time."""
    return common_time.shift_ns() + round(datetime.fromisoformat(text).timestamp() * 1e6) * 1000


@_checked
def consumer(info: Mapping[str, Any]) -> DurableState:
    """Pick one consumer's position from its info."""
    return DurableState(
        name=info["name"],
        delivered_consumer_seq=info["delivered"]["consumer_seq"],
        delivered_stream_seq=info["delivered"]["stream_seq"],
        ack_floor_consumer_seq=info["ack_floor"]["consumer_seq"],
        ack_floor_stream_seq=info["ack_floor"]["stream_seq"],
        num_pending=info["num_pending"],
        num_ack_pending=info["num_ack_pending"],
        num_redelivered=info["num_redelivered"],
        num_waiting=info["num_waiting"],
        # nats-server 2.11 and newer.
        paused=info.get("paused") is True,
    )


def paused(advisory: Mapping[str, Any]) -> tuple[str, bool]:
    """Return which durable was paused, or goes on, by an advisory `consumer_pause`.

    Raises AnswerError if it does not say.
    """
    name, is_paused = advisory.get("consumer"), advisory.get("paused", False)
    if not isinstance(name, str) or not isinstance(is_paused, bool):
        raise AnswerError("an advisory of a pause names no durable")
    return name, is_paused


def lag(num_pending: Sequence[int]) -> Lag:
    """Distribution over consumers of messages yet to be sent to them; None without consumers."""
    return Lag(
        consumers=len(num_pending),
        **figures.distribution(num_pending, "p50", "p99", "max"),
        sum=sum(num_pending),
    )
