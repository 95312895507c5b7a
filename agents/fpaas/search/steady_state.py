"""Whether a run's window was long enough for its load to settle, and from when on it had. Pure.

MSER (White, "An effective truncation heuristic for bias reduction in simulation output", 1997)
leaves out as many of the first observations as make the standard error of the rest's mean smallest.
With observations enough they are averaged by fives first (MSER-5: White, Cobb and Spratt, "A
comparison of five steady-state truncation heuristics for simulation", 2000). A minimum that is not
found in the first half means that the series is too short to tell (Hoad, Robinson and Davies,
"Automating warm-up length estimation", 2010): it had not settled.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

BATCH = 5
#: With fewer batches than this, single observations say more.
BATCHES_MIN = 10
#: With fewer observations nothing can be said.
OBSERVATIONS_MIN = 8


def settled_after(values: Sequence[float]) -> int | None:
    """Return how many of the first observations came before the steady state.

    None if it was not reached in the first half of them, or there are too few.
    """
    if len(values) < OBSERVATIONS_MIN:
        return None
    size = BATCH if len(values) >= BATCH * BATCHES_MIN else 1
    batches = [sum(values[at : at + size]) / size for at in range(0, len(values) - size + 1, size)]
    half = len(batches) // 2
    best, best_error = 0, math.inf
    for start in range(half + 1):
        rest = batches[start:]
        mean = sum(rest) / len(rest)
        error = sum((one - mean) ** 2 for one in rest) / len(rest) ** 2
        if error < best_error:
            best, best_error = start, error
    return None if best == half else best * size


@dataclass(frozen=True)
class Unsettled:
    """A figure that had not settled. `after_s`: when it had; None: not by the window's end."""

    what: str
    after_s: float | None


def unsettled(
    series: Mapping[str, Sequence[float]], warmup_s: float, *, holds: bool
) -> Unsettled | None:
    """Return what makes a run say nothing of its load; None if it counts.

    `series` have an observation each second from T0 on. If a load seems to hold and its figures
    do not settle, it may just not have broken yet; if it does not hold, that is what overload looks
    like. Figures that settle after the warm-up are in the window, and may be the only reason why a
    goal was missed; goals that were reached were reached in spite of it.
    """
    for what, values in series.items():
        after = settled_after(values)
        if holds and after is None and len(values) >= OBSERVATIONS_MIN:
            return Unsettled(what, None)
        if not holds and after is not None and after > warmup_s:
            return Unsettled(what, float(after))
    return None
