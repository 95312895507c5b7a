"""A run's stream and durables, every limit explicit, as requests of JetStream's API.

They are always made from these requests, first or again. Durations are nanoseconds.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from fpaas.spec import NS_PER_S, RunSpec, acks, starts

#: The protocol allows frames of 5 MB; headers come on top.
MAX_MSG_BYTES = 8 * 1024 * 1024
#: Subject and queue group of push durables: all subscribers of one durable are in that group.
_DELIVER_TO = "fpaas.deliver"
DELIVER_GROUP = "fpaas-consumers"
#: For ordered consumers, as clients make them (NATS ADR-17): they are not deleted before the run
#: is looked at last.
HEARTBEAT_S = 5
_ORDERED_INACTIVE_S = 300

Config = dict[str, Any]


@dataclass(frozen=True)
class Durable:
    """One durable consumer to be; several consumer indices share one in `shared` delivery."""

    name: str
    filter_subjects: tuple[str, ...]
    stream: str
    #: How often a message is delivered at most; -1: no limit.
    max_deliver: int = -1
    #: Which message is the first; of `by_start_time`, what was stored from then on.
    deliver_policy: str = "all"
    start_unix_ns: int = 0

    def again(self) -> Durable:
        """Return it as it is for a stream that was made again.

        What is in that was published since, or again because somebody had not received it.
        """
        return replace(self, deliver_policy="all", start_unix_ns=0)


def durables_of(spec: RunSpec, indices: Iterable[int]) -> list[Durable]:
    """Return the durables that consumers with these indices pull from, each once, in order.

    Those of classes that join late are not there from the start: `late_durables_of`.
    """
    if spec.consumers.is_ordered:
        # Each consumer makes its own, and makes it again.
        return []
    return _durables(spec, (i for i in indices if not _is_late(spec, i)))


def late_durables_of(spec: RunSpec, indices: Iterable[int]) -> list[Durable]:
    """Return the durables of those whose classes join when the run goes on already."""
    return _durables(spec, (i for i in indices if _is_late(spec, i)))


def _is_late(spec: RunSpec, index: int) -> bool:
    classes = spec.consumers.classes
    return bool(classes) and classes[spec.class_of(index)].is_late


def _durables(spec: RunSpec, indices: Iterable[int]) -> list[Durable]:
    return list(
        dict.fromkeys(
            Durable(
                spec.durable_of(i),
                tuple(spec.filters_of(i)),
                spec.stream.name_of(spec.stream_of(i)),
                **_own_of(spec, i),
            )
            for i in indices
        )
    )


def _own_of(spec: RunSpec, index: int) -> dict[str, Any]:
    """Return what a durable has of its class."""
    if not spec.consumers.classes:
        return {}
    one = spec.consumers.classes[spec.class_of(index)]
    own: dict[str, Any] = {"max_deliver": one.max_deliver or -1}
    back_s = starts.last_s(one.start)
    if back_s is not None:
        own["deliver_policy"] = "by_start_time"
        own["start_unix_ns"] = spec.t0_unix_ns + _ns(one.joins_at_s - back_s)
    elif one.start == starts.NEW:
        own["deliver_policy"] = "new"
    return own


def stream(spec: RunSpec, number: int = 0) -> Config:
    """Return a stream as the run wants it; nothing is left to the server's defaults."""
    asked = spec.stream
    return {
        "name": asked.name_of(number),
        "subjects": spec.subjects_of(number),
        "retention": "limits",
        "storage": asked.storage,
        "discard": "old",
        "max_age": _ns(asked.max_age_s),
        "max_bytes": asked.max_bytes // asked.count,
        "max_msgs": -1,
        "max_msgs_per_subject": -1,
        "max_msg_size": MAX_MSG_BYTES,
        "max_consumers": asked.max_consumers,
        "duplicate_window": _ns(asked.duplicate_window_s),
        "num_replicas": asked.replicas,
        "allow_direct": True,
        "compression": asked.compression,
        # Servers before 2.12 do not know it.
        **({} if asked.persist_mode == "default" else {"persist_mode": asked.persist_mode}),
    }


def durable(spec: RunSpec, one: Durable) -> Config:
    """Return a durable of the run's kind.

    One that pushes has neither idle heartbeats nor flow control: of a queue group, only one member
    would get them. Unacknowledged messages are limited instead.
    """
    consumers = spec.consumers
    filters = one.filter_subjects
    return {
        "name": one.name,
        "durable_name": one.name,
        **_filter(filters),
        "deliver_policy": one.deliver_policy,
        **({"opt_start_time": _rfc3339(one.start_unix_ns)} if one.start_unix_ns else {}),
        "replay_policy": "instant",
        "ack_policy": consumers.ack,
        "max_deliver": one.max_deliver,
        # Without acks nothing waits for one.
        **(
            {
                "ack_wait": _ns(consumers.ack_wait_s),
                "max_ack_pending": consumers.max_ack_pending,
            }
            if consumers.ack != acks.NONE
            else {}
        ),
        **(
            {"deliver_subject": deliver_subject(one.name), "deliver_group": DELIVER_GROUP}
            if consumers.is_pushed
            else {"max_waiting": consumers.max_waiting}
        ),
        **(
            {"inactive_threshold": _ns(consumers.inactive_threshold_s)}
            if consumers.inactive_threshold_s
            else {}
        ),
        "num_replicas": spec.stream.replicas,
        "mem_storage": spec.stream.storage == "memory",
    }


def ordered_name(durable: str, worker: int, number: int) -> str:
    """Return the name of one of the ordered consumers that stand in a durable's place."""
    return f"{durable}-{worker}-{number}"


def ordered(
    spec: RunSpec, index: int, name: str, *, deliver_to: str, after_stream_seq: int
) -> Config:
    """Return an ordered consumer that goes on after a message, 0: begins with the first."""
    return {
        "name": name,
        "deliver_subject": deliver_to,
        **_filter(tuple(spec.filters_of(index))),
        **(
            {"deliver_policy": "by_start_sequence", "opt_start_seq": after_stream_seq + 1}
            if after_stream_seq
            else {"deliver_policy": "all"}
        ),
        "replay_policy": "instant",
        "ack_policy": acks.NONE,
        "max_deliver": 1,
        "flow_control": True,
        "idle_heartbeat": _ns(HEARTBEAT_S),
        "inactive_threshold": _ns(_ORDERED_INACTIVE_S),
        "num_replicas": 1,
        "mem_storage": True,
    }


def _filter(subjects: tuple[str, ...]) -> Config:
    if len(subjects) == 1:
        return {"filter_subject": subjects[0]}
    return {"filter_subjects": list(subjects)}


def deliver_subject(durable: str) -> str:
    """Return the subject of a push durable."""
    return f"{_DELIVER_TO}.{durable}"


def _rfc3339(unix_ns: int) -> str:
    seconds, ns = divmod(unix_ns, NS_PER_S)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{ns:09}Z"


def _ns(seconds: float) -> int:
    return round(seconds * NS_PER_S)
