"""The run in a few sentences: can it, at what cost, and what was lost on the way."""

from __future__ import annotations

from fpaas.agreement import agreeing, count_of
from fpaas.bundle.parts import JsonObject
from fpaas.records.paths import pick
from fpaas.report.ledger_table import published_terms
from fpaas.report.written import NOT_MEASURED, number, points, share, unread_share, with_unit
from fpaas.spec import RunSpec
from fpaas.text.plan_figures import percent

#: A fan-out that leaves less than this share unread needs no explanation.
UNREAD_SHARE_EXPLAINED = 0.01
UNREAD_AS_PLANNED = "unread_as_planned"
NOT_STORED_TERMS = ("not_read", "undecodable", "publish_failed", "publish_unknown")
PROCESS_WORDS = {"nats": "NATS", "consumers": "Consumers", "shuffler": "Shuffler"}


def answers(spec: RunSpec, summary: JsonObject) -> list[tuple[str, str]]:
    """Return (question, answer) in sentences."""
    return [
        ("Can it?", _can_it(spec, summary)),
        ("At what cost?", _cost(summary)),
        ("What was lost?", _lost(summary)),
    ]


def _can_it(spec: RunSpec, summary: JsonObject) -> str:
    status = pick(summary, "verdict", "status")
    unread = unread_share(summary)
    given = "what they are owed"
    if planned_unread(spec, summary) and unread is not None:
        given = f"what their polls ask for, as planned {percent(1 - unread)} of what they are owed"
    start = {
        "pass": f"Yes: NATS gave the consumers {given}.",
        "fail": "Not at these parameters: the goal was missed.",
    }.get(str(status), "This run cannot tell: its figures are not to be trusted.")
    throughput = summary.get("throughput") or {}
    latency = summary.get("latency_ms") or {}
    c = spec.consumers
    if throughput.get("offered_per_s") is None and throughput.get("processed_per_s") is None:
        return f"{start} Neither what was offered nor what was processed was measured."
    return (
        f"{start} {count_of(c.count, 'consumer|consumers')} {_how(spec)}. "
        f"Frames offered: {_per_s(throughput.get('offered_per_s'))}; published: "
        f"{_per_s(throughput.get('published_per_s'))}; processed: "
        f"{_per_s(throughput.get('processed_per_s'))} by all consumers together, "
        f"{_per_s(pick(throughput, 'per_consumer_per_s', 'p50'))} by each (median). "
        f"NATS acked a publish in {_ms(latency, 'publish_ack', 'p99')} (p99) and "
        f"{_served(spec, latency)} (p99)."
    )


def _how(spec: RunSpec) -> str:
    if spec.consumers.is_pushed:
        return agreeing(spec.consumers.count, "was|were") + " pushed to"
    if spec.consumers.classes:
        return f"polled in {len(spec.consumers.classes)} classes of their own"
    return f"polled every {spec.consumers.poll_interval_s:g} s"


def _served(spec: RunSpec, latency: JsonObject) -> str:
    if spec.consumers.is_pushed:
        return f"delivered what it had stored in {_ms(latency, 'publish_to_fetch', 'p99')}"
    return f"answered a pull in {_ms(latency, 'fetch_call', 'p99')}"


def _cost(summary: JsonObject) -> str:
    processes = pick(summary, "resources", "processes") or {}
    sentences = []
    for name, words in PROCESS_WORDS.items():
        cpu, rss = pick(processes, name, "cpu_pct", "mean"), pick(processes, name, "rss_mb", "max")
        if cpu is None and rss is None:
            sentences.append(f"{words}: {NOT_MEASURED}.")
        else:
            sentences.append(
                f"{words}: {points(cpu)} of a core on average, "
                f"{with_unit(rss, 'MB')} of memory at most."
            )
    held = number(pick(summary, "jetstream", "messages"))
    return f"{' '.join(sentences)} Messages in the stream: {held}."


