"""Waits on one host until its agents are up, wait for the run's T0, and know the host's clock."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass

from fpaas import common_time
from fpaas.control.arming import PROBE, HostClock
from fpaas.records.status import CONNECT_S, AgentStatus, State

LOOK_INTERVAL_S = 0.1
#: A probe that has not compared clocks this long after all are up is not waited for: its host's
#: clock is taken as it is, and the run's report says that it is not known.
CLOCK_PATIENCE_S = 15.0


class NotUpError(Exception):
    """An agent failed, or is not up in time; says which and why."""


@dataclass(frozen=True)
class Up:
    """All are up. `clock` is None if there is no probe, or it does not know."""

    clock: HostClock | None
    connect_s: float


def wait(
    look: Callable[[], Iterable[str]], agents: Collection[str], patience_s: float, directory: str
) -> Up:
    """Wait until all are up. `look` returns the lines of their status files in `directory`.

    Raises NotUpError.
    """
    deadline = time.monotonic() + patience_s
    clock_deadline = None
    while True:
        found = map(AgentStatus.parse, look())
        statuses = {status.agent: status for status in found if status is not None}
        if message := failure(statuses):
            raise NotUpError(message)
        missing = [agent for agent in agents if agent not in statuses]
        if not missing:
            clock = _clock_of(statuses)
            clock_deadline = clock_deadline or time.monotonic() + CLOCK_PATIENCE_S
            is_late = time.monotonic() > clock_deadline
            if clock is not None or PROBE not in statuses or is_late:
                connect_s = max(s.figures.get(CONNECT_S, 0.0) for s in statuses.values())
                return Up(clock, connect_s)
        elif time.monotonic() > deadline:
            raise NotUpError(
                f"not up within {patience_s:g} s: {', '.join(missing)}; "
                f"their logs are in {directory}, or in the host's journal"
            )
        time.sleep(LOOK_INTERVAL_S)


def _clock_of(statuses: Mapping[str, AgentStatus]) -> HostClock | None:
    """Return what the probe says of the host's clock, if it does."""
    probe = statuses.get(PROBE)
    return None if probe is None else HostClock.seen(probe, common_time.now_ns())


def failure(statuses: Mapping[str, AgentStatus]) -> str:
    """Say which agents failed and why; empty if none did."""
    return "; ".join(
        f"the {name} failed: {status.message}"
        for name, status in sorted(statuses.items())
        if status.state == State.FAILED
    )
