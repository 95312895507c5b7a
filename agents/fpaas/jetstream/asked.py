"""What a run asks of JetStream, every limit explicit, as requests of its API have it.

Whoever makes the stream or a durable, first or again, asks for this. Durations are nanoseconds.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from fpaas.spec import NS_PER_S, RunSpec

#: The protocol allows frames of 5 MB; headers come on top.
MAX_MSG_BYTES = 8 * 1024 * 1024

Config = dict[str, Any]


@dataclass(frozen=True)
class Durable:
    """One durable consumer to be; several consumer indices share one in `shared` delivery."""

    name: str
    filter_subjects: tuple[str, ...]
    #: How often a message is delivered at most; -1: no limit.
    max_deliver: int = -1


def durables_of(spec: RunSpec, indices: Iterable[int]) -> list[Durable]:
    """Return the durables that consumers with these indices pull from, each once, in order."""
    classes = spec.consumers.classes
    return list(
        dict.fromkeys(
            Durable(
                spec.durable_of(i),
                tuple(spec.filters_of(i)),
                (classes[spec.class_of(i)].max_deliver or -1) if classes else -1,
            )
            for i in indices
        )
    )


def stream(spec: RunSpec) -> Config:
    """Return the stream as the run wants it; nothing is left to the server's defaults."""
    asked = spec.stream
    return {
        "name": asked.name,
        "subjects": asked.subjects,
        "retention": "limits",
        "storage": asked.storage,
        "discard": "old",
        "max_age": _ns(asked.max_age_s),
        "max_bytes": asked.max_bytes,
        "max_msgs": -1,
        "max_msgs_per_subject": -1,
        "max_msg_size": MAX_MSG_BYTES,
        "max_consumers": asked.max_consumers,
        "duplicate_window": _ns(asked.duplicate_window_s),
        "num_replicas": asked.replicas,
        "allow_direct": True,
        "compression": asked.compression,
    }


def durable(spec: RunSpec, one: Durable) -> Config:
    """Return a pull durable: explicit acks, from the first message on."""
    consumers = spec.consumers
    filters = one.filter_subjects
    return {
        "name": one.name,
        "durable_name": one.name,
        **(
            {"filter_subject": filters[0]}
            if len(filters) == 1
            else {"filter_subjects": list(filters)}
        ),
        "deliver_policy": "all",
        "replay_policy": "instant",
        "ack_policy": "explicit",
        "ack_wait": _ns(consumers.ack_wait_s),
        "max_deliver": one.max_deliver,
        "max_ack_pending": consumers.max_ack_pending,
        "max_waiting": consumers.max_waiting,
        **(
            {"inactive_threshold": _ns(consumers.inactive_threshold_s)}
            if consumers.inactive_threshold_s
            else {}
        ),
        "num_replicas": spec.stream.replicas,
        "mem_storage": spec.stream.storage == "memory",
    }


def _ns(seconds: float) -> int:
    return round(seconds * NS_PER_S)
