"""What a run is: the run.json made of checked variables and of a lab's hosts."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

import msgspec

from fpaas import json_input, regular
from fpaas.common_time import NS_PER_S
from fpaas.errors import SpecError
from fpaas.spec import class_counts, faults, rates
from fpaas.spec.described import doc
from fpaas.spec.faults import Fault
from fpaas.spec.mix import PARTITIONS, SUBJECT_ROOT
from fpaas.spec.run_parts import Consumers, Firehose, Scenario, Share, Stream
from fpaas.spec.variables import CURSOR_PLACES

SCHEMA = 1
#: Since 2, agents' event logs have lost connections, other servers and leaders, cut-offs and set
#: clocks; before, only samples show these. Since then, the control node's files are always there.
EVENT_LOG = 2
STREAM_NAME = "ATPROTO_FIREHOSE"
DURABLE_PREFIX = "fpaas"
#: Between the consumers' last poll and the final look at the server, so that pulls in flight end.
SETTLE_S = 2.0


@dataclass(frozen=True)
class RunSpec:
    """One run, as executed; this is run.json. Times are Unix nanoseconds, durations seconds."""

    schema: Annotated[int, doc("version of this file's form")]
    run_id: Annotated[str, doc("<UTC time>-<name>")]
    scenario: Annotated[Scenario, doc("what is played, and why")]
    t0_unix_ns: Annotated[int, doc("when the load begins, Unix time, ns; 0: not armed yet")]
    warmup_s: Annotated[float, doc("length of the warm-up")]
    measure_s: Annotated[float, doc("length of the measured window")]
    drain_s: Annotated[float, doc("length of the drain")]
    seed: Annotated[int, doc("of everything random")]
    firehose: Annotated[Firehose, doc("what the shuffler reads")]
    stream: Annotated[Stream, doc("as NATS is asked for it")]
    consumers: Annotated[Consumers, doc("how many, how they poll, and what NATS is asked for them")]
    nats_url: Annotated[str, doc("all servers, separated by commas")]
    nats_monitoring_url: Annotated[str, doc("of the first server")]
    hosts: Annotated[dict[str, list[str]], doc("host names by group")]
    shares: Annotated[dict[str, Share], doc("by host, the consumers that it plays")]
    variables: Annotated[dict[str, Any], doc("the bench_* variables that the run was made of")] = (
        field(default_factory=dict)
    )
    faults: Annotated[list[Fault], doc("bench_faults, in order")] = field(default_factory=list)
    addresses: Annotated[
        dict[str, str], doc("host → its address for the other hosts; empty in older runs")
    ] = field(default_factory=dict)
    clock_shifts_ns: Annotated[
        dict[str, int], doc("host → what to add to its clock to get the common time, ns")
    ] = field(default_factory=dict)
    control_clock_shift_ns: Annotated[int, doc("the same for the control node, to a second")] = 0
    cursor_place: Annotated[str, doc("where the shuffler keeps its cursor: file or nats")] = (
        CURSOR_PLACES[0]
    )
    event_log: Annotated[int, doc("version of the agents' event logs; 1: older runs")] = 1

    def clock_shift_ns(self, host: str | None) -> int:
        """Return what to add to a host's clock to have the common time; 0 if it is not known."""
        return self.clock_shifts_ns.get(host, 0) if host else 0

    def only_host(self, group: str) -> str | None:
        """Name the host of a group that has one; None if it has none."""
        hosts = self.hosts.get(group)
        return hosts[0] if hosts else None

    @property
    def is_armed(self) -> bool:
        """Whether it has its T0: one that is only planned has 0."""
        return self.t0_unix_ns > 0

    @property
    def survives_a_server(self) -> bool:
        """Whether stream and durables outlive one NATS server: a majority of replicas is left."""
        return self.stream.replicas > 2

    @property
    def measure_from_unix_ns(self) -> int:
        """End of warm-up."""
        return self.t0_unix_ns + round(self.warmup_s * NS_PER_S)

    @property
    def offer_until_unix_ns(self) -> int:
        """End of measuring: the relay stops offering."""
        return self.measure_from_unix_ns + round(self.measure_s * NS_PER_S)

    @property
    def end_unix_ns(self) -> int:
        """End of draining: the consumers stop polling."""
        return self.offer_until_unix_ns + round(self.drain_s * NS_PER_S)

    @property
    def cuts_unix_ns(self) -> tuple[int, ...]:
        """Where phases meet; everything sampled is sampled there too."""
        return (
            self.t0_unix_ns,
            self.measure_from_unix_ns,
            self.offer_until_unix_ns,
            self.end_unix_ns,
        )

    @property
    def settled_unix_ns(self) -> int:
        """Consumers are silent; the server's final figures are taken."""
        return self.end_unix_ns + round(SETTLE_S * NS_PER_S)

    def phase(self, now_unix_ns: int) -> str:
        """Name what the run is doing."""
        ends = {
            "starting": self.t0_unix_ns,
            "warm-up": self.measure_from_unix_ns,
            "measuring": self.offer_until_unix_ns,
            "draining": self.end_unix_ns,
            "settling": self.settled_unix_ns,
        }
        return next((phase for phase, until_ns in ends.items() if now_unix_ns < until_ns), "over")

    def frames_due(self) -> int | None:
        """How many frames our relay offers; None of a foreign relay."""
        if self.firehose.rate_per_s is None:
            return None
        offer_s = self.warmup_s + self.measure_s
        if self.firehose.rate_steps:
            return rates.frames_in(self.firehose.rate_steps, offer_s)
        return math.ceil(offer_s * self.firehose.rate_per_s)

    @property
    def partitions(self) -> int:
        """How many partitions subjects have; a DID is always in the same one."""
        return self.consumers.partitions or PARTITIONS

    def stream_of(self, consumer_index: int) -> int:
        """Return the number of the stream that serves a consumer: they take turns."""
        return consumer_index % self.stream.count

    def subjects_of(self, stream: int) -> list[str]:
        """Subjects of a stream; of several, each has every `count`-th partition."""
        if not self.stream.is_split:
            return self.stream.subjects
        numbers = range(stream, self.partitions, self.stream.count)
        return [f"{SUBJECT_ROOT}.*.{number}.>" for number in numbers]

    def durable_of(self, consumer_index: int) -> str:
        """Name of the durable that a consumer pulls from; no two streams have the same one."""
        if self.consumers.delivery == "shared":
            if self.stream.is_split:
                return f"{DURABLE_PREFIX}-shared-{self.stream_of(consumer_index):02}"
            return f"{DURABLE_PREFIX}-shared"
        return f"{DURABLE_PREFIX}-{consumer_index:05d}"

    def filters_of(self, consumer_index: int) -> list[str]:
        """Subject filters of a consumer's durable, which do not overlap."""
        if self.consumers.delivery == "partitioned":
            return [f"{SUBJECT_ROOT}.*.{consumer_index}.>"]
        if self.consumers.classes:
            return self.consumers.classes[self.class_of(consumer_index)].filters()
        return [f"{SUBJECT_ROOT}.>"]

    def class_of(self, consumer_index: int) -> int:
        """Return the number of a consumer's class, 0 if all poll alike."""
        return self._class_of[consumer_index] if self.consumers.classes else 0

    @cached_property
    def _class_of(self) -> list[int]:
        return class_counts.spread([one.count for one in self.consumers.classes])

    @property
    def has_filters(self) -> bool:
        """Whether classes are owed a part of the stream only."""
        return any(one.is_filtered for one in self.consumers.classes)

    def by_class(self) -> list[RunSpec]:
        """Return the run as each class sees it, as if it were alone; one if all poll alike.

        Indices, durables and hosts' shares are still those of the whole run: ask that.
        """
        return [
            replace(
                self,
                consumers=replace(
                    self.consumers,
                    count=one.count,
                    poll_interval_s=one.poll_interval_s,
                    poll_jitter_pct=one.poll_jitter_pct,
                    batch_size=one.batch_size,
                    fetch=one.fetch,
                    classes=[one],
                ),
            )
            for one in self.consumers.classes
        ] or [self]

    def to_json(self) -> str:
        """Encode as run.json."""
        content = {**asdict(self), "faults": [fault.to_dict() for fault in self.faults]}
        return json.dumps(content, indent=2) + "\n"

    @classmethod
    def load(cls, path: Path) -> RunSpec:
        """Read run.json. Raises SpecError that names the file and what is wrong with it."""
        try:
            text = regular.read_text(path)
        except OSError as error:
            raise SpecError(f"{path}: cannot be read: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise SpecError(f"{path}: is not JSON: {error}") from error
        return cls.from_json(text, str(path))

    @classmethod
    def from_json(cls, text: str, source: str) -> RunSpec:
        """Decode run.json. Raises SpecError that names the source and what is wrong with it."""
        try:
            raw = json_input.loads(text)
        except ValueError as error:
            raise SpecError(f"{source}: is not JSON: {error}") from error
        try:
            if raw["schema"] != SCHEMA:
                raise SpecError(f"{source}: schema {raw['schema']}, expected {SCHEMA}")
            entries = raw.get("faults", [])
            raw["faults"] = faults.LIST.read(f"{source}: faults", entries)
            return msgspec.convert(raw, cls)
        except (KeyError, TypeError, AttributeError, msgspec.ValidationError) as error:
            raise SpecError(f"{source}: is not a run.json: {error}") from error


def split_consumers(count: int, hosts: list[str]) -> dict[str, Share]:
    """Split consumers over hosts as evenly as whole numbers allow, first hosts get the rest."""
    shares: dict[str, Share] = {}
    first = 0
    for position, host in enumerate(hosts):
        size = count // len(hosts) + (position < count % len(hosts))
        shares[host] = Share(first, size)
        first += size
    return shares
