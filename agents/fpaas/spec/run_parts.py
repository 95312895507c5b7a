"""Parts of run.json: scenario, firehose, stream, consumers, and a host's share of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated

from fpaas.spec import kinds
from fpaas.spec.acks import ACKS
from fpaas.spec.described import doc
from fpaas.spec.mix import ConsumerClass
from fpaas.spec.rates import RateStep
from fpaas.spec.variables import REPLAYS


@dataclass(frozen=True)
class Scenario:
    """Name and goal, for the report; `goals` are limits by name (fpaas.verdict.goals).

    None if it states none: then there are defaults. A limit of null is of one class that does not
    have a goal which the others have.
    """

    name: Annotated[str, doc("part of the run id")]
    title: Annotated[str, doc("for the report")]
    goal: Annotated[str, doc("what it should find out")]
    goals: Annotated[Mapping[str, float | None] | None, doc("limits by name")] = None


@dataclass(frozen=True)
class Firehose:
    """What the shuffler reads: our relay at a rate, or a foreign relay (rate and first_seq None).

    Frame i (i = 0, 1, …) of our relay has seq `first_seq + i` and is due at T0 + i / rate, or as
    `rate_steps` say, for as long as warm-up and measuring last; then `rate_per_s` is their mean in
    the run. `replay` is one of REPLAYS.
    """

    source: Annotated[str, doc("synthetic, a capture file, or a relay's URL")]
    rate_per_s: Annotated[float | None, doc("frames/s, on average; null: a foreign relay")]
    seed: Annotated[int, doc("of synthetic frames")]
    first_seq: Annotated[int | None, doc("of the first frame; null: a foreign relay")]
    relay_url: Annotated[str, doc("where the shuffler reads")]
    frame_bytes_mean: Annotated[float | None, doc("of a capture's frames")] = None
    replay: Annotated[str, doc("whether a replay includes the cursor's own frame")] = REPLAYS[0]
    mix: Annotated[dict[str, int], doc("frames of each rare kind in 1000")] = field(
        default_factory=dict
    )
    stuck_s: Annotated[float, doc("without an event, until the shuffler reconnects")] = 10.0
    silent_max_s: Annotated[
        float | None, doc("longest silence of a valid run; null: from its window")
    ] = None
    lag_max_s: Annotated[
        float | None, doc("most that a relay may fall behind; null: from the window")
    ] = None
    undecodable_max_frames: Annotated[int, doc("bad frames that a valid run may have")] = 0
    rate_steps: Annotated[list[RateStep], doc("the schedule of rates, if they change")] = field(
        default_factory=list
    )

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

    name: Annotated[str, doc("of the stream, or the beginning of several names")]
    subjects: Annotated[list[str], doc("what it takes")]
    storage: Annotated[str, doc("memory or file")]
    max_age_s: Annotated[float, doc("until a message expires")]
    max_bytes: Annotated[int, doc("of all streams together")]
    duplicate_window_s: Annotated[float, doc("in which NATS recognises a repeated publish")]
    replicas: Annotated[int, doc("copies in a cluster")]
    max_consumers: Annotated[int, doc("durables that it may have")]
    compression: Annotated[str, doc("none or s2")] = "none"
    sync_interval_s: Annotated[
        float | None, doc("between syncs to the disk; 0: before each ack; null: older runs")
    ] = None
    persist_mode: Annotated[str, doc("default, or async: acked before it is written")] = "default"
    count: Annotated[int, doc("streams that share the firehose")] = 1

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
    """The consumers' parameters."""

    count: Annotated[int, doc("how many")]
    poll_interval_s: Annotated[float, doc("between two polls of a consumer")]
    poll_jitter_pct: Annotated[float, doc("per cent of the interval, either way")]
    batch_size: Annotated[int, doc("messages that a pull asks for")]
    delivery: Annotated[str, doc("fanout, shared or partitioned")]
    fetch: Annotated[str, doc("once or drain")]
    connections: Annotated[str, doc("auto or per_consumer")]
    workers: Annotated[str | int, doc("processes of each host, or auto")]
    ack_wait_s: Annotated[float, doc("until a message without an ack is repeated")]
    max_ack_pending: Annotated[int, doc("messages of a durable that may await their ack")]
    max_waiting: Annotated[int, doc("pulls that may wait at a durable")]
    partitions: Annotated[int, doc("0 unless delivery is partitioned")]
    classes: Annotated[list[ConsumerClass], doc("of a mix; empty: all consumers are alike")] = (
        field(default_factory=list)
    )
    inactive_threshold_s: Annotated[
        float, doc("without a pull, until a durable is deleted; 0: never")
    ] = 0.0
    ack: Annotated[str, doc("explicit, all or none")] = ACKS[0]
    kind: Annotated[str, doc("pull, push or ordered")] = kinds.PULL

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

    first: Annotated[int, doc("index of the first consumer")]
    count: Annotated[int, doc("consumers")]
