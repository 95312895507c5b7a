"""How far this host's clock is off the NATS host's before a run, for the playbook that arms it."""

from __future__ import annotations

import asyncio

from fpaas import agent
from fpaas.jetstream.jetstream_api import JetStreamError
from fpaas.measures.clock_at_start import ClockAtStart
from fpaas.probe import clock_bounds
from fpaas.probe.clock import BURST, BURST_PAUSE_S, Clock
from fpaas.probe.clock_bounds import Exchange
from fpaas.spec import RunSpec

#: After a burst, so that what the status file says is never old.
PAUSE_S = 0.25
RETRY_S = 0.05


async def compare_until_armed(
    arming: agent.Arming, clock: Clock, status: agent.Status
) -> tuple[RunSpec, list[Exchange]]:
    """Compare the clocks until the run is armed; returns the armed run, and the exchanges.

    These are in the common time, as all are that follow. Raises what `arming` does.
    """
    exchanges: list[Exchange] = []
    comparing = asyncio.create_task(_compare(exchanges, clock, status))
    try:
        while not arming.is_over():  # noqa: ASYNC110 - a file does not call
            await asyncio.sleep(agent.ARMED_LOOK_INTERVAL_S)
    finally:
        comparing.cancel()
        await asyncio.gather(comparing, return_exceptions=True)
    shift_ns = arming.run.clock_shift_ns(arming.host)
    return arming.run, [exchange.shifted(shift_ns) for exchange in exchanges]


async def _compare(exchanges: list[Exchange], clock: Clock, status: agent.Status) -> None:
    while True:
        try:
            exchanges.append(await clock.exchange())
        except (JetStreamError, KeyError, ValueError):
            # Not connected yet, or a cluster that elects a leader.
            await asyncio.sleep(RETRY_S)
            continue
        if len(exchanges) < BURST:
            await asyncio.sleep(BURST_PAUSE_S)
            continue
        bound = clock_bounds.bounds(exchanges)[0]
        status.figures = ClockAtStart(bound.offset_low_ns, bound.offset_high_ns).figures()
        status.write()
        await asyncio.sleep(PAUSE_S)
