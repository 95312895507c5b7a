"""When a planned run begins."""

from __future__ import annotations

from dataclasses import replace

from fpaas.spec import NS_PER_S, RunSpec


def arm(run: RunSpec, now_unix_ns: int, lead_s: float, lead_s_per_1000_consumers: float) -> RunSpec:
    """Give a run its T0: now and the lead, up to the next whole second.

    In the lead, seconds, agents, which are up already, hear of T0 and connect.
    """
    lead = lead_s + lead_s_per_1000_consumers * run.consumers.count / 1000
    earliest = now_unix_ns + round(lead * NS_PER_S)
    return replace(run, t0_unix_ns=-(-earliest // NS_PER_S) * NS_PER_S)
