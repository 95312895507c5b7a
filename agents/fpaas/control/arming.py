"""When a planned run begins, and what each host's clock says then."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from fpaas.measures.clock_at_start import ClockAtStart
from fpaas.records.status import AgentStatus
from fpaas.spec import NS_PER_S, RunSpec

PROBE = "probe"
#: The control node only watches: a second more or less does not matter to it. Its knowledge
#: of the common time is as old as a status file and a login.
CONTROL_SHIFT_MIN_NS = NS_PER_S
#: T0s are easy to read.
T0_GRID_NS = NS_PER_S // 10
#: Connections are measured while the host has less to do than when all agents connect.
CONNECT_MARGIN = 2.0
#: T0 is brought by a call to each host, all at the same time.
CALL_MARGIN = 3.0


@dataclass(frozen=True)
class HostClock:
    """One host's clock before the run, and the common time minus the control node's, at least."""

    at_start: ClockAtStart
    common_minus_control_ns: int

    @classmethod
    def seen(cls, status: AgentStatus, control_unix_ns: int) -> HostClock | None:
        """Read a probe's status, which was there at a time of the control node's clock.

        None if the probe has not compared clocks yet.
        """
        at_start = ClockAtStart.of(status.figures)
        if at_start is None:
            return None
        middle_ns = (at_start.offset_low_ns + at_start.offset_high_ns) // 2
        return cls(at_start, status.unix_ns + middle_ns - control_unix_ns)

    def to_dict(self) -> dict[str, Any]:
        """As one task gives it to another."""
        return {
            "offset_low_ns": self.at_start.offset_low_ns,
            "offset_high_ns": self.at_start.offset_high_ns,
            "common_minus_control_ns": self.common_minus_control_ns,
        }

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> HostClock:
        """Read what `to_dict` wrote."""
        at_start = ClockAtStart(content["offset_low_ns"], content["offset_high_ns"])
        return cls(at_start, content["common_minus_control_ns"])


def arm(
    run: RunSpec,
    now_unix_ns: int,
    lead_s: float,
    lead_s_per_1000_consumers: float,
    clocks: Mapping[str, HostClock],
    *,
    connect_s: float = 0.0,
    call_s: float = 0.0,
) -> RunSpec:
    """Give a run its T0: now and the lead, up to the next tenth of a second of the common time.

    During the lead, in seconds, agents that are already up hear of T0 and connect; `connect_s` is
    how long connecting was measured to take, `call_s` a call to the slowest host. `now_unix_ns` is
    the control node's; `clocks` are those of hosts that were compared with the NATS host.
    """
    lead = lead_s + lead_s_per_1000_consumers * run.consumers.count / 1000
    lead += CONNECT_MARGIN * connect_s + CALL_MARGIN * call_s
    control_shift_ns = max((clock.common_minus_control_ns for clock in clocks.values()), default=0)
    if abs(control_shift_ns) < CONTROL_SHIFT_MIN_NS:
        control_shift_ns = 0
    earliest = now_unix_ns + control_shift_ns + round(lead * NS_PER_S)
    return replace(
        run,
        t0_unix_ns=-(-earliest // T0_GRID_NS) * T0_GRID_NS,
        clock_shifts_ns={host: clock.at_start.shift_ns for host, clock in clocks.items()},
        control_clock_shift_ns=control_shift_ns,
    )
