"""summary.json as a screenful for a person; pure."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from typing import Any

from fpaas.agreement import count_of
from fpaas.latency.leg_kinds import LEGS, headline_legs
from fpaas.latency.lower_bounds import is_at_least, is_goal_at_least, marked
from fpaas.spec import kinds
from fpaas.text import fault_text, leg_words
from fpaas.verdict import goals, trimming

#: The width of a terminal that nobody has made wider.
WIDTH = 80
LABEL_WIDTH = 12
#: As many as the screen has room for; the report has all.
REASONS_SHOWN_MAX = 8
NOT_MEASURED = "-"
#: Decimals of numbers this large tell nothing, and need a column's room.
ONLY_WHOLE_FROM = 10_000
UNRESOLVED = "< ±"
#: Columns are at least so wide, and so far apart.
CELL_WIDTH_MIN = 6
#: Keeps a name and its figure on one line.
TIE = "\N{NO-BREAK SPACE}"
GAP = 2
NAME_WIDTH_MIN = 24
#: Of latencies, those that the report alone has if there is no room for all, first to last.
LEAVE_OUT = ("p90", "p99.9")
LIMITS = {"at most": "≤", "at least": "≥"}


def verdict(summary: dict[str, Any]) -> str:
    """Return PASS, FAIL or INVALID."""
    return str(summary["verdict"]["status"]).upper()


def lines(summary: dict[str, Any], title: str) -> Iterator[str]:
    """Iterate over the summary's lines, from the verdict on; `title` names scenario and goal."""
    trimmed = trimming.words(summary)
    yield from _wrapped(f"{title}{f', {trimmed}' if trimmed else ''}", label=verdict(summary))
    reasons = summary["verdict"]["reasons"]
    for reason in reasons[:REASONS_SHOWN_MAX]:
        yield from _wrapped("- " + reason)
    if len(reasons) > REASONS_SHOWN_MAX:
        more = len(reasons) - REASONS_SHOWN_MAX
        yield from _wrapped(f"- and {count_of(more, 'more reason|more reasons')} in the report")
    limited_by = summary.get("limited_by")
    if limited_by:
        yield from _wrapped(limited_by["sentence"], label="limited by")
    yield ""
    yield from _goals(summary)
    yield from _faults(summary)
    yield from _throughput(summary["throughput"])
    yield from _ledger(summary["ledger"])
    yield from _classes(summary)
    yield ""
    yield from _latency(summary["latency_ms"])
    yield ""
    yield from _resources(summary)
    yield from _fetches(summary)
    if leg_words.is_by_end(summary):
        yield from _wrapped(leg_words.BY_END, label="note")
    for note in summary["notes"]:
        yield from _wrapped(note, label="note")


def _labelled(label: str, text: str) -> str:
    return f"{label:<{LABEL_WIDTH}}{text}"


def _wrapped(text: str, label: str = "") -> list[str]:
    indent = " " * LABEL_WIDTH
    wrapped = textwrap.wrap(
        text,
        WIDTH,
        initial_indent=f"{label:<{LABEL_WIDTH}}",
        subsequent_indent=indent,
        # Paths and ids stay whole, to be copied.
        break_long_words=False,
        break_on_hyphens=False,
    )
    return [line.replace(TIE, " ") for line in wrapped]


def _tied(text: str) -> str:
    return text.replace(" ", TIE)


def _faults(summary: dict[str, Any]) -> Iterator[str]:
    faults = summary.get("faults") or []
    for fault in faults:
        text = (
            f"{fault_text.what(fault)}, {fault_text.when(fault)}: noticed after "
            f"{fault_text.seconds(fault['detected_s'])}, recovered "
            f"{fault_text.seconds(fault['recovered_s'])} after its end; cost: "
            f"{fault_text.cost(fault)}"
        )
        yield from _wrapped(text, label="fault")
    if faults:
        yield ""


