"""The ledger as bars: what went in, and where it ended."""

from __future__ import annotations

from dataclasses import dataclass

from fpaas.bundle.parts import JsonObject
from fpaas.report.ledger_table import OWED_TERMS, published_terms
from fpaas.report.written import number, share


@dataclass(frozen=True)
class Bar:
    """A term of the ledger, or a cause of the term before it."""

    label: str
    share_pct: float
    tone: str
    is_cause: bool = False


def frames(ledger: JsonObject) -> list[Bar]:
    """Return frames from the relay into the stream, to causes; none if they were not counted."""
    causes = {"not_read": ledger.get("not_read_by_cause")}
    return _bars(ledger, "offered", published_terms(ledger), causes)


def deliveries(ledger: JsonObject) -> list[Bar]:
    """Return deliveries from what was owed, to their causes if those are known."""
    causes = {
        "expired_unread": ledger.get("expired_by_cause"),
        "lost": ledger.get("lost_by_cause"),
    }
    return _bars(ledger, "owed", OWED_TERMS, causes)


def _bars(
    ledger: JsonObject,
    whole: str,
    terms: tuple[tuple[str, str, str], ...],
    causes: dict[str, dict[str, int] | None],
) -> list[Bar]:
    total = ledger.get(whole)
    counts = {name: ledger.get(name) for name, _, _ in terms}
    if not total or None in counts.values():
        return []
    bars = []
    for name, _, tone in terms:
        count = counts[name]
        if not count:
            continue
        label = f"{_words(name)} {number(count)} ({share(count, total)})"
        parts = {cause: part for cause, part in (causes.get(name) or {}).items() if part}
        if len(parts) == 1:
            # If all have one cause, it needs no bar.
            label += f": {_words(next(iter(parts)))}"
            parts = {}
        bars.append(Bar(label, 100 * count / total, tone))
        bars += [
            Bar(f"{_words(cause)} {number(part)}", 100 * part / total, tone, is_cause=True)
            for cause, part in parts.items()
        ]
    return bars


def _words(name: str) -> str:
    return name.replace("_", " ")
