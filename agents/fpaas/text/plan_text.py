"""The table that `fpaas plan` prints."""

from __future__ import annotations

import textwrap
from typing import Any

from fpaas.plan.capacity import NATS_MAX_PENDING_BYTES
from fpaas.spec import RunSpec, acks, kinds
from fpaas.text.load_words import delivery, polls, rate_of, wanted
from fpaas.text.plan_figures import each_class, offer_s, percent, rate, share

WIDTH = 80
LABEL_WIDTH = 12


def describe(spec: RunSpec, plan: dict[str, Any], expected: list[str], warned: list[str]) -> str:
    """Write the plan as the table that `fpaas plan` prints, warnings last."""
    rows = {**_demand(spec, plan), **_outcome(spec, plan), **_cost(plan)}
    title = " ".join(part for part in (spec.scenario.name, spec.scenario.title) if part)
    lines = [f"Plan of {spec.run_id}: {title}"]
    lines += [_wrapped(f"  {label:<{LABEL_WIDTH}}", text) for label, text in rows.items()]
    lines += [_wrapped("  ", sentence) for sentence in expected]
    lines += [_wrapped("! ", sentence) for sentence in warned]
    return "\n".join(lines)


def _wrapped(mark: str, sentence: str) -> str:
    return textwrap.fill(
        sentence,
        width=WIDTH,
        initial_indent=mark,
        subsequent_indent=" " * len(mark),
        break_long_words=False,
        break_on_hyphens=False,
    )


def _demand(spec: RunSpec, plan: dict[str, Any]) -> dict[str, str]:
    c = spec.consumers
    per_s = rate_of(spec.firehose) or f"{plan['offered_per_s']:g} frames/s"
    if plan["offered_per_s_assumed"]:
        per_s = f"about {per_s} (assumed)"
    capacity = "no limit: each poll fetches until empty"
    if c.is_pushed:
        capacity = "no limit: what is stored is pushed"
    if plan["capacity_per_s"] is not None:
        capacity = (
            f"{rate(plan['capacity_per_consumer_per_s'])} messages/s each, "
            f"{rate(plan['capacity_per_s'])}/s in all"
        )
    each = {"polls": f"{polls(spec)}; {rate(plan['pulls_per_s'])} pulls/s in all"}
    if c.is_pushed:
        each = {"polls": polls(spec), "kind": f"{c.kind}: {kinds.WORDS[c.kind]}"}
    if c.classes:
        capacity = "of each class by itself"
        each = {
            f"  {one.name}": (
                f"{one.count:,} poll {polls(of_class)}; owed {wanted(one)}, "
                f"{rate(own['owed_per_consumer_per_s'])}/s each; "
                f"{percent(share(own, 'delivered'))} delivered"
            )
            for one, (_, of_class, own) in zip(c.classes, each_class(spec, plan), strict=True)
        }
    return {
        "goal": spec.scenario.goal or "none stated",
        "time": (
            f"{spec.warmup_s:g} s warm-up + {spec.measure_s:g} s measured + {spec.drain_s:g} s "
            f"draining = {offer_s(spec) + spec.drain_s:g} s"
        ),
        "firehose": f"{spec.firehose.source}: {per_s}, {plan['frames_offered']:,} in all",
        "consumers": f"{c.count:,}, {delivery(spec)}",
        **(
            {"acks": f"{c.ack}: {acks.WORDS[c.ack]}"}
            if c.ack != acks.EXPLICIT and not c.is_ordered
            else {}
        ),
        **each,
        "owed": (
            f"{rate(plan['owed_per_consumer_per_s'])} messages/s each, "
            f"{rate(plan['owed_per_s'])}/s in all"
        ),
        "capacity": capacity,
    }


def _outcome(spec: RunSpec, plan: dict[str, Any]) -> dict[str, str]:
    owed = plan["owed"]
    expiry = ""
    if plan["first_expiry_s"] is not None:
        expiry = f", from second {plan['first_expiry_s']:.0f} on"
    return {
        "delivered": (
            f"{plan['delivered']:,} of {owed:,} ({percent(share(plan, 'delivered'))}), "
            f"{rate(plan['processed_per_s'])}/s while measuring"
        ),
        "expired": (
            f"{plan['expired_unread']:,} unread ({percent(share(plan, 'expired_unread'))}){expiry}"
        ),
        "pending": (
            f"{plan['pending_at_end']:,} at the end ({percent(share(plan, 'pending_at_end'))}); a "
            f"durable lags {plan['consumer_lag_mean']:,.0f} messages when the firehose stops"
        ),
        "age": _age(spec, plan["delivery_age_s_mean"]),
        "stream": (
            f"{plan['stream_messages']:,} messages, {plan['stream_bytes'] / 1e6:,.0f} of "
            f"{plan['stream_max_bytes'] / 1e6:,.0f} MB; they live {plan['retention_s']:.4g} s "
            f"({plan['retention_limit']}), in {_storage(spec)}{_streams(spec)}"
        ),
    }


def _age(spec: RunSpec, age_s: float | None) -> str:
    if spec.consumers.is_pushed:
        return "not predicted: what the server and the network take"
    return "nothing is delivered" if age_s is None else f"{age_s:,.3g} s in the stream on average"


def _streams(spec: RunSpec) -> str:
    if not spec.stream.is_split:
        return ""
    each = spec.stream.max_bytes / spec.stream.count
    return f"; {spec.stream.count} streams of {each / 1e6:,.0f} MB"


def _storage(spec: RunSpec) -> str:
    """Say where the stream is, and for files, when they are on the disk."""
    sync_s = spec.stream.sync_interval_s
    if spec.stream.storage != "file" or sync_s is None:
        return spec.stream.storage
    if spec.stream.persist_mode == "async":
        return f"file, written after the ack, synced every {sync_s:g} s"
    return f"file, synced every {sync_s:g} s" if sync_s else "file, synced before each ack"


def _cost(plan: dict[str, Any]) -> dict[str, str]:
    rss_mb = plan["nats_rss_mb"]
    memory = "not predicted with file storage" if rss_mb is None else f"about {rss_mb:,.0f} MB"
    return {
        "nats memory": (
            f"{memory}, {plan['duplicate_window_bytes'] / 1e6:,.1f} of it for "
            f"{plan['duplicate_window_entries']:,} ids to detect duplicates"
        ),
        "connections": (
            f"{plan['connections']:,} of the consumers, at most "
            f"{plan['connection_in_flight_bytes_max'] / 1e6:,.1f} MB in flight on one (cut off at "
            f"{NATS_MAX_PENDING_BYTES / 1e6:.0f}); about {plan['open_files']:,} open files"
        ),
        "network": (
            f"{plan['nats_net_rx_mbit_per_s']:,.1f} Mbit/s into NATS, "
            f"{plan['nats_net_tx_mbit_per_s']:,.1f} Mbit/s out"
        ),
    }
