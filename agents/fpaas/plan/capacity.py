"""The plan: what a run's parameters allow, computed before anything is started.

Arithmetic over the poll schedule, with messages as a fluid: a durable is owed messages at a steady
rate, its polls take at most a batch each, and what is older than the stream's retention is gone.
The model follows the run's own timeline (offering, draining, the final look at the server), so that
its figures stand beside the measured ones: a run of a minute has expired nothing yet.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fpaas.consumers.pull_size import CONNECTIONS_MAX, OTHER_OPEN_FILES, PullSize
from fpaas.spec import NS_PER_S, SETTLE_S, RunSpec, split_consumers
from fpaas.spec.rates import RateSchedule

# Measured on the firehose in 2026.
FRAME_BYTES_MEAN = 5_460
FIREHOSE_MEAN_PER_S = 350.0
#: Subject, the two headers and the store's own 16 bytes, beside the frame.
MESSAGE_OVERHEAD_BYTES = 160

# Measured on nats-server 2.15.
NATS_RSS_IDLE_MB = 20.0
NATS_RSS_PER_STORED_BYTE = 1.5
NATS_BYTES_PER_MEMORY_CONSUMER = 45_000
#: An id of 45 characters that is kept against duplicates.
NATS_BYTES_PER_ID = 220
#: More than this pending on one connection, and the server cuts it off as a slow consumer.
NATS_MAX_PENDING_BYTES = 64 * 1024 * 1024


#: Polls of a durable followed one by one; of more, neighbours are taken as one larger poll.
POLLS_FOLLOWED = 10_000
#: Phases of the schedule to average over: many polls average by themselves.
PHASES_MIN, PHASES_MAX = 4, 40
PHASES_X_POLLS = 40_000


#: When, and for how many messages at most.
Poll = tuple[float, float]


@dataclass(frozen=True)
class Durable:
    """One durable's side of a run; a shared durable is polled by all consumers in turn."""

    owed_per_s: float
    poll_interval_s: float
    batch_size: float  # infinite: fetches until empty
    max_age_s: float
    max_messages: float
    #: Away for the last part of every period; the first poll after that fetches until empty.
    away_s: float = 0.0
    away_every_s: float = 0.0
    #: At what rates it is owed; None: always at the mean.
    schedule: RateSchedule | None = None
    offered_per_s: float = 0.0
    #: When it joins, and from when on it is served what was published; None: what is there then.
    joins_at_s: float = 0.0
    served_from_s: float | None = None

    def owed_by(self, at_s: float) -> float:
        """How many messages it was owed by a time."""
        if self.schedule is None:
            return self.owed_per_s * at_s
        offered = self.schedule.due_count(round(at_s * NS_PER_S) - 1)
        return offered * self.owed_per_s / self.offered_per_s

    def published_s(self, position: float) -> float:
        """When the message at a position was published."""
        if self.schedule is None:
            return position / self.owed_per_s
        index = int(position * self.offered_per_s / self.owed_per_s)
        return self.schedule.due_ns(index) / NS_PER_S

    def polls(self, interval_s: float, phase: float, batch_size: float, end_s: float) -> list[Poll]:
        """Return its polls: when, and for how much at most."""
        found: list[Poll] = []
        here_s = self.away_every_s - self.away_s
        absences = 0
        for number in itertools.count():
            at_s = interval_s * (number + phase)
            before = absences
            if self.away_s:
                absences = int(at_s / here_s)
                at_s += absences * self.away_s
            at_s += self.joins_at_s
            if at_s >= end_s:
                return found
            found.append((at_s, math.inf if absences > before else batch_size))
        return found


@dataclass
class Course:
    """How a durable fares, in messages; the mean over all phases of its schedule.

    `age_sum_s` adds up how old each delivered message was.
    """

    delivered: float = 0.0
    delivered_while_measuring: float = 0.0
    expired: float = 0.0
    pending: float = 0.0
    lag_at_offer_end: float = 0.0
    age_sum_s: float = 0.0
    first_expiry_s: float | None = None


