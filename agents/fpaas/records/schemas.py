"""JSON Schema of the files of a run, and of those over many: `fpaas schema` shows one."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import msgspec

from fpaas.measures.intervals import IntervalSet
from fpaas.records import (
    control,
    failures,
    manifest,
    metrics,
    nats,
    network,
    probe,
    seal,
    summary,
    sweep,
)
from fpaas.records.consumers import WorkerResult, WorkerSample
from fpaas.records.control import ControlAccount, InvalidMarks
from fpaas.records.events import EventRecord
from fpaas.records.failures import FailureTable
from fpaas.records.manifest import Manifest
from fpaas.records.metrics import KeptMetrics
from fpaas.records.nats import FinalSnapshot, NatsSample
from fpaas.records.network import NetworkResult
from fpaas.records.probe import ClockExchange, HostSample, ProbeResult, ProcessSample
from fpaas.records.relay import RelayResult, RelaySample
from fpaas.records.seal import Seal
from fpaas.records.shuffler import ShufflerResult, ShufflerSample
from fpaas.records.status import AgentStatus
from fpaas.records.summary import Summary
from fpaas.records.sweep import Sweep
from fpaas.spec import RunSpec


@dataclass(frozen=True)
class File:
    """A kind of file: what it is called in its directory, and what is in it."""

    #: As the shell has it: * stands for an agent, or for consumers-W.
    pattern: str
    #: The type of the file, or of each line of a `.jsonl`.
    record: type


FILES = {
    "run": File("run.json", RunSpec),
    "summary": File(summary.NAME, Summary),
    "manifest": File(manifest.NAME, Manifest),
    "control": File(control.NAME, ControlAccount),
    "invalid": File(control.INVALID, InvalidMarks),
    "status": File("*.status.json", AgentStatus),
    "events": File("*.events.jsonl", EventRecord),
    "relay": File("relay.json", RelayResult),
    "relay.samples": File("relay.samples.jsonl", RelaySample),
    "shuffler": File("shuffler.json", ShufflerResult),
    "shuffler.samples": File("shuffler.samples.jsonl", ShufflerSample),
    "probe": File(probe.NAME, ProbeResult),
    "probe.host": File(probe.HOST, HostSample),
    "probe.processes": File(probe.PROCESSES, ProcessSample),
    "probe.nats": File(nats.SAMPLES, NatsSample),
    "probe.final": File(nats.FINAL, FinalSnapshot),
    "probe.clock": File(probe.CLOCK, ClockExchange),
    "network": File(network.NAME, NetworkResult),
    "metrics": File(metrics.NAME, KeptMetrics),
    "seal": File(seal.NAME, Seal),
    "consumers": File("consumers-[0-9]*.json", WorkerResult),
    "consumers.samples": File("consumers-[0-9]*.samples.jsonl", WorkerSample),
    "sweep": File(sweep.NAME, Sweep),
    "failures": File(failures.NAME, FailureTable),
}


def of(name: str) -> dict[str, Any]:
    """Return the schema of a kind of file, of each line if it has lines. Raises KeyError.

    `name` is the kind's, or that of one of its files.
    """
    file = FILES.get(name) or _with_file(name)
    schema = msgspec.json.schema(file.record, schema_hook=_of_other)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": file.pattern,
        **schema,
    }


def _with_file(name: str) -> File:
    for file in FILES.values():
        if name == file.pattern or fnmatchcase(name, file.pattern):
            return file
    raise KeyError(name)


def _of_other(kind: type) -> dict[str, Any]:
    if kind is IntervalSet:
        bound = {"type": "integer"}
        pair = {"type": "array", "prefixItems": [bound, bound], "minItems": 2, "maxItems": 2}
        return {
            "type": "array",
            "items": pair,
            "description": "a set of integers: [first, last], …, both included, in order",
        }
    raise NotImplementedError(f"{kind.__name__} is in no record")
