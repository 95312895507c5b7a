"""A load in words: at what rate frames come, and how consumers poll and answer."""

from __future__ import annotations

from collections.abc import Iterator

from fpaas.agreement import agreeing, count_of
from fpaas.spec import ConsumerClass, Firehose, RunSpec, acks, starts
from fpaas.text.plan_figures import rate

_DELIVERY_WORDS = {
    "fanout": "fan-out (each is owed every message)",
    "shared": "shared (one durable, the work is split)",
    "partitioned": "partitioned (each is owed its own part)",
}
_SPLIT_WORDS = _DELIVERY_WORDS | {
    "fanout": "fan-out (each is owed every message of its stream)",
    "shared": "shared (one durable of each stream, the work is split)",
}


def delivery(spec: RunSpec) -> str:
    """Say who is owed what, and of how many streams."""
    c, count = spec.consumers, spec.stream.count
    if not spec.stream.is_split:
        return _DELIVERY_WORDS[c.delivery]
    return f"{_SPLIT_WORDS[c.delivery]}; {count} streams, each consumer reads one of them"


def rate_of(firehose: Firehose) -> str:
    """Say at what rate our relay offers frames; nothing if the relay is foreign."""
    if firehose.rate_per_s is None:
        return ""
    slowest_per_s, fastest_per_s = firehose.slowest_per_s, firehose.fastest_per_s
    if not firehose.rate_steps or slowest_per_s is None or fastest_per_s is None:
        return f"{firehose.rate_per_s:g} frames/s"
    count, length_s = len(firehose.rate_steps), sum(one.for_s for one in firehose.rate_steps)
    return (
        f"{rate(slowest_per_s)} to {rate(fastest_per_s)} frames/s, "
        f"{count_of(count, 'step|steps')}, repeated every {length_s:g} s; "
        f"{rate(firehose.rate_per_s)} frames/s on average"
    )


def polls(spec: RunSpec) -> str:
    """Say how often consumers that poll alike poll, and for how much."""
    c = spec.consumers
    if c.is_pushed:
        return "none: " + pushed(spec)
    batches = f"{c.batch_size} {agreeing(c.batch_size, 'message|messages')} per batch"
    if c.fetch == "drain":
        batches = f"until empty, {batches}"
    said = f"every {c.poll_interval_s:g} s ± {c.poll_jitter_pct:g} %, {batches}"
    return "; ".join([said, *(_habits(c.classes[0]) if len(c.classes) == 1 else ())])


def pushed(spec: RunSpec) -> str:
    """Say how much consumers are pushed."""
    c = spec.consumers
    if c.is_ordered:
        return (
            "messages are pushed as they are stored, under flow control; what is missing makes a "
            "consumer begin again after what it received"
        )
    if c.ack == acks.NONE:
        return "messages are pushed as they are stored, whether they are read or not"
    return (
        "messages are pushed as they are stored, while at most "
        f"{c.max_ack_pending:,} of a durable wait for their ack"
    )


def _habits(one: ConsumerClass) -> Iterator[str]:
    """Say how the consumers of a class work."""
    if one.is_late:
        yield f"joins after {one.joins_at_s:g} s, {starts.written(one.start)}"
    if one.processing_ms:
        at_most = f", p99 {one.processing_p99_ms:g} ms" if one.processing_p99_ms else ""
        yield f"{one.processing_ms:g} ms for each message{at_most}"
    if one.away_s:
        yield (
            f"away for the last {one.away_s:g} s of every {one.away_every_s:g} s, when no poll is "
            "due, then catching up"
        )
    yield from _answers(one)


def wanted(one: ConsumerClass) -> str:
    """Say what a class of a mix is owed."""
    parts = [
        f"{name} {', '.join(map(str, values))}"
        for name, values in (
            ("kinds", one.kinds),
            ("partitions", one.partitions),
            ("collections", one.collections),
        )
        if values
    ]
    return "; ".join(parts) or "everything"


def _answers(one: ConsumerClass) -> Iterator[str]:
    """Say what a class answers to deliveries, other than acks at once."""
    if one.terminate_pct:
        yield f"terminates {one.terminate_pct:g} %"
    times = {1: "once", 2: "twice"}.get(one.fail_times, f"{one.fail_times} times")
    if one.nak_pct:
        delay = f", to be delivered after {one.nak_delay_s:g} s" if one.nak_delay_s else ""
        yield f"naks {one.nak_pct:g} % {times}{delay}"
    if one.no_ack_pct:
        yield f"does not ack {one.no_ack_pct:g} % {times}"
    if one.in_progress_pct:
        yield f"says that {one.in_progress_pct:g} % are in progress"
    if one.max_deliver:
        yield f"max_deliver {one.max_deliver}"