def _goals(summary: dict[str, Any]) -> Iterator[str]:
    """Set each goal beside what was measured; a meaning too long for its column is cut short."""
    judged = summary.get("goals") or []
    if not judged:
        return
    rows: list[tuple[str, list[str]]] = [("goals", ["limit", "value", ""])]
    status_width = max(len(goal["status"]) for goal in judged)
    for goal in judged:
        limit = f"{LIMITS[goal['comparison']]} {goals.written(goal['limit'], goal['unit'])}"
        measured = NOT_MEASURED
        if goal["measured"] is not None:
            # In the limit's unit, which stands beside it.
            measured = marked(
                goals.written(goal["measured"], ""),
                at_least=is_goal_at_least(summary, goal["name"]),
            )
        rows.append((goal["meaning"], [limit, measured, f"{goal['status']:<{status_width}}"]))
    yield from _table(rows)
    yield ""


def _classes(summary: dict[str, Any]) -> Iterator[str]:
    """Say what each class of a mix was owed and got."""
    for number, (name, figures) in enumerate((summary.get("classes") or {}).items()):
        ledger = figures["ledger"]
        each = _number(figures["per_consumer_per_s"]["p50"], 2)
        yield from _wrapped(
            f"{name}: {count_of(figures['consumers'], 'consumer|consumers')}, {each}/s each; owed "
            f"{_number(ledger['owed'])}, delivered {_number(ledger['delivered'])}, expired unread "
            f"{_number(ledger['expired_unread'])}, pending {_number(ledger['pending_at_end'])}, "
            f"lost {_number(ledger['lost'])}",
            label="" if number else "classes",
        )


def _throughput(throughput: dict[str, Any]) -> Iterator[str]:
    rates = (
        _tied(f"{name} {_number(throughput[f'{name}_per_s'])}/s")
        for name in ("offered", "published", "processed")
    )
    yield from _wrapped("   ".join(rates), label="throughput")
    each = throughput["per_consumer_per_s"]
    yield _labelled(
        "",
        f"each consumer {_number(each['p50'], 2)}/s"
        f" (least {_number(each['min'], 2)}, most {_number(each['max'], 2)})",
    )


def _ledger(ledger: dict[str, Any]) -> Iterator[str]:
    def terms(*names: str) -> str:
        return " + ".join(
            _tied(f"{name.replace('_', ' ')} {_number(ledger[name])}") for name in names
        )

    refused = ("undecodable", "duplicates_rejected", "publish_failed", "publish_unknown")
    yield from _wrapped(
        f"{terms('offered')} = {terms('published', 'not_read', *refused)}", label="ledger"
    )
    yield from _wrapped(
        f"{terms('owed')} = {terms('delivered', 'expired_unread', 'pending_at_end', 'lost')}"
    )
    yield from _wrapped(", ".join(terms(name) for name in ("stored", "redelivered", "unexplained")))
    for term in ("not_read", "expired_unread", "lost"):
        causes = ledger[f"{term.removesuffix('_unread')}_by_cause"] or {}
        found = [
            _tied(f"{cause.replace('_', ' ')} {_number(n)}") for cause, n in causes.items() if n
        ]
        if found:
            yield from _wrapped(f"{term.replace('_', ' ')}: {', '.join(found)}")


def _latency(latency: dict[str, Any]) -> Iterator[str]:
    columns = {"p50": "p50", "p90": "p90", "p99": "p99", "p999": "p99.9", "max": "max"}
    rows: list[tuple[str, list[str]]] = [("latency, ms", [*columns.values(), "count"])]
    unresolved = False
    remarks = []
    for name in headline_legs():
        title, leg = LEGS[name].title, latency[name]
        remarks += [f"{title} {one}" for one in leg_words.remarks(name, leg, _number)]
        if not leg_words.is_measured(leg):
            rows.append((title, [NOT_MEASURED if leg["count"] is None else "no samples"]))
            continue
        bound_ms, negative = leg["clock_error_ms"], leg["negative_count"]
        if bound_ms:
            remarks.append(f"{title} compares clocks that are known to ± {_number(bound_ms, 2)} ms")
        if negative:
            remarks.append(f"{title} has {count_of(negative, 'negative sample|negative samples')}")
        hidden = leg["not_resolvable"] if bound_ms is not None else ()
        unresolved = unresolved or any(column in hidden for column in columns)
        lower = leg.get("at_least") or {}
        cells = [
            UNRESOLVED if c in hidden else marked(_number(leg[c], 1), at_least=c in lower)
            for c in columns
        ]
        rows.append((title, [*cells, _number(leg["count"])]))
    yield from _table(rows, LEAVE_OUT)
    for remark in remarks:
        yield from _wrapped(remark)
    if unresolved:
        yield from _wrapped(f"{UNRESOLVED}: not resolvable, less than the clocks' error")


