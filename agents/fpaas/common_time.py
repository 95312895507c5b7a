"""The time that all hosts of a run have in common: the NATS host's, as it was before the run.

A host's own clock may be wrong by any amount. How far it is behind was measured before the run
began (`fpaas.probe.clock_at_start`) and stands in run.json; every process of the run adds it to
what its own clock says. So all of them mean the same moment by T0, and what they write down needs
no translation later. Readers correct the drift of clocks from then on
(`fpaas.latency.clocks`), and a clock that is set is noticed (`fpaas.probe.clock_steps`).
"""

from __future__ import annotations

import time
from collections.abc import Callable

NS_PER_S = 1_000_000_000
NS_PER_MS = 1_000_000
_shift_ns = 0


def shift(shift_ns: int) -> None:
    """From now on, in this process, add this to this host's clock."""
    global _shift_ns  # noqa: PLW0603 - a process has one clock
    _shift_ns = shift_ns


def shift_ns() -> int:
    """Return what is added to this host's clock."""
    return _shift_ns


def now_ns() -> int:
    """Return the common time, Unix ns."""
    return time.time_ns() + _shift_ns


def now_s() -> float:
    """Return the common time, Unix s."""
    return now_ns() / 1e9


def clock() -> Callable[[], int]:
    """Return `now_ns`, or what is the same and cheaper; for loops that ask often."""
    return now_ns if _shift_ns else time.time_ns
