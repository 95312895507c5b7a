"""What a run is: the run.json made of checked variables and of a lab's hosts."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec

from fpaas import json_input, regular
from fpaas.common_time import NS_PER_S
from fpaas.errors import SpecError
from fpaas.spec import class_counts, faults, kinds, rates
from fpaas.spec.acks import ACKS
from fpaas.spec.faults import Fault
from fpaas.spec.mix import PARTITIONS, SUBJECT_ROOT, ConsumerClass
from fpaas.spec.rates import RateStep
from fpaas.spec.variables import CURSOR_PLACES, REPLAYS

SCHEMA = 1
#: Since 2, agents' event logs have lost connections, other servers and leaders, cut-offs and set
#: clocks; before, only samples show these. Since then, the control node's files are always there.
EVENT_LOG = 2
STREAM_NAME = "ATPROTO_FIREHOSE"
DURABLE_PREFIX = "fpaas"
#: Between the consumers' last poll and the final look at the server, so that pulls in flight end.
SETTLE_S = 2.0


@dataclass(frozen=True)
class Scenario:
    """Name and goal, for the report; `goals` are limits by name (fpaas.verdict.goals).

    None if it states none: then there are defaults. A limit of null is of one class that does not
    have a goal which the others have.
    """

    name: str
    title: str
    goal: str
    goals: Mapping[str, float | None] | None = None


@dataclass(frozen=True)
class Firehose:
    """What the shuffler reads: our relay at a rate, or a foreign relay (rate and first_seq None).

    Frame i (i = 0, 1, …) of our relay has seq `first_seq + i` and is due at T0 + i / rate, or as
    `rate_steps` say, for as long as warm-up and measuring last; then `rate_per_s` is their mean in
    the run. `replay` is one of REPLAYS. `frame_bytes_mean` is a
    capture's own, None of others. A relay that sends no event for `stuck_s` is reconnected;
    `silent_max_s` and `lag_max_s` are how long it may be silent, and fall behind, in a valid run
    (None: follows from the window). A valid run has at most `undecodable_max_frames` that cannot be
    decoded.
    """

    source: str
    rate_per_s: float | None
    seed: int
    first_seq: int | None
    relay_url: str
    frame_bytes_mean: float | None = None
    replay: str = REPLAYS[0]
    mix: dict[str, int] = field(default_factory=dict)
    stuck_s: float = 10.0
    silent_max_s: float | None = None
    lag_max_s: float | None = None
    undecodable_max_frames: int = 0
    rate_steps: list[RateStep] = field(default_factory=list)

    @property
    def slowest_per_s(self) -> float | None:
        """The least rate of our relay; None of a foreign one."""
        ends = [one for step in self.rate_steps for one in step.rates]
        return min(ends, default=self.rate_per_s)

    @property
    def fastest_per_s(self) -> float | None:
        """The highest rate of our relay; None of a foreign one."""
        ends = [one for step in self.rate_steps for one in step.rates]
        return max(ends, default=self.rate_per_s)


@dataclass(frozen=True)
class Stream:
    """Every limit of the stream, explicit; `count` streams share the firehose, and `max_bytes`."""

    name: str
    subjects: list[str]
    storage: str
    max_age_s: float
    max_bytes: int
    duplicate_window_s: float
    replicas: int
    max_consumers: int
    compression: str = "none"
    #: How often its files are synced to the disk; 0: before each ack. None of older runs.
    sync_interval_s: float | None = None
    #: `async`: the server acks what it has not written to its files yet.
    persist_mode: str = "default"
    count: int = 1

    def name_of(self, number: int) -> str:
        """Name one of the streams; the only one has the bare name."""
        # All of one length, so that the server's answers are cut at one place.
        return f"{self.name}_{number:02}" if self.is_split else self.name

    @property
    def names(self) -> list[str]:
        """Name each stream, in order."""
        return [self.name_of(number) for number in range(self.count)]

    @property
    def is_split(self) -> bool:
        """Whether the firehose is in several streams."""
        return self.count > 1


@dataclass(frozen=True)
class Consumers:
    """The consumers' parameters; `partitions` is 0 unless delivery is partitioned.

    A durable that nobody pulls from for `inactive_threshold_s` is deleted by the server; 0: never.
    `classes` are those of a mix, each with its own way to poll; empty: all poll alike.
    """

    count: int
    poll_interval_s: float
    poll_jitter_pct: float
    batch_size: int
    delivery: str
    fetch: str
    connections: str
    workers: str | int
    ack_wait_s: float
    max_ack_pending: int
    max_waiting: int
    partitions: int
    classes: list[ConsumerClass] = field(default_factory=list)
    inactive_threshold_s: float = 0.0
    #: One of ACKS.
    ack: str = ACKS[0]
    #: One of KINDS.
    kind: str = kinds.PULL

    @property
    def is_pushed(self) -> bool:
        """Whether consumers get messages without asking for them."""
        return self.kind != kinds.PULL

    @property
    def is_ordered(self) -> bool:
        """Whether they are ordered consumers, which have no durables."""
        return self.kind == kinds.ORDERED

    @property
    def only_class(self) -> ConsumerClass | None:
        """The class of consumers that all poll alike; None without a mix."""
        [one] = self.classes or (None,)
        return one

    @property
    def away_s(self) -> float:
        """How long consumers that all poll alike are away at a time."""
        return self.only_class.away_s if self.only_class else 0.0

    @property
    def joins_at_s(self) -> float:
        """When consumers that all poll alike join."""
        return self.only_class.joins_at_s if self.only_class else 0.0

    @property
    def owed_share(self) -> float:
        """Share of the stream that consumers are owed, if all poll alike."""
        return self.only_class.owed_share if self.only_class else 1.0


@dataclass(frozen=True)
class Share:
    """The consumers that one host plays: indices first … first + count - 1."""

    first: int
    count: int


@dataclass(frozen=True)
class RunSpec:
    """One run, as executed; this is run.json. Times are Unix nanoseconds, durations seconds."""

    schema: int
    run_id: str
    scenario: Scenario
    t0_unix_ns: int
    warmup_s: float
    measure_s: float
    drain_s: float
    seed: int
    firehose: Firehose
    stream: Stream
    consumers: Consumers
    nats_url: str
    nats_monitoring_url: str
    hosts: dict[str, list[str]]
    shares: dict[str, Share]
    variables: dict[str, Any] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    #: Each host's address for the other hosts; empty in older runs.
    addresses: dict[str, str] = field(default_factory=dict)
    #: What to add to each host's clock to have the common time, ns; hosts that were not compared
    #: are missing.
    clock_shifts_ns: dict[str, int] = field(default_factory=dict)
    #: The same of the control node, to a second.
    control_clock_shift_ns: int = 0
    #: One of CURSOR_PLACES.
    cursor_place: str = CURSOR_PLACES[0]
    #: EVENT_LOG of the agents that play it; of older runs 1.
    event_log: int = 1

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
