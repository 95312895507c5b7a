"""How a figure grows with a variable: cost of each more, and whether growth is sub-linear. Pure.

Both are least-squares fits with a 95 % interval from Student's t, over single runs (repeats count
one by one). A straight line gives the cost of each added consumer. A power law, a line through the
logarithms, gives an exponent: below 1 growth is sub-linear. A part that does not depend on the
variable (an idle server, the publishing) pulls that exponent down by itself; so there is a second
one, for what is needed beyond the smallest point.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

#: (variable, figure) of one run each.
Points = Sequence[tuple[float, float]]

SUB_LINEAR = "sub-linear"
SUPER_LINEAR = "super-linear"
UNDECIDED = "~"

#: Two-sided 95 % quantiles of Student's t for 1 … 30 degrees of freedom.
T_975 = (
    *(12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228),
    *(2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086),
    *(2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042),
)
Z_975 = 1.959964
#: With fewer, a line has no interval.
INTERVAL_POINTS_MIN = 3


@dataclass(frozen=True)
class Fit:
    """A slope and its 95 % interval, None if there are too few points for one."""

    value: float
    low: float | None
    high: float | None
    intercept: float
    points: int

    @property
    def judgement(self) -> str:
        """Classify an exponent: sub-linear, super-linear, or `~` if 1 is within its interval."""
        if self.high is not None and self.high < 1:
            return SUB_LINEAR
        if self.low is not None and self.low > 1:
            return SUPER_LINEAR
        return UNDECIDED


def t_975(degrees: int) -> float:
    """Return the quantile of Student's t that 2.5 % lie above (Cornish-Fisher beyond the table)."""
    if degrees <= len(T_975):
        return T_975[degrees - 1]
    z = Z_975
    first = (z**3 + z) / (4 * degrees)
    return z + first + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * degrees**2)


def line(points: Points) -> Fit | None:
    """Fit y = intercept + value * x; None with fewer than two different x."""
    count = len(points)
    if len({x for x, _ in points}) < 2:
        return None
    mean_x = math.fsum(x for x, _ in points) / count
    mean_y = math.fsum(y for _, y in points) / count
    spread = math.fsum((x - mean_x) ** 2 for x, _ in points)
    slope = math.fsum((x - mean_x) * (y - mean_y) for x, y in points) / spread
    intercept = mean_y - slope * mean_x
    if count < INTERVAL_POINTS_MIN:
        return Fit(slope, None, None, intercept, count)
    half = t_975(count - 2) * math.sqrt(_variance(points, slope, intercept) / spread)
    return Fit(slope, slope - half, slope + half, intercept, count)


def prediction_half(points: Points, fit: Fit, at: float) -> float:
    """Return half of the 95 % interval of one more y at an x; needs INTERVAL_POINTS_MIN points."""
    mean_x = math.fsum(x for x, _ in points) / fit.points
    spread = math.fsum((x - mean_x) ** 2 for x, _ in points)
    variance = _variance(points, fit.value, fit.intercept)
    share = 1 + 1 / fit.points + (at - mean_x) ** 2 / spread
    return t_975(fit.points - 2) * math.sqrt(variance * share)


def _variance(points: Points, slope: float, intercept: float) -> float:
    """Return the variance of y about a line."""
    residual = math.fsum((y - intercept - slope * x) ** 2 for x, y in points)
    return residual / (len(points) - 2)


def exponent(points: Points) -> Fit | None:
    """Fit y = c * x ** value; None if a figure or variable is not positive."""
    if any(x <= 0 or y <= 0 for x, y in points):
        return None
    return line([(math.log(x), math.log(y)) for x, y in points])


def exponent_beyond_least(points: Points) -> Fit | None:
    """Fit the exponent of the need beyond that of the smallest x; None if some need no more.

    For y = a + b * x it is 1, whatever a is. Its interval holds the error of the smallest point:
    that is subtracted from all others, which do not scatter by it among themselves.
    """
    if not points:
        return None
    least_x = min(x for x, _ in points)
    at_least = [y for x, y in points if x == least_x]
    base = math.fsum(at_least) / len(at_least)
    beyond = [(x - least_x, y - base) for x, y in points if x > least_x]
    fit = exponent(beyond)
    if fit is None or fit.high is None:
        return fit
    half = math.hypot(fit.high - fit.value, _half_by_base(beyond, base, len(at_least), fit))
    return replace(fit, low=fit.value - half, high=fit.value + half)


def _half_by_base(beyond: Points, base: float, runs: int, fit: Fit) -> float:
    """Return how far the error of the subtracted point may have moved an exponent.

    Runs are taken to scatter by the same share of their value, at the smallest point as well.
    """
    logs = [math.log(x) for x, _ in beyond]
    mean = math.fsum(logs) / len(logs)
    spread = math.fsum((one - mean) ** 2 for one in logs)
    # How much the exponent grows for each unit subtracted in excess.
    slope = math.fsum((mean - one) / y for one, (_, y) in zip(logs, beyond, strict=True)) / spread
    residual = math.fsum(
        ((math.log(y) - fit.intercept - fit.value * one) * y / (y + base)) ** 2
        for one, (_, y) in zip(logs, beyond, strict=True)
    )
    degrees = len(beyond) - 2
    error = base * math.sqrt(residual / degrees / runs)
    return t_975(degrees) * abs(slope) * error


def increments(points: Points) -> list[tuple[float, float, float]]:
    """Return (from x, to x, cost of each more in between), by the means of neighbouring x."""
    by_x: dict[float, list[float]] = {}
    for x, y in points:
        by_x.setdefault(x, []).append(y)
    means = [(x, math.fsum(ys) / len(ys)) for x, ys in sorted(by_x.items())]
    return [
        (x, next_x, (next_y - y) / (next_x - x))
        for (x, y), (next_x, next_y) in itertools.pairwise(means)
    ]
