"""The ledger as two identities, each with its terms."""

from __future__ import annotations

from dataclasses import dataclass, field

from fpaas.bundle.parts import JsonObject
from fpaas.report.written import NOT_MEASURED, number, share

#: (term, what it is, tone) of the two identities.
PUBLISHED_TERMS = (
    ("published", "stored by NATS, and acked or settled", "good"),
    ("duplicates_rejected", "refused as duplicates within the window", "neutral"),
    ("undecodable", "no valid frames", "bad"),
    ("not_read", "sent by the relay, never read", "bad"),
    ("publish_failed", "given up for good, refused or out of reach", "bad"),
    ("publish_unknown", "without an answer, not settled", "bad"),
)
OWED_TERMS = (
    ("delivered", "received, each once", "good"),
    ("pending_at_end", "still stored when the run ended, not yet fetched", "neutral"),
    ("expired_unread", "left the stream before they were fetched", "expired"),
    ("lost", "sent by NATS, received by nobody, gone", "bad"),
)


def published_terms(ledger: JsonObject) -> tuple[tuple[str, str, str], ...]:
    """Return the terms of offered: what a foreign relay had and nobody read may not be known."""
    is_known = ledger.get("not_read") is not None or ledger.get("published") is None
    return tuple(term for term in PUBLISHED_TERMS if is_known or term[0] != "not_read")


@dataclass(frozen=True)
class Term:
    """One term of an identity."""

    name: str
    meaning: str
    tone: str
    count: int | None
    written: str
    share: str
    width_pct: float


@dataclass(frozen=True)
class Identity:
    """`whole = the sum of the terms`, and by how much it does not balance (None: cannot tell)."""

    whole_name: str
    whole_meaning: str
    whole: str
    terms: list[Term] = field(default_factory=list)
    is_measured: bool = False
    sum_written: str = NOT_MEASURED
    difference: int | None = None


def identity(
    ledger: JsonObject, whole_name: str, meaning: str, terms: tuple[tuple[str, str, str], ...]
) -> Identity:
    """Make one side of the ledger."""
    whole = ledger.get(whole_name)
    counts = {name: ledger.get(name) for name, _, _ in terms}
    measured = [count for count in counts.values() if count is not None]
    total = sum(measured) if len(measured) == len(counts) else None
    return Identity(
        whole_name,
        meaning,
        number(whole),
        [
            Term(
                name,
                what,
                tone,
                counts[name],
                number(counts[name]),
                share(counts[name], whole),
                100 * (counts[name] or 0) / max(sum(measured), 1),
            )
            for name, what, tone in terms
        ],
        total is not None,
        number(total),
        None if total is None or whole is None else whole - total,
    )
