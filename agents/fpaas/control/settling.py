"""Asks a run's bundle whether its load had settled."""

from __future__ import annotations

import csv
from collections import defaultdict
from pathlib import Path

from fpaas.report import figure_files
from fpaas.search import steady_state
from fpaas.search.steady_state import Unsettled

#: (series, of) of figures/series.csv → what a person calls it: what consumers get, what waits.
WATCHED = {
    ("messages_per_s", "processed"): "what consumers process",
    ("calls_open", "pulls"): "the number of pulls without answer",
}
FILE = "series.csv"


def unsettled(bundle: Path, warmup_s: float, measure_s: float, *, holds: bool) -> Unsettled | None:
    """Return what makes a run say nothing of its load; None if it counts."""
    found: dict[str, list[float]] = defaultdict(list)
    try:
        with (bundle / figure_files.DIRECTORY / FILE).open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                what = WATCHED.get((row["series"], row["of"]))
                if what and 0 <= float(row["seconds_since_t0"]) < warmup_s + measure_s:
                    found[what].append(float(row["value"]))
    except OSError:
        return None
    return steady_state.unsettled(found, warmup_s, holds=holds)
