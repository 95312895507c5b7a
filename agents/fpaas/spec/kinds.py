"""How consumers get their messages: they poll for them, or are pushed to. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fpaas.errors import SpecError
from fpaas.spec import acks

PULL, PUSH, ORDERED = "pull", "push", "ordered"
KINDS = (PULL, PUSH, ORDERED)
WORDS = {
    PULL: "pull durables, which consumers poll",
    PUSH: "push durables, each with a queue group",
    ORDERED: "ordered consumers, ephemeral, made again if they are behind",
}
#: Unacknowledged messages of a push durable, unless a run says otherwise: the server's default.
MAX_ACK_PENDING = 1000
#: Variables about polls; without effect on consumers that do not poll.
OF_POLLS = (
    "bench_poll_interval_s",
    "bench_poll_jitter_pct",
    "bench_batch_size",
    "bench_fetch",
)


def check(values: Mapping[str, Any]) -> None:
    """Refuse what consumers that are pushed to cannot do. Raises SpecError that names it."""
    kind = values["bench_consumer_kind"]
    if kind == PULL:
        return
    if values["bench_mix"]:
        raise SpecError(
            f"bench_mix: classes are not allowed with bench_consumer_kind={kind}; they are of "
            "consumers that poll"
        )
    if kind == ORDERED:
        _check_ordered(values)
    if values["bench_inactive_threshold_s"]:
        raise SpecError(
            f"bench_inactive_threshold_s: {values['bench_inactive_threshold_s']:g} is not allowed "
            f"with bench_consumer_kind={kind}; nobody would notice that a durable was deleted; "
            "allowed: 0 (never)"
        )


def _check_ordered(values: Mapping[str, Any]) -> None:
    """Refuse what only durables, or only acks, can do."""
    if values["bench_delivery"] == "shared":
        raise SpecError(
            "bench_delivery: shared is not allowed with bench_consumer_kind=ordered; an ordered "
            "consumer is of one client; allowed: fanout, partitioned"
        )
    if values["bench_ack"] == acks.ALL:
        raise SpecError(
            "bench_ack: all is not allowed with bench_consumer_kind=ordered, which has no acks; "
            "leave bench_ack out"
        )
    if values["bench_max_ack_pending"] != "auto":
        raise SpecError(
            f"bench_max_ack_pending: {values['bench_max_ack_pending']} is not allowed with "
            "bench_consumer_kind=ordered; no message waits for an ack"
        )


def check_replicas(values: Mapping[str, Any], nats_hosts: Sequence[str]) -> None:
    """Refuse a cluster whose loss of one server silences a durable. Raises SpecError."""
    replicas, kind = values["bench_stream_replicas"], values["bench_consumer_kind"]
    if kind != PULL and replicas < len(nats_hosts):
        raise SpecError(
            f"bench_stream_replicas: {replicas} is not allowed with bench_consumer_kind={kind} on "
            f"{len(nats_hosts)} NATS hosts; consumers connected to the other servers would not "
            f"notice that theirs is gone; allowed: {len(nats_hosts)}"
        )
