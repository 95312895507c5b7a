"""What goals can be about: figures of a run, what rules them out, what keeps them from being met.

Pure. A figure's name with `_max` or `_min` behind it is a goal; `goals` reads and judges those.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from fpaas.consumers.polling import FULL_OF_BYTES
from fpaas.latency.leg_kinds import LEGS, legs_by_class, legs_of_polls
from fpaas.reason import Reason
from fpaas.verdict.measured import Figure, Measured, Open

#: What comes within one of so many polls is less than a tenth of what is owed.
POLLS_MIN = 10

#: From T0 until the stream has something to fetch.
FIRST_MESSAGE_S = 1.0
#: Statuses that are an answer: nothing there (404), nothing came in time (408), as many bytes as a
#: pull may bring.
GOOD_STATUSES = ("404", "408", FULL_OF_BYTES)
PERCENTILES = {"p50": "median", "p90": "p90", "p99": "p99", "p999": "p99.9", "max": "longest"}
PROCESSES = {
    "nats": "NATS",
    "shuffler": "the shuffler",
    "consumers": "the consumers' agents",
    "relay": "the relay",
}


def polls_are_certain(run: Measured) -> bool:
    """Whether every consumer has a poll that finds something, if anything is stored.

    A consumer whose first poll comes before the first message has to wait for its second, at most
    one interval and its jitter later. Consumers that are pushed to wait for none.
    """
    if run.spec.consumers.is_pushed:
        return True
    longest_s = max(
        of_class.consumers.poll_interval_s * (1 + of_class.consumers.poll_jitter_pct / 100)
        + of_class.consumers.away_s
        + of_class.consumers.joins_at_s
        for of_class in run.spec.by_class()
    )
    planned_s = run.spec.warmup_s + run.spec.measure_s + run.spec.drain_s
    polled_s = planned_s if run.polled_s is None else run.polled_s
    return longest_s + FIRST_MESSAGE_S <= polled_s


def _fetched_pct(run: Measured) -> float | None:
    if run.never_fetched is None:
        return None
    return 100 * (1 - run.never_fetched / run.spec.consumers.count)


def _finds_are_chance(run: Measured) -> Reason | None:
    if run.spec.has_filters and run.pick("ledger", "owed") == 0:
        return Reason("nothing_owed")
    if not polls_are_certain(run):
        interval_s = max(one.consumers.poll_interval_s for one in run.spec.by_class())
        return Reason("polls_too_rare", None, {"poll_interval_s": interval_s})
    if run.spec.consumers.delivery != "shared":
        return None
    capacity, owed = run.pick("plan", "capacity_per_s"), run.pick("plan", "owed_per_s")
    if capacity is not None and owed is not None and capacity < owed:
        return None
    return Reason("shared_polls_exceed")


def _never_fetched(run: Measured) -> Iterator[Reason]:
    counts = {"count": run.never_fetched, "of": run.spec.consumers.count}
    yield Reason("consumers_never_fetched", None, counts)


def _sum(*paths: tuple[str, ...]) -> Callable[[Measured], float | None]:
    def total(run: Measured) -> float | None:
        parts: list[float | None] = [run.pick(*path) for path in paths]
        measured = [part for part in parts if part is not None]
        return sum(measured) if len(measured) == len(parts) else None

    return total


def _frames_lost_count(run: Measured) -> float | None:
    """Count what did not get into the stream; what a foreign relay left out is its own doing."""
    terms = [("ledger", "publish_failed"), ("ledger", "publish_unknown")]
    if run.spec.firehose.rate_per_s is not None:
        terms.append(("ledger", "not_read"))
    return _sum(*terms)(run)


def _frames_lost(run: Measured) -> Iterator[Reason]:
    if run.spec.firehose.rate_per_s is not None and (not_read := run.pick("ledger", "not_read")):
        yield Reason(
            "frames_not_read",
            None,
            {
                "count": not_read,
                "offered": run.pick("ledger", "offered"),
                "by_cause": run.pick("ledger", "not_read_by_cause"),
            },
        )
    if failed := run.pick("ledger", "publish_failed"):
        by_reason = dict(run.publish_failures)
        yield Reason("publishes_failed", None, {"count": failed, "by_reason": by_reason})
    if unknown := run.pick("ledger", "publish_unknown"):
        yield Reason("publishes_unknown", None, {"count": unknown})


def _deliveries_lost(run: Measured) -> Iterator[Reason]:
    counts = {name: run.pick("ledger", key) for name, key in _LOST.items()}
    yield Reason("deliveries_lost", None, counts)


_LOST = {"count": "lost", "by_cause": "lost_by_cause"}


def _unread_beyond_plan_pct(run: Measured) -> float | None:
    expired = _expired_beyond_plan_pct(run)
    if expired is None or not _is_pending_certain(run):
        return expired
    owed, share = run.pick("ledger", "owed"), run.pick("plan", "unread_share")
    unread = run.pick("ledger", "expired_unread") + run.pick("ledger", "pending_at_end")
    beyond: float = 100 * (unread / owed - share)
    return max(expired, beyond)


def _is_pending_certain(run: Measured) -> bool:
    """Whether the plan foretells what is still to be sent at the end.

    How much has come since a consumer's last poll is chance, so only after many polls, and only if
    nothing but polls decides: no fault, and no consumers that are away or fail messages.
    """
    consumers, spec = run.spec.consumers, run.spec
    if consumers.is_pushed or consumers.classes or spec.faults:
        return False
    length_s = spec.warmup_s + spec.measure_s + spec.drain_s
    known = (run.pick("ledger", "pending_at_end"), run.pick("plan", "unread_share"))
    return None not in known and length_s >= POLLS_MIN * consumers.poll_interval_s


def _expired_beyond_plan_pct(run: Measured) -> float | None:
    owed, expired = run.pick("ledger", "owed"), run.pick("ledger", "expired_unread")
    planned = run.pick("plan", "expired_unread")
    if not owed or expired is None or planned is None:
        return None
    plan_owed = run.pick("plan", "owed")
    if run.spec.has_filters and plan_owed:
        # The plan took the share that filters let through from a sample; now it is known.
        planned *= owed / plan_owed
    beyond: float = 100 * (expired - planned) / owed
    return max(0.0, beyond)


def _rate_not_planned(run: Measured) -> Reason | None:
    if run.spec.firehose.rate_per_s is None:
        return Reason("rate_not_planned")
    if run.pick("ledger", "owed") == 0:
        return Reason("nothing_owed")
    return None


def _beyond_plan(run: Measured) -> Iterator[Reason]:
    counts = {
        "expired": run.pick("ledger", "expired_unread"),
        "planned": run.pick("plan", "expired_unread"),
    }
    if (counts["expired"] or 0) > (counts["planned"] or 0):
        yield Reason("expired_beyond_plan", None, counts)
    if _is_pending_certain(run):
        owed, pending = run.pick("ledger", "owed"), run.pick("ledger", "pending_at_end")
        planned = round(run.pick("plan", "unread_share") * owed)
        unread = pending + (counts["expired"] or 0)
        if unread > planned:
            yield Reason("unread_beyond_plan", None, {"unread": unread, "planned": planned})


def error_statuses(summary: Mapping[str, Any]) -> dict[str, int]:
    """Return statuses that answered pulls and are errors, with how often."""
    by_status = (summary.get("fetches") or {}).get("by_status") or {}
    return {status: n for status, n in by_status.items() if status not in GOOD_STATUSES}


def _errors(run: Measured) -> float | None:
    others = _sum(
        ("fetches", "client_timeout"), ("connections", "errors"), ("connections", "reconnects")
    )(run)
    if others is None or run.pick("fetches", "by_status") is None:
        return None
    return others + run.shuffler_reconnects + sum(error_statuses(run.summary).values())


def _failures(run: Measured) -> int | None:
    return (
        None if run.failures is None else sum(one.parameters["by_itself"] for one in run.failures)
    )


def broken_exchanges(run: Measured) -> Iterator[Reason]:
    """Name what went wrong between agents and server, and was tried again."""
    if run.shuffler_reconnects:
        yield Reason("shuffler_reconnects", None, {"count": run.shuffler_reconnects})
    if errors := error_statuses(run.summary):
        yield Reason("fetch_errors", None, {"by_status": errors})
    if timeouts := run.pick("fetches", "client_timeout"):
        yield Reason("fetch_timeouts", None, {"count": timeouts})
    counts = {name: run.pick("connections", name) for name in ("errors", "reconnects")}
    if any(counts.values()):
        counts["lost"] = run.pick("fetches", "lost") or 0
        yield Reason("consumer_connections", None, counts)


def _failed_over(run: Measured) -> Reason | None:
    return Reason("servers_failed_over") if run.failed_over else None


def _slow_consumers(run: Measured) -> float | None:
    by_clients = run.pick("connections", "slow_consumer_disconnects")
    by_server = run.pick("jetstream", "slow_consumers")
    known = [count for count in (by_clients, by_server) if count is not None]
    return max(known, default=None)


def _cut_off(run: Measured) -> Iterator[Reason]:
    yield Reason("slow_consumers", None, {"count": _slow_consumers(run)})


def _overloaded(run: Measured) -> Reason | None:
    """Say that polls take less than is owed, which leaves messages lying however fast all is."""
    capacity = run.pick("plan", "capacity_per_consumer_per_s")
    owed = run.pick("plan", "owed_per_consumer_per_s")
    if capacity is None or owed is None or capacity >= owed:
        return None
    c = run.spec.consumers
    return Reason(
        "polls_take_less",
        None,
        {
            "owed_per_s": owed,
            "batch_size": c.batch_size,
            "poll_interval_s": c.poll_interval_s,
            "capacity_per_s": capacity,
        },
    )


def _nobody_polls(run: Measured) -> Reason | None:
    """Say that there are no polls that a figure could be of."""
    kind = run.spec.consumers.kind
    return Reason("no_polls", None, {"kind": kind}) if run.spec.consumers.is_pushed else None


def _not_enough_to_fill(run: Measured) -> Reason | None:
    if reason := _nobody_polls(run):
        return reason
    capacity, owed = run.pick("plan", "capacity_per_s"), run.pick("plan", "owed_per_s")
    if capacity is None or owed is None or capacity <= owed:
        return None
    return Reason("polls_ask_for_more", None, {"capacity_per_s": capacity, "owed_per_s": owed})


def _leg(leg: str, column: str) -> Figure:
    ruled_out = _nobody_polls if leg in legs_of_polls() else Figure.ruled_out
    return Figure(
        f"{LEGS[leg].meaning}, {PERCENTILES[column]}",
        "ms",
        lambda run: run.pick("latency_ms", leg, column),
        # Ages are as long as consumers leave messages lying.
        _overloaded if LEGS[leg].is_age else ruled_out,
        open=lambda run: _open(run, leg, column),
    )


def _open(run: Measured, leg: str, column: str) -> Open | None:
    """Return the calls of a leg that could change one of its percentiles."""
    kind = "open" if run.pick("latency_ms", leg, "open_count") else "missing"
    count = run.pick("latency_ms", leg, f"{kind}_count")
    at_least = run.pick("latency_ms", leg, "at_least") or {}
    # Without any end at all there is no percentile that they could change.
    if column not in at_least and (run.pick("latency_ms", leg, column) is not None or not count):
        return None
    min_ms = run.pick("latency_ms", leg, f"{kind}_min_ms")
    return Open(leg, count or 0, min_ms, at_least.get(column))


def _of_faults(run: Measured, name: str) -> float | None:
    """Return the worst of all faults; None if it is not known of each."""
    found: list[float | None] = [fault[name] for fault in run.pick("faults") or ()]
    known = [one for one in found if one is not None]
    return max(known) if known and len(known) == len(found) else None


def _process(process: str, name: str, kind: str) -> Callable[[Measured], float | None]:
    return lambda run: run.pick("resources", "processes", process, name, kind)


#: Goals on all consumers that each class of a mix is judged by, too.
OF_EACH_CLASS = ("consumers_fetched_pct", "deliveries_lost", "expired_beyond_plan_pct")
#: What goals of one class can be about.
OF_ONE_CLASS = (
    *OF_EACH_CLASS,
    *("redelivered", "duplicate_deliveries"),
    *("processed_per_s", "processed_per_consumer_per_s"),
    *(f"{leg}_{column}_ms" for leg in legs_by_class() for column in PERCENTILES),
)

FIGURES: dict[str, Figure] = {
    "consumers_fetched_pct": Figure(
        "consumers that fetched messages", "%", _fetched_pct, _finds_are_chance, _never_fetched
    ),
    "frames_lost": Figure(
        "frames lost on their way into the stream",
        "",
        _frames_lost_count,
        causes=_frames_lost,
    ),
    "deliveries_lost": Figure(
        "deliveries lost", "", _sum(("ledger", "lost")), causes=_deliveries_lost
    ),
    "unexplained": Figure("what the ledger cannot explain", "", _sum(("ledger", "unexplained"))),
    "expired_beyond_plan_pct": Figure(
        "unread beyond the plan, share of owed",
        "%",
        _unread_beyond_plan_pct,
        _rate_not_planned,
        _beyond_plan,
    ),
    "errors": Figure(
        "errors, timeouts and reconnects",
        "",
        _errors,
        _failed_over,
        broken_exchanges,
    ),
    "failures": Figure(
        "parts that failed though no fault of the run was to do that",
        "",
        _failures,
        causes=lambda run: iter(run.failures or ()),
    ),
    "slow_consumers": Figure(
        "connections cut off as slow consumers", "", _slow_consumers, causes=_cut_off
    ),
    "redelivered": Figure("deliveries that were repeats", "", _sum(("ledger", "redelivered"))),
    "duplicate_deliveries": Figure(
        "deliveries that a consumer had received before",
        "",
        _sum(("ledger", "duplicate_deliveries")),
    ),
    "batch_fill_pct": Figure(
        "batches filled, mean of those that brought some",
        "%",
        _sum(("fetches", "batch_fill_pct")),
        _not_enough_to_fill,
    ),
    "offered_per_s": Figure("frames offered", "/s", _sum(("throughput", "offered_per_s"))),
    "published_per_s": Figure("frames published", "/s", _sum(("throughput", "published_per_s"))),
    "processed_per_s": Figure(
        "messages processed by all consumers", "/s", _sum(("throughput", "processed_per_s"))
    ),
    "processed_per_consumer_per_s": Figure(
        "messages processed by a consumer, median",
        "/s",
        _sum(("throughput", "per_consumer_per_s", "p50")),
    ),
    "consumer_lag_p99": Figure(
        "consumer lag, p99", "messages", _sum(("jetstream", "consumer_lag", "p99"))
    ),
    "stream_bytes": Figure("size of the stream", "bytes", _sum(("jetstream", "bytes"))),
    "fault_detected_s": Figure(
        "from a fault's begin until relay, shuffler or consumers noticed, longest",
        "s",
        lambda run: _of_faults(run, "detected_s"),
    ),
    "fault_recovered_s": Figure(
        "from a fault's end until it is published and the last consumer served again, longest",
        "s",
        lambda run: _of_faults(run, "recovered_s"),
    ),
    **{f"{leg}_{column}_ms": _leg(leg, column) for leg in LEGS for column in PERCENTILES},
    **{
        f"{process}_cpu_pct": Figure(
            f"CPU of {words}, mean", "% of a core", _process(process, "cpu_pct", "mean")
        )
        for process, words in PROCESSES.items()
    },
    **{
        f"{process}_rss_mb": Figure(
            f"memory of {words}, most", "MB", _process(process, "rss_mb", "max")
        )
        for process, words in PROCESSES.items()
    },
}