def follow(
    durable: Durable, *, warmup_s: float, offer_s: float, end_s: float, settled_s: float
) -> Course:
    """Follow a durable through a run and average over the phases of its schedule.

    `delivered + expired + pending` is what it was owed. Times are seconds since T0; jitter is left
    out, for it moves polls without changing how many there are. Ages are a lower bound for a shared
    durable, whose many pollers do not come as evenly.
    """
    polls = end_s / durable.poll_interval_s
    # Taken together, they must still come several times before a message expires.
    together_max = durable.max_age_s / 4 / durable.poll_interval_s
    together = max(1, int(min(math.ceil(polls / POLLS_FOLLOWED), together_max)))
    interval_s = durable.poll_interval_s * together
    batch_size = durable.batch_size * together
    phases = max(PHASES_MIN, min(PHASES_MAX, int(PHASES_X_POLLS / max(polls / together, 1))))
    mean = Course()
    for phase in range(phases):
        course = _follow_phase(
            durable,
            durable.polls(interval_s, (phase + 0.5) / phases, batch_size, end_s),
            warmup_s=warmup_s,
            offer_s=offer_s,
            settled_s=settled_s,
        )
        mean.delivered += course.delivered / phases
        mean.delivered_while_measuring += course.delivered_while_measuring / phases
        mean.expired += course.expired / phases
        mean.pending += course.pending / phases
        mean.lag_at_offer_end += course.lag_at_offer_end / phases
        mean.age_sum_s += course.age_sum_s / phases
        if course.first_expiry_s is not None:
            earlier = mean.first_expiry_s
            mean.first_expiry_s = min(course.first_expiry_s, earlier or math.inf)
    return mean


def _follow_phase(
    durable: Durable,
    polls: list[Poll],
    *,
    warmup_s: float,
    offer_s: float,
    settled_s: float,
) -> Course:
    course = Course()
    if not durable.owed_per_s:
        return course
    # Messages before it are delivered or expired, or it was not there.
    position = first_served(durable, offer_s)

    def skip_expired(now_s: float) -> float:
        nonlocal position
        oldest = _oldest_stored(durable, now_s, offer_s)
        if oldest > position:
            if course.first_expiry_s is None:
                course.first_expiry_s = _first_expiry_s(durable, position)
            course.expired += oldest - position
            position = oldest
        return position

    lag_known = False
    for now_s, batch_size in polls:
        if now_s >= offer_s and not lag_known:
            lag_known = True
            course.lag_at_offer_end = durable.owed_by(offer_s) - skip_expired(offer_s)
        available = durable.owed_by(min(now_s, offer_s)) - skip_expired(now_s)
        taken = min(batch_size, available)
        course.age_sum_s += taken * (now_s - durable.published_s(position + taken / 2))
        position += taken
        course.delivered += taken
        if warmup_s <= now_s < offer_s:
            course.delivered_while_measuring += taken
    if not lag_known:
        course.lag_at_offer_end = durable.owed_by(offer_s) - skip_expired(offer_s)
    course.pending = durable.owed_by(offer_s) - skip_expired(settled_s)
    return course


def first_served(durable: Durable, offer_s: float) -> float:
    """Return how many messages come before the first that a durable is served."""
    if not durable.joins_at_s:
        return 0.0
    stored = _oldest_stored(durable, durable.joins_at_s, offer_s)
    if durable.served_from_s is None:
        return stored
    return max(stored, durable.owed_by(min(durable.served_from_s, offer_s)))


def _oldest_stored(durable: Durable, now_s: float, offer_s: float) -> float:
    """How many messages the stream has let go by a time."""
    offered = durable.owed_by(min(now_s, offer_s))
    too_old = min(durable.owed_by(max(0.0, now_s - durable.max_age_s)), offered)
    return max(0.0, too_old, offered - durable.max_messages)


def _first_expiry_s(durable: Durable, position: float) -> float:
    """When the message at a position left the stream."""
    return durable.published_s(position) + min(
        durable.max_age_s, durable.max_messages / durable.owed_per_s
    )


def connections_of(spec: RunSpec) -> int:
    """How many connections the consumers agents of a run open to NATS."""
    if spec.consumers.connections == "per_consumer":
        return spec.consumers.count
    together = [PullSize.of(of_class).pulls_at_a_time for of_class in spec.by_class()]
    found = 0
    for share in spec.shares.values():
        indices = range(share.first, share.first + share.count)
        members = Counter(map(spec.class_of, indices))
        found += sum(
            min(CONNECTIONS_MAX, math.ceil(count / together[number]))
            for number, count in members.items()
        )
    return found


_SUMS = (
    "owed_per_s",
    "processed_per_s",
    "owed",
    "delivered",
    "expired_unread",
    "pending_at_end",
    "pulls_per_s",
    "nats_net_tx_mbit_per_s",
)
_MEANS = (
    "owed_per_consumer_per_s",
    "processed_per_consumer_per_s",
    "consumer_lag_mean",
)


def predict(spec: RunSpec) -> dict[str, Any]:
    """Predict a run; this is `plan` in summary.json. Units are in the names.

    Of a mix, it adds up what its classes are predicted: `by_class` has each.
    """
    if not spec.consumers.classes:
        return _predict(spec)
    return _over_classes(
        spec, [(of_class.consumers.count, _predict(of_class)) for of_class in spec.by_class()]
    )


def by_class(spec: RunSpec) -> dict[str, dict[str, Any]]:
    """Predict each class of a mix; empty if all consumers poll alike."""
    return {
        of_class.consumers.classes[0].name: _predict(of_class)
        for of_class in spec.by_class()
        if of_class.consumers.classes
    }


