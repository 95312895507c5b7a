"""Events beside the load: kinds that only reports know, and their form before they are told."""

from __future__ import annotations

from typing import Any, NamedTuple

from fpaas.spec import NS_PER_S

AGENT_DIED = "agent_died"
WORKER_DIED = "worker_died"
#: Who says so: an agent or a NATS server about itself, or somebody about another.
AGENT, SERVER, OBSERVER = "agent", "server", "observer"
#: Faults of the run.
INJECTED = "fault"
CONSUMERS = "consumers"
#: A parameter of silences: whether the connection stayed up all the while.
CONNECTED = "connected"
#: Samples of NATS are so far apart.
SAMPLES_APART_NS = 5 * NS_PER_S
#: An observer that was gone this soon after a silence cannot have seen its end.
LOOKED_AGAIN_NS = 2 * NS_PER_S


def seconds_since(t0_unix_ns: int, unix_ns: int) -> float:
    """Return when something was, as summary.json has it: seconds since T0."""
    return round((unix_ns - t0_unix_ns) / NS_PER_S, 3)


class Found(NamedTuple):
    """`short` and `what` are for charts and for sentences."""

    kind: str
    source: str
    host: str | None
    begin_unix_ns: int
    end_unix_ns: int | None
    parameters: dict[str, Any]
    short: str
    what: str
    noticed_unix_ns: int | None = None


def connections(count: int) -> str:
    """Say how many connections something was about, if they were several."""
    return f", {count} connections" if count > 1 else ""


def how_long(
    begin_unix_ns: int, end_unix_ns: int | None, firehose_end_unix_ns: int | None = None
) -> str:
    """Say how long something lasted."""
    if end_unix_ns is None:
        return " from then on"
    # Whether it ended then is not known: from then on nothing was due.
    if end_unix_ns == firehose_end_unix_ns:
        return " until the firehose's end"
    if end_unix_ns == begin_unix_ns:
        return ""
    return f" for {(end_unix_ns - begin_unix_ns) / NS_PER_S:.1f} s"
