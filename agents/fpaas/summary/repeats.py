"""Statistics of a handful of repeats, with no assumption about the shape of their noise.

An exact Mann-Whitney U test (as in benchstat), the noise floor, which is what repeats of the same
run differ by, and intervals of a median by order statistics. Pure.
"""

from __future__ import annotations

import itertools
import math
import random
import statistics
from collections.abc import Sequence
from functools import cache

from fpaas.measures import figures

SIGNIFICANCE = 0.05
CONFIDENCE = 0.95
#: Exact ranks get expensive above this; a group of runs is never that large.
RUNS_MAX = 20
#: This share of all ways to split repeats into halves differs by no more than the noise floor.
SPLITS_BELOW_FLOOR = 0.95
#: Ways of splitting that are tried, at random if there are more.
SPLITS_MAX = 2_000
#: Fewer repeats cannot be split into halves that have a median.
REPEATS_MIN = 4


def median_interval(values: Sequence[float]) -> tuple[float, float, float] | None:
    """Return (low, high, confidence) of the median by order statistics; None of a single value.

    The narrowest one that reaches CONFIDENCE; fewer than 6 values reach less between their ends.
    """
    ordered = sorted(values)
    count = len(ordered)
    if count < 2:
        return None

    def confidence(cut: int) -> float:
        outside: int = sum(math.comb(count, i) for i in range(cut))
        return 1 - 2 * outside / float(2**count)

    reaching = [cut for cut in range(1, count // 2 + 1) if confidence(cut) >= CONFIDENCE]
    cut = max(reaching, default=1)
    return ordered[cut - 1], ordered[count - cut], confidence(cut)


def noise_floor(values: Sequence[float]) -> float | None:
    """Return the least difference of medians that repeats of the same run can tell from noise.

    The values are split into two halves in every way; 95 % of the halves' medians differ by no more
    than this. None of fewer than REPEATS_MIN values.
    """
    count = len(values)
    if count < REPEATS_MIN:
        return None
    half = count // 2
    if math.comb(count, half) <= SPLITS_MAX:
        chosen = [set(one) for one in itertools.combinations(range(count), half)]
    else:
        draw = random.Random(count)
        chosen = [set(draw.sample(range(count), half)) for _ in range(SPLITS_MAX)]
    gaps = sorted(
        abs(
            statistics.median(values[i] for i in one)
            - statistics.median(values[i] for i in range(count) if i not in one)
        )
        for one in chosen
    )
    return figures.percentile(gaps, 100 * SPLITS_BELOW_FLOOR)


def mann_whitney_p(before: Sequence[float], after: Sequence[float]) -> float | None:
    """Two-sided exact p-value; None if even perfect separation would not be significant.

    With ties the exact distribution is conservative: p is an upper bound.
    """
    m, n = len(before), len(after)
    if 2 / math.comb(m + n, m) > SIGNIFICANCE:
        return None
    twice_u = sum(2 * (new > old) + (new == old) for old in before for new in after)
    # Distance from the middle, rounded towards it if ties leave half a rank.
    extreme = min(twice_u, 2 * m * n - twice_u)
    tail = sum(_arrangements(m, n, u) for u in range((extreme + 1) // 2 + 1))
    return min(1.0, 2 * tail / math.comb(m + n, m))


@cache
def _arrangements(m: int, n: int, u: int) -> int:
    """How many interleavings of m and n values have U = u."""
    if u < 0:
        return 0
    if m == 0 or n == 0:
        return int(u == 0)
    return _arrangements(m - 1, n, u - n) + _arrangements(m, n - 1, u)
