"""The probe's own cost to its host."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import psutil

from fpaas.records import probe as records


@dataclass
class Cost:
    """Processor time and memory of this process since it was made."""

    _process: psutil.Process = field(default_factory=psutil.Process)
    _cpu_s: float = field(default_factory=time.process_time)
    _began_s: float = field(default_factory=time.monotonic)
    rss_mb_max: float = 0.0

    def observe(self) -> None:
        """Look at the memory now."""
        self.rss_mb_max = max(self.rss_mb_max, self._process.memory_info().rss / 1e6)

    def figures(self) -> records.OwnCost:
        """As in probe.json."""
        self.observe()
        cpu_s = time.process_time() - self._cpu_s
        cpu_pct = 100 * cpu_s / max(time.monotonic() - self._began_s, 1e-9)
        return records.OwnCost(cpu_pct_mean=cpu_pct, cpu_s=cpu_s, rss_mb_max=self.rss_mb_max)
