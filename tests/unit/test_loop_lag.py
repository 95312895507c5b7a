"""An event loop's lag is due on a grid from T0 on."""

from __future__ import annotations

import asyncio
import contextlib
import time

from fpaas import agent
from fpaas.common_time import NS_PER_S
from fpaas.measures.calls import Bins, CallRecorder
from fpaas.measures.wake_ups import wake_ups_between


async def measure(t0_unix_ns: int, seconds: float, stall_s: float = 0.0) -> CallRecorder:
    """Measure for a while; the loop stalls once, in the middle."""
    recorder = CallRecorder("loop_lag", Bins(t0_unix_ns))
    woken: list[int] = []
    measuring = asyncio.ensure_future(agent.measure_loop_lag(recorder, t0_unix_ns, woken.append))
    await asyncio.sleep(seconds / 2)
    time.sleep(stall_s)  # noqa: ASYNC251 - that is what is measured
    await asyncio.sleep(seconds / 2)
    measuring.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await measuring
    before_t0 = time.monotonic_ns() - (time.time_ns() - t0_unix_ns)
    assert all(at >= before_t0 - NS_PER_S // 100 for at in woken)
    return recorder


def test_nobody_is_woken_before_t0() -> None:
    t0_unix_ns = time.time_ns() + NS_PER_S

    recorder = asyncio.run(measure(t0_unix_ns, 1.5))

    assert min(recorder.began_unix_ns) == t0_unix_ns


def test_a_stall_weighs_as_much_as_it_lasts() -> None:
    t0_unix_ns = time.time_ns()

    recorder = asyncio.run(measure(t0_unix_ns, 0.2, stall_s=0.5))

    until_unix_ns = recorder.began_unix_ns[-1] + 1
    due = wake_ups_between(t0_unix_ns, t0_unix_ns, until_unix_ns)
    assert len(recorder.samples_ns) == due
    # Ten wake-ups fell due in the stall, each as late as it had left to last.
    assert sum(sample >= 45_000_000 for sample in recorder.samples_ns) >= 8
    assert max(recorder.samples_ns) >= 430_000_000
