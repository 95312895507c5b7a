"""The run's faults as Prometheus metrics: which are in effect on this host, and when each was."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily

from fpaas.records.events import FAULT, SUFFIX, EventRecord, read
from fpaas.spec import NS_PER_S, RunSpec
from fpaas.spec.faults import AGENT, RELAY, targets

log = logging.getLogger(__name__)

LABELS = ("run_id", "fault", "do", "on")
#: Agents that execute faults and note them.
WRITERS = (AGENT, RELAY)


def seen(directory: Path) -> dict[int, EventRecord]:
    """Read what became of this host's faults so far, by number, from their agents' event files."""
    found = {}
    for writer in WRITERS:
        try:
            events, _ = read(directory / f"{writer}.{SUFFIX}")
        except FileNotFoundError:
            continue
        except OSError as error:
            log.warning("faults are not in the metrics: %s", error)
            continue
        for event in events:
            number = event.parameters.get("number")
            if event.kind == FAULT and isinstance(number, int):
                found[number] = event
    return found


def metrics(spec: RunSpec, host: str, events: dict[int, EventRecord]) -> Iterator[Metric]:
    """Yield the metrics of the faults that a host has; times are of the common time."""
    active = GaugeMetricFamily(
        "fpaas_run_fault_active", "1 while a fault of the run is in effect.", labels=LABELS
    )
    began = GaugeMetricFamily(
        "fpaas_run_fault_begin_timestamp_seconds", "When a fault began.", labels=LABELS
    )
    ended = GaugeMetricFamily(
        "fpaas_run_fault_end_timestamp_seconds", "When a fault was undone.", labels=LABELS
    )
    for number, fault in enumerate(spec.faults):
        if all(target.host != host for target in targets(fault, spec.hosts)):
            continue
        labels = [spec.run_id, str(number), fault.do, fault.on]
        event = events.get(number)
        active.add_metric(labels, int(event is not None and event.end_unix_ns is None))
        if event is not None:
            began.add_metric(labels, event.begin_unix_ns / NS_PER_S)
        if event is not None and event.end_unix_ns is not None:
            ended.add_metric(labels, event.end_unix_ns / NS_PER_S)
    yield from (active, began, ended)
