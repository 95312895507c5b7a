"""Delivery logs of 1000 consumers over an hour at 450 messages/s: their size, and merging them.

Three kinds: polls that take one batch and find most of it expired, polls that take all there is, so
that each consumer receives every message, and such polls every five seconds. `merge` reads the logs
and balances them; the journal is what a worker has on its disk until it ends.
"""

from __future__ import annotations

import random
import tempfile
import time
from pathlib import Path
from typing import Any

from fpaas.ledger.deliveries import Walk, split_repeats
from fpaas.measures import delivery_log
from fpaas.measures.delivery_log import DeliveryJournal, DeliveryLog

CONSUMERS = 1000
RATE_PER_S = 450
RUN_S = 3600
QUICK_S = 360
BATCH = 100
MAX_AGE_S = 300
JITTER = 0.2
SIZE_MB_MAX = 50
MERGE_S_MAX = 10


def logs_of(run_s: int, interval_s: int, *, drain: bool) -> list[DeliveryLog]:
    """Play every consumer's polls, with phases and jitter as the agents have them."""
    logs = []
    draw = random.Random(1).uniform
    for index in range(CONSUMERS):
        log = DeliveryLog(index, f"fpaas-{index:05d}")
        at_s = interval_s * index / CONSUMERS
        next_seq, consumer_seq = 1, 1
        while at_s < run_s:
            last = int(at_s * RATE_PER_S)
            first = max(next_seq, last - MAX_AGE_S * RATE_PER_S + 1)
            count = last - first + 1 if drain else min(BATCH, last - first + 1)
            if count > 0:
                log.runs.extend((int(at_s * 1000), first, consumer_seq, count))
                next_seq, consumer_seq = first + count, consumer_seq + count
            at_s += interval_s * draw(1 - JITTER, 1 + JITTER)
        logs.append(log)
    return logs


def measure(directory: Path, logs: list[DeliveryLog]) -> tuple[float, float, float]:
    """Write logs and merge them; returns MB, MB of the journal, and seconds to read and merge."""
    path, journal_path = directory / "deliveries.cbor.gz", directory / "journal"
    delivery_log.write(path, logs)
    journal = DeliveryJournal(journal_path, logs)
    journal.append()
    journal_mb = journal_path.stat().st_size / 1e6
    journal.close()
    began = time.monotonic()
    received = 0
    for log in delivery_log.read(path):
        walk = Walk()
        for life, consumer_seq, stream_seq, count, number in sorted(split_repeats(log)):
            walk.take(life, consumer_seq, stream_seq, count, repeated=number > 1)
        received += walk.distinct()
    seconds = time.monotonic() - began
    if received != sum(sum(log.runs[3::4]) for log in logs):
        raise RuntimeError(f"{received} deliveries were read back")
    return path.stat().st_size / 1e6, journal_mb, seconds


def run(*, quick: bool) -> list[dict[str, Any]]:
    """Return sizes and times, of six minutes if `quick`."""
    run_s = QUICK_S if quick else RUN_S
    results = []
    for name, interval_s, drain in (
        ("a batch a minute", 60, False),
        ("all, every minute", 60, True),
        ("all, every 5 s", 5, True),
    ):
        with tempfile.TemporaryDirectory() as directory:
            size_mb, journal_mb, seconds = measure(
                Path(directory), logs_of(run_s, interval_s, drain=drain)
            )
        for what, value, unit, limit in (
            ("size", size_mb, "MB", SIZE_MB_MAX),
            ("merge", seconds, "s", MERGE_S_MAX),
            ("journal", journal_mb, "MB", None),
        ):
            results.append(
                {
                    "name": f"{name}: {what}",
                    "value": value,
                    "unit": unit,
                    "target": None if limit is None else f"≤ {limit} {unit}",
                    "met": None if limit is None else value <= limit,
                }
            )
    return results