def _predict(spec: RunSpec) -> dict[str, Any]:
    """Predict consumers that poll alike.

    Frames are as large as those of the capture that is played, or else as the firehose's own mean.
    Of a foreign relay the rate is not known before the run: the firehose's mean is assumed, and
    `offered_per_s_assumed` says so.
    """
    c = spec.consumers
    offer_s = spec.warmup_s + spec.measure_s
    end_s = offer_s + spec.drain_s
    rate_per_s = spec.firehose.rate_per_s or FIREHOSE_MEAN_PER_S
    frames = spec.frames_due() or math.ceil(offer_s * rate_per_s)
    frame_bytes = spec.firehose.frame_bytes_mean or FRAME_BYTES_MEAN
    message_bytes = frame_bytes + MESSAGE_OVERHEAD_BYTES
    max_messages = spec.stream.max_bytes / message_bytes
    size = PullSize.of(spec)
    # A pull ends at its batch, or when the next message does not fit.
    pull_messages = min(c.batch_size, max(1.0, size.bytes_max // message_bytes))
    # Repeats of what failed take their part of it.
    one = c.only_class
    new_a_pull = pull_messages / (one.deliveries_mean if one else 1.0)
    each_s = one.processing_s_mean if one else 0.0
    # Who processes what it fetched polls again when it is done.
    interval_s, batch_size = max(c.poll_interval_s, new_a_pull * each_s), new_a_pull
    if c.fetch == "drain":
        interval_s = c.poll_interval_s
        batch_size = max(1.0, interval_s / each_s) if each_s else math.inf

    # Fan-out: a durable each, owed all. Partitioned: a durable each, owed a part. Shared: one.
    durables = 1 if c.delivery == "shared" else c.count
    owed_share = 1 / c.count if c.delivery == "partitioned" else c.owed_share
    durable = Durable(
        owed_per_s=rate_per_s * owed_share,
        poll_interval_s=interval_s / (c.count if c.delivery == "shared" else 1),
        batch_size=batch_size,
        max_age_s=spec.stream.max_age_s,
        max_messages=max_messages * owed_share,
        away_s=one.away_s if one else 0.0,
        away_every_s=one.away_every_s if one else 0.0,
        schedule=RateSchedule(spec.firehose.rate_steps) if spec.firehose.rate_steps else None,
        offered_per_s=rate_per_s,
        joins_at_s=c.joins_at_s,
        served_from_s=one.served_from_s if one else None,
    )
    course = follow(
        durable,
        warmup_s=spec.warmup_s,
        offer_s=offer_s,
        end_s=end_s,
        settled_s=end_s + SETTLE_S,
    )
    owed = (frames * owed_share - first_served(durable, offer_s)) * durables
    delivered = course.delivered * durables
    expired = course.expired * durables
    processed_per_s = course.delivered_while_measuring * durables / spec.measure_s

    # Who was away fetches until empty.
    has_capacity = batch_size < math.inf and not durable.away_s
    capacity_per_consumer = batch_size / interval_s if has_capacity else None
    fills_s = max_messages / rate_per_s
    retention_s = min(spec.stream.max_age_s, fills_s)
    stream_messages = rate_per_s * min(retention_s, offer_s)
    stream_bytes = stream_messages * message_bytes
    ids = round(rate_per_s * min(spec.stream.duplicate_window_s, offer_s))
    together = size.pulls_at_a_time
    connections = sum(
        share.count
        if c.connections == "per_consumer"
        else min(CONNECTIONS_MAX, math.ceil(share.count / together))
        for share in split_consumers(c.count, list(spec.shares)).values()
    )
    per_connection = math.ceil(c.count / connections)
    return {
        "frame_bytes_mean": round(frame_bytes, 1),
        "pull_messages_max": pull_messages,
        "offered_per_s": rate_per_s,
        "offered_per_s_max": spec.firehose.fastest_per_s or rate_per_s,
        "offered_per_s_assumed": spec.firehose.rate_per_s is None,
        "frames_offered": frames,
        "capacity_per_consumer_per_s": capacity_per_consumer,
        "capacity_per_s": None
        if capacity_per_consumer is None
        else capacity_per_consumer * c.count,
        "owed_per_consumer_per_s": rate_per_s * owed_share * durables / c.count,
        "owed_per_s": rate_per_s * owed_share * durables,
        "processed_per_s": processed_per_s,
        "processed_per_consumer_per_s": processed_per_s / c.count,
        "owed": round(owed),
        "delivered": round(delivered),
        "expired_unread": round(expired),
        "pending_at_end": round(owed) - round(delivered) - round(expired),
        "unread_share": _unread_share(owed, delivered),
        "steady_unread_share": _steady_unread_share(durable, retention_s),
        "first_expiry_s": course.first_expiry_s,
        "retention_s": retention_s,
        "retention_limit": "max_age" if spec.stream.max_age_s <= fills_s else "max_bytes",
        "consumer_lag_mean": round(course.lag_at_offer_end),
        "delivery_age_s_mean": course.age_sum_s / course.delivered if course.delivered else None,
        "pulls_per_s": _pulls_per_s(spec, durable),
        "stream_messages": round(stream_messages),
        "stream_bytes": round(stream_bytes),
        "stream_max_bytes": spec.stream.max_bytes,
        "duplicate_window_entries": ids,
        "duplicate_window_bytes": ids * NATS_BYTES_PER_ID,
        "nats_rss_mb": _nats_rss_mb(spec, stream_bytes, durables, ids),
        "connections": connections,
        "connection_in_flight_bytes_max": (
            min(per_connection, size.pulls_at_a_time) * min(size.batch_bytes, size.bytes_max)
        ),
        "nats_net_rx_mbit_per_s": rate_per_s * message_bytes * 8 / 1e6,
        "nats_net_tx_mbit_per_s": processed_per_s * message_bytes * 8 / 1e6,
        "open_files": connections + OTHER_OPEN_FILES,
    }


def _over_classes(spec: RunSpec, classes: list[tuple[int, dict[str, Any]]]) -> dict[str, Any]:
    """Add up what each class is predicted; `classes` are (consumers, prediction)."""
    plans = [plan for _, plan in classes]

    def total(name: str) -> Any:  # noqa: ANN401
        values = [plan[name] for plan in plans]
        return None if None in values else sum(values)

    def mean(name: str, weights: Sequence[float]) -> float | None:
        pairs = [(plan[name], weight) for plan, weight in zip(plans, weights, strict=True)]
        if any(value is None and weight for value, weight in pairs) or not sum(weights):
            return None
        together: float = sum(value * weight for value, weight in pairs if weight)
        return together / sum(weights)

    counts = [float(count) for count, _ in classes]
    owed = [float(plan["owed"]) for plan in plans]
    first_expiries_s = [p["first_expiry_s"] for p in plans if p["first_expiry_s"] is not None]
    connections = connections_of(spec)
    durables = spec.consumers.count
    ids = plans[0]["duplicate_window_entries"]
    return {
        **plans[0],
        **{name: total(name) for name in _SUMS},
        **{name: mean(name, counts) for name in _MEANS},
        # Each class has its own: what one has to spare is nothing to another.
        "capacity_per_consumer_per_s": None,
        "capacity_per_s": None,
        "pull_messages_max": max(plan["pull_messages_max"] for plan in plans),
        "unread_share": _unread_share(total("owed"), total("delivered")),
        "steady_unread_share": mean("steady_unread_share", owed),
        "first_expiry_s": min(first_expiries_s, default=None),
        "delivery_age_s_mean": mean(
            "delivery_age_s_mean", [float(plan["delivered"]) for plan in plans]
        ),
        "nats_rss_mb": _nats_rss_mb(spec, plans[0]["stream_bytes"], durables, ids),
        "connections": connections,
        "connection_in_flight_bytes_max": max(
            plan["connection_in_flight_bytes_max"] for plan in plans
        ),
        "open_files": connections + OTHER_OPEN_FILES,
    }


def _unread_share(owed: float, delivered: float) -> float:
    return max(0.0, 1 - delivered / owed) if owed else 0.0


def _steady_unread_share(durable: Durable, retention_s: float) -> float:
    """Share of what is owed that no poll can reach, however long the run."""
    owed_a_poll = durable.owed_per_s * durable.poll_interval_s
    if not owed_a_poll:
        return 0.0
    reachable = durable.owed_per_s * min(durable.poll_interval_s, retention_s)
    return 1 - min(durable.batch_size, reachable) / owed_a_poll


def _pulls_per_s(spec: RunSpec, durable: Durable) -> float:
    """Pull requests of all consumers; the last pull of a drain is the one that comes back short."""
    c = spec.consumers
    polls_per_s = c.count / c.poll_interval_s
    if c.fetch == "once":
        return polls_per_s
    return polls_per_s * (1 + durable.owed_per_s * durable.poll_interval_s // c.batch_size)


def _nats_rss_mb(spec: RunSpec, stream_bytes: float, durables: int, ids: int) -> float | None:
    """Memory of the server; None with file storage, where the page cache decides."""
    if spec.stream.storage != "memory":
        return None
    others = durables * NATS_BYTES_PER_MEMORY_CONSUMER + ids * NATS_BYTES_PER_ID
    return NATS_RSS_IDLE_MB + (NATS_RSS_PER_STORED_BYTE * stream_bytes + others) / 1e6
