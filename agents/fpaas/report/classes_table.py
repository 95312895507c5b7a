"""The classes of a mix: what each asked for, and what it got."""

from __future__ import annotations

from typing import Any

from fpaas.bundle.parts import JsonObject
from fpaas.records.paths import pick
from fpaas.report.ledger_table import OWED_TERMS
from fpaas.report.written import number, share
from fpaas.spec import RunSpec
from fpaas.text import plan_text

HEADS = ("owed", *(name for name, _, _ in OWED_TERMS), "messages/s each", "polls", "empty pulls")


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
        if one.terminate_pct:
            # Of what is delivered, the first of the terms.
            terms[0] += f", {number(ledger.get('terminated'))} of it terminated"
        cells = [
            number(ledger.get("owed")),
            *terms,
            number(pick(figures, "per_consumer_per_s", "p50")),
            number(figures.get("polls")),
            f"{number(empty)} {_part(empty, pulls)}".rstrip(),
        ]
        polls = plan_text.polls(of_class)
        found.append(
            {
                "name": one.name,
                "what": f"{one.count:,} consumers, {polls}; owed {plan_text.wanted(one)}",
                "cells": cells,
            }
        )
    return found


def _of_owed(ledger: JsonObject, name: str) -> str:
    return _part(ledger.get(name), ledger.get("owed"))


def _part(part: float | None, whole: float | None) -> str:
    written = share(part, whole)
    return f"({written})" if written else ""
