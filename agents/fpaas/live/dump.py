"""All that a host's agents have written so far, as the output of one shell command. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import msgspec

from fpaas.latency import leg_kinds
from fpaas.records.consumers import WorkerSample
from fpaas.records.events import EventRecord
from fpaas.records.nats import NatsSample
from fpaas.records.probe import HostSample, ProcessSample
from fpaas.records.relay import RelaySample
from fpaas.records.shuffler import ShufflerSample
from fpaas.records.status import AgentStatus
from fpaas.spec import NS_PER_S

R = TypeVar("R")

SEPARATOR = "==> "
#: Not a file: what time the host has, Unix s.
CLOCK = "clock"
#: Samples are a second apart, those of NATS five.
SAMPLES_MAX = 240
#: Latencies are of this many lines of each log, about as many seconds.
LATENCY_LINES = 10
#: The legs that every run is told by, as far as agents record them: names by their tag.
LEGS = {
    recorded: leg for leg in leg_kinds.headline_legs() if (recorded := leg_kinds.LEGS[leg].recorded)
}
TITLES = {recorded: leg_kinds.LEGS[leg].title for recorded, leg in LEGS.items()}

#: Run in the directory of a run; reads little however long the run is.
COMMAND = f"""
cat_of() {{ for f in $1; do [ -f "$f" ] && echo "{SEPARATOR}$f" && cat "$f" && echo; done; }}
end_of() {{ for f in $1; do [ -f "$f" ] && echo "{SEPARATOR}$f" && tail -n $2 "$f"; done; }}
echo "{SEPARATOR}{CLOCK}" && date +%s
cat_of 'run.json *.status.json'
end_of '*.samples.jsonl probe.host.jsonl probe.nats.jsonl' {SAMPLES_MAX}
end_of '*.events.jsonl' 40
end_of probe.processes.jsonl 40
for f in shuffler.hlog consumers-*.hlog; do
  [ -f "$f" ] || continue
  echo "{SEPARATOR}$f"
  for leg in {" ".join(TITLES)}; do
    tail -n 400 "$f" | grep "^Tag=$leg," | tail -n {LATENCY_LINES}
  done
done
true
"""


@dataclass
class HostDump:
    """One host's part, parsed; lines that are torn or of another kind are left out."""

    run_json: str = ""
    #: By the host's own clock, when it was asked; None: it does not say.
    clock_unix_ns: int | None = None
    statuses: list[AgentStatus] = field(default_factory=list)
    relay: list[RelaySample] = field(default_factory=list)
    shuffler: list[ShufflerSample] = field(default_factory=list)
    workers: list[list[WorkerSample]] = field(default_factory=list)
    host: list[HostSample] = field(default_factory=list)
    processes: list[ProcessSample] = field(default_factory=list)
    nats: list[NatsSample] = field(default_factory=list)
    #: Each with who wrote it.
    events: list[tuple[str, EventRecord]] = field(default_factory=list)
    #: Encoded histograms by leg.
    histograms: dict[str, list[str]] = field(default_factory=dict)

    def events_as_known_last(self) -> list[tuple[str, EventRecord]]:
        """Return each event once: what lasts is written again when it has ended."""
        return list(
            {(who, one.kind, one.begin_unix_ns): (who, one) for who, one in self.events}.values()
        )


_SAMPLES: dict[str, tuple[str, type[msgspec.Struct]]] = {
    "relay.samples.jsonl": ("relay", RelaySample),
    "shuffler.samples.jsonl": ("shuffler", ShufflerSample),
    "probe.host.jsonl": ("host", HostSample),
    "probe.processes.jsonl": ("processes", ProcessSample),
    "probe.nats.jsonl": ("nats", NatsSample),
}


def parse(text: str) -> HostDump:
    """Read what COMMAND printed."""
    dump = HostDump()
    for name, lines in _files(text):
        if name == "run.json":
            dump.run_json = "\n".join(lines)
        elif name == CLOCK and lines and lines[0].isdecimal():
            dump.clock_unix_ns = int(lines[0]) * NS_PER_S
        elif name.endswith(".status.json"):
            found = [status for line in lines if (status := AgentStatus.parse(line)) is not None]
            dump.statuses += found
        elif name.endswith(".events.jsonl"):
            writer = name.removesuffix(".events.jsonl")
            dump.events += [(writer, event) for event in _records(lines, EventRecord)]
        elif name.endswith(".hlog"):
            _add_histograms(dump, lines)
        elif name in _SAMPLES:
            attribute, kind = _SAMPLES[name]
            setattr(dump, attribute, _records(lines, kind))
        elif name.endswith(".samples.jsonl"):
            dump.workers.append(_records(lines, WorkerSample))
    return dump


def _files(text: str) -> Iterator[tuple[str, list[str]]]:
    for part in ("\n" + text.replace("\r\n", "\n")).split("\n" + SEPARATOR)[1:]:
        name, *lines = part.split("\n")
        yield name, [line for line in lines if line]


def _records(lines: Sequence[str], kind: type[R]) -> list[R]:
    decoder = msgspec.json.Decoder(kind)
    found = []
    for line in lines:
        try:
            found.append(decoder.decode(line))
        except (msgspec.DecodeError, ValueError):
            continue
    return found


def _add_histograms(dump: HostDump, lines: Sequence[str]) -> None:
    for line in lines:
        tag, *_, payload = line.removeprefix("Tag=").split(",")
        dump.histograms.setdefault(tag, []).append(payload)
