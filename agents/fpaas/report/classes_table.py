"""The classes of a mix: what each asked for, and what it got."""

from __future__ import annotations

from typing import Any

from fpaas.agreement import count_of
from fpaas.bundle.parts import JsonObject
from fpaas.latency.leg_kinds import LEGS
from fpaas.latency.lower_bounds import marked
from fpaas.records.paths import pick
from fpaas.report.ledger_table import OWED_TERMS
from fpaas.report.written import number, share
from fpaas.spec import RunSpec
from fpaas.text import load_words

#: Its deliveries, and its pulls.
LEGS_SHOWN = ("end_to_end", "fetch_call", "fetch_call_intended")
HEADS = (
    "owed",
    *(name for name, _, _ in OWED_TERMS),
    "messages/s each",
    "polls",
    "empty pulls",
    *(f"{LEGS[leg].title}, p50 / p99 ms" for leg in LEGS_SHOWN),
)


def rows(spec: RunSpec, summary: JsonObject) -> list[dict[str, Any]]:
    """Return a row for each class, written; none if all consumers poll alike."""
    found: list[dict[str, Any]] = []
    for one, of_class in zip(spec.consumers.classes, spec.by_class(), strict=False):
        figures = pick(summary, "classes", one.name) or {}
        ledger = figures.get("ledger") or {}
        pulls, empty = pick(figures, "fetches", "pulls"), pick(figures, "fetches", "empty")
        terms = [
            f"{number(ledger.get(name))} {_of_owed(ledger, name)}".rstrip()
            for name, _, _ in OWED_TERMS
        ]
        # The first of the terms of what is delivered.
        terms[0] += "".join(
            f", {number(ledger.get(name))} of it {what}"
            for name, what, is_there in (
                ("terminated", "terminated", one.terminate_pct),
                ("max_deliver_reached", "given up", one.max_deliver and one.answers.fails),
                ("failed", "failed so far", one.answers.fails),
                ("in_process", "in process at the end", one.processing_ms),
            )
            if is_there
        )
        cells = [
            number(ledger.get("owed")),
            *terms,
            number(pick(figures, "per_consumer_per_s", "p50")),
            number(figures.get("polls")),
            f"{number(empty)} {_part(empty, pulls)}".rstrip(),
            *(_latency(pick(figures, "latency_ms", leg) or {}) for leg in LEGS_SHOWN),
        ]
        polls = load_words.polls(of_class)
        found.append(
            {
                "name": one.name,
                "what": f"{count_of(one.count, 'consumer|consumers')}, {polls}; owed "
                "{load_words.wanted(one)}",
                "cells": cells,
            }
        )
    return found


def _latency(leg: JsonObject) -> str:
    """Write the percentiles of a leg, those marked that open calls could raise."""
    lower = leg.get("at_least") or {}
    hidden = leg.get("not_resolvable") or ()
    return " / ".join(
        "< clock" if name in hidden else marked(number(leg.get(name)), at_least=name in lower)
        for name in ("p50", "p99")
    )


def _of_owed(ledger: JsonObject, name: str) -> str:
    return _part(ledger.get(name), ledger.get("owed"))


def _part(part: float | None, whole: float | None) -> str:
    written = share(part, whole)
    return f"({written})" if written else ""