def _lost(summary: JsonObject) -> str:
    ledger = summary.get("ledger") or {}
    lost, unexplained = ledger.get("lost"), ledger.get("unexplained")
    terms = [name for name, _, _ in published_terms(ledger) if name in NOT_STORED_TERMS]
    not_stored = [count for name in terms if (count := ledger.get(name)) is not None]
    frames = sum(not_stored)
    sentences = []
    if lost is None or len(not_stored) < len(terms):
        sentences.append("The ledger is not complete: parts were not measured.")
    elif lost == 0 and frames == 0:
        sentences.append("Nothing.")
    else:
        sentences.append(
            f"{count_of(lost, 'delivery|deliveries')} "
            f"({share(lost, ledger.get('owed')) or '0 %'} of those owed) and "
            f"{count_of(frames, 'frame|frames')} on the way into the stream."
        )
    if ledger.get("owed") is not None:
        sentences.append(
            f"Of {count_of(ledger['owed'], 'delivery|deliveries')} owed, "
            f"{_count_and_share(ledger, 'delivered', 'was|were')} made, "
            f"{_count_and_share(ledger, 'pending_at_end', 'was|were')} pending at the end and "
            f"{_count_and_share(ledger, 'expired_unread')} had expired unread."
        )
    sentences.append(f"Unexplained: {number(unexplained)}.")
    return " ".join(sentences)


def planned_unread(spec: RunSpec, summary: JsonObject) -> list[str]:
    """Explain the unread share of a fan-out overloaded by design; empty if it is not.

    Nor is anything explained if the verdict does not say that it is as planned.
    """
    noted = [one["code"] for one in pick(summary, "verdict", "reason_codes") or []]
    if UNREAD_AS_PLANNED not in noted:
        return []
    plan = summary.get("plan") or {}
    capacity, owed_per_s = plan.get("capacity_per_s"), plan.get("owed_per_s")
    c = spec.consumers
    if c.delivery != "fanout" or capacity is None or not owed_per_s:
        return []
    unread = 1 - capacity / owed_per_s
    if unread < UNREAD_SHARE_EXPLAINED:
        return []
    each = plan["capacity_per_consumer_per_s"]
    owed_each = plan["owed_per_consumer_per_s"]
    measured = unread_share(summary)
    measured_words = NOT_MEASURED if measured is None else f"{percent(measured)} unread"
    of_stream = " of its stream" if spec.stream.is_split else ""
    arithmetic = (
        f"In fan-out every consumer is owed every message{of_stream}: {owed_each:,.4g} a second. "
        f"It fetches "
        f"at most {c.batch_size:,} every {c.poll_interval_s:g} s, that is {c.batch_size:,} / "
        f"{c.poll_interval_s:g} = {each:,.3g} a second. However long the run, "
        f"1 - {each:,.3g} / {owed_each:,.4g} = {percent(unread)} of what is owed stays unread by "
        f"these parameters: pending while it is stored, expired after {plan['retention_s']:,.4g} s."
    )
    outcome = (
        f"Planned for this run: {percent(plan['unread_share'])} unread. Measured: "
        f"{measured_words}. "
    )
    lost = pick(summary, "ledger", "lost")
    if measured is None:
        return [arithmetic, outcome.rstrip()]
    if lost:
        were_lost = count_of(lost, "delivery of these was|deliveries of these were")
        outcome += f"{were_lost} lost, and that was not planned."
    else:
        outcome += "This is what the parameters ask for, not a defect of NATS or of the consumers."
    return [arithmetic, outcome]


def _count_and_share(ledger: JsonObject, name: str, verb: str = "") -> str:
    count = ledger.get(name)
    part = share(count, ledger.get("owed"))
    return number(count) + (f" ({part})" if part else "") + f" {agreeing(count, verb)}".rstrip()


def _per_s(value: float | None) -> str:
    return NOT_MEASURED if value is None else f"{number(value)}/s"


def _ms(latency: JsonObject, leg: str, column: str) -> str:
    value, bound = pick(latency, leg, column), pick(latency, leg, "clock_error_ms")
    least = "at least " if column in (pick(latency, leg, "at_least") or {}) else ""
    if value is None:
        return "an unmeasured time"
    if bound is not None and value < bound:
        return f"less than {number(bound)} ms, which the clocks cannot resolve"
    return f"{least}{number(value)} ms"
