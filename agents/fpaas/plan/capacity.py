"""The plan: what a run's parameters allow, computed before anything is started.

Its figures stand beside the measured ones, for `fluid` follows the run's own timeline: a run of a
minute has expired nothing yet.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

from fpaas.consumers.pull_size import CONNECTIONS_MAX, OTHER_OPEN_FILES, PullSize
from fpaas.plan.fluid import Durable, first_served, follow, push
from fpaas.spec import SETTLE_S, RunSpec, split_consumers
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

    For a mix, it adds up the predictions of its classes, which are in `by_class`.
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
    A foreign relay's rate is not known before the run: the firehose's mean is assumed, and
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
    # Repeats of failed messages take their part of it.
    one = c.only_class
    new_a_pull = pull_messages / (one.deliveries_mean if one else 1.0)
    each_s = one.processing_s_mean if one else 0.0
    # A consumer that processes its messages polls again when it is done.
    interval_s, batch_size = max(c.poll_interval_s, new_a_pull * each_s), new_a_pull
    if c.fetch == "drain":
        interval_s = c.poll_interval_s
        batch_size = max(1.0, interval_s / each_s) if each_s else math.inf

    # Fan-out: a durable each, owed all of its stream. Partitioned: a durable each, owed a part.
    # Shared: one of each stream.
    streams = spec.stream.count
    durables = streams if c.delivery == "shared" else c.count
    owed_share = 1 / c.count if c.delivery == "partitioned" else c.owed_share / streams
    durable = Durable(
        owed_per_s=rate_per_s * owed_share,
        poll_interval_s=interval_s / (c.count / durables),
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
    course = (
        push(durable, spec.warmup_s, offer_s)
        if c.is_pushed
        else follow(
            durable,
            warmup_s=spec.warmup_s,
            offer_s=offer_s,
            end_s=end_s,
            settled_s=end_s + SETTLE_S,
        )
    )
    owed = (frames * owed_share - first_served(durable, offer_s)) * durables
    delivered = course.delivered * durables
    expired = course.expired * durables
    processed_per_s = course.delivered_while_measuring * durables / spec.measure_s

    # A consumer that was away fetches until it has everything.
    has_capacity = batch_size < math.inf and not durable.away_s and not c.is_pushed
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
        "steady_unread_share": 0.0 if c.is_pushed else _steady_unread_share(durable, retention_s),
        "first_expiry_s": course.first_expiry_s,
        "retention_s": retention_s,
        "retention_limit": "max_age" if spec.stream.max_age_s <= fills_s else "max_bytes",
        "consumer_lag_mean": round(course.lag_at_offer_end),
        "delivery_age_s_mean": course.age_sum_s / course.delivered
        if course.delivered and not c.is_pushed
        else None,
        "pulls_per_s": _pulls_per_s(spec, durable),
        "stream_messages": round(stream_messages),
        "stream_bytes": round(stream_bytes),
        "stream_max_bytes": spec.stream.max_bytes,
        "duplicate_window_entries": ids,
        "duplicate_window_bytes": ids * NATS_BYTES_PER_ID,
        "nats_rss_mb": _nats_rss_mb(spec, stream_bytes, durables, ids),
        "connections": connections,
        "connection_in_flight_bytes_max": (
            per_connection * size.batch_bytes
            if c.is_pushed
            else min(per_connection, size.pulls_at_a_time) * min(size.batch_bytes, size.bytes_max)
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
    if c.is_pushed:
        return 0.0
    polls_per_s = c.count / c.poll_interval_s
    if c.fetch == "once":
        return polls_per_s
    return polls_per_s * (1 + durable.owed_per_s * durable.poll_interval_s // c.batch_size)


def _nats_rss_mb(spec: RunSpec, stream_bytes: float, durables: int, ids: int) -> float | None:
    """Memory of the server; None with file storage: the page cache decides."""
    if spec.stream.storage != "memory":
        return None
    others = durables * NATS_BYTES_PER_MEMORY_CONSUMER + ids * NATS_BYTES_PER_ID
    return NATS_RSS_IDLE_MB + (NATS_RSS_PER_STORED_BYTE * stream_bytes + others) / 1e6
