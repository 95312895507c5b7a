"""A rate that changes by a schedule: steps, ramps, bursts, which are played over and over.

All arithmetic is in integers, so that every agent finds the same frame due at the same time.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import accumulate
from typing import Annotated, Any

from fpaas.common_time import NS_PER_S
from fpaas.errors import SpecError
from fpaas.spec.described import doc
from fpaas.spec.values import Variable, number

RATE_PER_S = number(450, 0.1, 50_000, "frames per second")
STEPS_MAX = 1000
_FOR_S = number(1, 0.1, 86_400, "seconds")
#: At the pace of the capture that is played, or at so many times that pace.
_CAPTURED = re.compile(r"captured(?: ?[*x] ?(?P<speed>\d+(?:\.\d+)?))?", re.ASCII)
_FIELDS = ("for_s", "rate_per_s", "to_per_s")
#: A frame, in the units that rates of a thousandth of a frame per second have each nanosecond.
_FRAME = 1000 * NS_PER_S
#: A ramp is played in stairs of that length.
_STAIR_NS = 100_000_000


@dataclass(frozen=True)
class RateStep:
    """A stretch of the schedule; `to_per_s` is the rate that it ramps to, None: none."""

    for_s: Annotated[float, doc("how long it lasts")]
    rate_per_s: Annotated[float, doc("frames/s at its beginning")]
    to_per_s: Annotated[float | None, doc("frames/s at its end; null: the same")] = None

    @property
    def rates(self) -> tuple[float, float]:
        """The rates that it begins and ends with."""
        return self.rate_per_s, self.rate_per_s if self.to_per_s is None else self.to_per_s

    @property
    def entry(self) -> dict[str, float]:
        """It as the variable has it."""
        return {key: value for key, value in asdict(self).items() if value is not None}


class RateSchedule:
    """When frames are due under steps that repeat; see fpaas.firehose.pace."""

    def __init__(self, steps: Sequence[RateStep]) -> None:
        lengths: list[int] = []
        self._rates: list[int] = []
        for step in steps:
            length = round(step.for_s * NS_PER_S)
            begin, end = step.rates
            stairs = 1 if end == begin else max(1, length // _STAIR_NS)
            for stair in range(stairs):
                rate = begin + (end - begin) * (stair + 0.5) / stairs
                lengths.append(length * (stair + 1) // stairs - length * stair // stairs)
                self._rates.append(max(1, round(1000 * rate)))
        self._starts_ns = list(accumulate(lengths, initial=0))
        each = [length * rate for length, rate in zip(lengths, self._rates, strict=True)]
        self._offered = list(accumulate(each, initial=0))

    def due_ns(self, index: int) -> int:
        """Return when frame `index` is due."""
        rounds, rest = divmod(index * _FRAME, self._offered[-1])
        at = bisect_right(self._offered, rest) - 1
        within = self._starts_ns[at] + (rest - self._offered[at]) // self._rates[at]
        return rounds * self._starts_ns[-1] + within

    def due_count(self, elapsed_ns: int) -> int:
        """Return how many frames are due by then; 0 before T0."""
        if elapsed_ns < 0:
            return 0
        rounds, rest = divmod(elapsed_ns, self._starts_ns[-1])
        at = bisect_right(self._starts_ns, rest) - 1
        within = self._offered[at] + self._rates[at] * (rest - self._starts_ns[at] + 1)
        offered = rounds * self._offered[-1] + min(within, self._offered[at + 1])
        return -(-offered // _FRAME)


@dataclass(frozen=True)
class Rate(Variable):
    """The variable: a number, a list of steps or JSON of one, or that it is a capture's."""

    def read(self, name: str, value: Any) -> Any:  # noqa: ANN401
        """Check it and return a number, or steps or text as they were given; raises SpecError."""
        if captured_speed(value):
            return value
        if isinstance(value, str) and value.strip().startswith("["):
            value = self.structured(name, value)
        if not isinstance(value, list):
            return super().read(name, value)
        if not 0 < len(value) <= STEPS_MAX:
            raise SpecError(f"{name}: {value!r:.80} is not allowed; {self.allowed}")
        return [_step(f"{name}[{number}]", one) for number, one in enumerate(value)]


def _step(what: str, one: object) -> dict[str, float]:
    if not isinstance(one, Mapping) or not set(one) <= set(_FIELDS):
        raise SpecError(f"{what}: {one!r} is not allowed; expected {', '.join(_FIELDS)}")
    for key in ("for_s", "rate_per_s"):
        if key not in one:
            raise SpecError(f"{what}: {key}: must be there")
    return {
        key: (_FOR_S if key == "for_s" else RATE_PER_S).read(f"{what}: {key}", one[key])
        for key in _FIELDS
        if key in one
    }


RATE = Rate(
    RATE_PER_S.default,
    "number",
    f"{RATE_PER_S.allowed}; or a list of steps that repeat, like "
    '[{"for_s": 50, "rate_per_s": 300}, {"for_s": 10, "rate_per_s": 300, "to_per_s": 2000}]; '
    "or captured, or captured*60: at the pace of the capture that is played, or 60 times that",
    RATE_PER_S.minimum,
    RATE_PER_S.maximum,
)


def captured_speed(value: object) -> float | None:
    """Return how many times as fast as it was recorded a capture is played; None of other rates."""
    found = _CAPTURED.fullmatch(value) if isinstance(value, str) else None
    return float(found["speed"] or 1) if found else None


def frames_in(steps: Sequence[RateStep], seconds: float) -> int:
    """Return how many frames are due within a time from T0 on, before its end."""
    return RateSchedule(steps).due_count(round(seconds * NS_PER_S) - 1)


def steps_of(value: float | list[dict[str, float]]) -> list[RateStep]:
    """Return the steps of a schedule, none of a number."""
    return [RateStep(**one) for one in value] if isinstance(value, list) else []
