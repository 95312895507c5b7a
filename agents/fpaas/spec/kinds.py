"""How consumers get their messages: they poll for them, or are pushed to. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fpaas.errors import SpecError

PULL, PUSH = "pull", "push"
KINDS = (PULL, PUSH)
WORDS = {
    PULL: "pull durables, which consumers poll",
    PUSH: "push durables, each with a queue group",
}
#: What a push durable may have unacknowledged, unless a run says otherwise: the server's default.
MAX_ACK_PENDING = 1000
#: What says how to poll; of no effect on who does not.
OF_POLLS = (
    "bench_poll_interval_s",
    "bench_poll_jitter_pct",
    "bench_batch_size",
    "bench_fetch",
)


def check(values: Mapping[str, Any]) -> None:
    """Refuse what consumers that are pushed to cannot do. Raises SpecError that names it."""
    if values["bench_consumer_kind"] != PUSH:
        return
    if values["bench_mix"]:
        raise SpecError(
            "bench_mix: classes are not allowed with bench_consumer_kind=push; they are of "
            "consumers that poll"
        )
    if values["bench_inactive_threshold_s"]:
        raise SpecError(
            f"bench_inactive_threshold_s: {values['bench_inactive_threshold_s']:g} is not allowed "
            "with bench_consumer_kind=push; nobody would notice that a durable was deleted; "
            "allowed: 0 (never)"
        )


def check_replicas(values: Mapping[str, Any], nats_hosts: Sequence[str]) -> None:
    """Refuse a cluster whose loss of one server silences a durable. Raises SpecError."""
    replicas = values["bench_stream_replicas"]
    if values["bench_consumer_kind"] == PUSH and 1 <= replicas < len(nats_hosts):
        raise SpecError(
            f"bench_stream_replicas: {replicas} is not allowed with bench_consumer_kind=push on "
            f"{len(nats_hosts)} NATS hosts; consumers connected to the other servers would not "
            f"notice that theirs is gone; allowed: {len(nats_hosts)}"
        )