def _table(
    rows: Sequence[tuple[str, Sequence[str]]], leave_out: Sequence[str] = ()
) -> Iterator[str]:
    """Write rows of a name and cells below their heads, no wider than the screen.

    For that, columns are left out in the order named, and then names are cut short. A row of one
    cell that is no figure ("no samples") has all columns for it.
    """
    (title, heads), rest = rows[0], rows[1:]
    shown = list(range(len(heads)))
    for name in ("", *leave_out):
        shown = [at for at in shown if heads[at] != name or not name]
        widths = {
            at: max(
                CELL_WIDTH_MIN, *(len(cells[at]) for _, cells in rows if len(cells) == len(heads))
            )
            for at in shown
        }
        room = WIDTH - sum(GAP + width for width in widths.values())
        if room >= NAME_WIDTH_MIN:
            break
    name_width = max(NAME_WIDTH_MIN, min(room, max(GAP + len(name) for name, _ in rest)))
    for name, cells in ((title, heads), *((f"{'':{GAP}}{name}", cells) for name, cells in rest)):
        at_shown = shown if len(cells) == len(heads) else range(len(cells))
        written = "".join(f"{'':{GAP}}{cells[at]:>{widths.get(at, 0)}}" for at in at_shown)
        yield f"{_cut(name, name_width):<{name_width}}{written}".rstrip()


def _cut(name: str, width: int) -> str:
    return name if len(name) <= width else name[: width - 1].rstrip() + "…"


def _resources(summary: dict[str, Any]) -> Iterator[str]:
    resources = summary["resources"]
    rows: list[tuple[str, list[str]]] = [("resources", ["CPU % mean", "max", "RSS MB mean", "max"])]
    for process, usage in resources["processes"].items():
        cells = [
            _number(usage[figure][kind], 1)
            for figure in ("cpu_pct", "rss_mb")
            for kind in ("mean", "max")
        ]
        rows.append((process, cells))
    for host, usage in resources["hosts"].items():
        cells = [
            _number(usage[figure], 1)
            for figure in ("cpu_pct", "cpu_pct_max", "mem_mb", "mem_mb_max")
        ]
        rows.append((f"host {host}", cells))
    yield from _table(rows)


def _fetches(summary: dict[str, Any]) -> Iterator[str]:
    if summary.get("consumer_kind", kinds.PULL) != kinds.PULL:
        yield _labelled("fetches", "none: messages were pushed")
        return
    fetches, late_ms = summary["fetches"], summary["fidelity"]["poll_lateness_ms"]["p99"]
    late = marked(
        _number(late_ms, 1), at_least=is_at_least(summary, "fidelity.poll_lateness_ms.p99")
    )
    statuses = "".join(
        f", {_number(count)} answered with {status}"
        for status, count in (fetches["by_status"] or {}).items()
    )
    yield from _wrapped(
        f"{_number(fetches['ok'])} with messages, {_number(fetches['empty'])} empty{statuses}"
        f"; polls late by p99 {late} ms",
        label="fetches",
    )


def _number(value: float | None, decimals: int = 1) -> str:
    """Write a figure with thin thousands; what was not measured is a dash."""
    if value is None:
        return NOT_MEASURED
    if isinstance(value, int):
        return f"{value:,}"
    if value >= ONLY_WHOLE_FROM:
        decimals = 0
    return f"{value:,.{decimals}f}"
