"""How long a consumer takes over a message: the same each time, or lognormally distributed.

A draw follows from the run's seed, the consumer and the delivery, as polls do.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

from fpaas.consumers.schedule import uniform
from fpaas.spec import RunSpec

_NORMAL = NormalDist()
_Z99 = _NORMAL.inv_cdf(0.99)
_SEED_OF_DRAWS = 0x70726F63


@dataclass(frozen=True)
class ProcessingTime:
    """Lognormal with this mean and 99th percentile; without the latter, always the mean."""

    mean_ms: float
    p99_ms: float | None
    seed: int

    @classmethod
    def of(cls, spec: RunSpec) -> ProcessingTime | None:
        """Return the one for consumers that poll alike; None if they take no time."""
        one = spec.consumers.only_class
        if one is None or not one.processing_ms:
            return None
        return cls(one.processing_ms, one.processing_p99_ms or None, spec.seed)

    def draw_ns(self, consumer: int, consumer_seq: int) -> int:
        """Return how long a consumer takes over a delivery."""
        if self.p99_ms is None:
            return round(self.mean_ms * 1e6)
        sigma = self._sigma()
        location = math.log(self.mean_ms) - sigma**2 / 2
        share = uniform(self.seed ^ _SEED_OF_DRAWS, consumer, consumer_seq)
        # A share of 0 has no quantile.
        return round(1e6 * math.exp(location + sigma * _NORMAL.inv_cdf(max(share, 1e-12))))

    def _sigma(self) -> float:
        """Solve mean = exp(m + s²/2) and p99 = exp(m + z s) for s."""
        assert self.p99_ms is not None, "it is distributed"  # noqa: S101
        return _Z99 - math.sqrt(_Z99**2 - 2 * math.log(self.p99_ms / self.mean_ms))
