"""index.html of a results folder: every run and sweep, newest first, and how figures moved."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click

from fpaas.latency.lower_bounds import marked
from fpaas.report import document, sparkline, written
from fpaas.results import entry, folder
from fpaas.results.entry import KEY_FIGURES, Entry, Trend, Value
from fpaas.verdict.verdict import INVALID

NAME = "index.html"
NO_VALID_RUN = "no valid run"


def write(results: Path, entries: Sequence[Entry]) -> None:
    """Write a results folder's index.html. Raises OSError."""
    # Several may be at it at once.
    temporary = results / f".{NAME}.{os.getpid()}.tmp"
    try:
        temporary.write_text(render(entries), encoding="utf-8")
        temporary.replace(results / NAME)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def renew(results: Path) -> str:
    """Rewrite the page if the folder has one; returns what went wrong, empty if nothing."""
    if not (results / NAME).exists():
        return ""
    try:
        write(results, folder.read(results))
    except (OSError, click.ClickException) as error:
        return f"{results / NAME}: was not renewed: {error}"
    return ""


def render(entries: Sequence[Entry]) -> str:
    """Return the page's HTML."""
    return document.render(
        "results.html.j2",
        {},
        scripts=("page.js", "filter.js"),
        rows=[_row(one) for one in entries],
        heads=[f"{one.title}{', ' + one.unit if one.unit else ''}" for one in KEY_FIGURES],
        trends=[_trend(one) for one in entry.trends(entries)],
    )


def _row(one: Entry) -> dict[str, Any]:
    return {
        "entry": one,
        "link": quote(os.fsencode(one.path)) if one.path else None,
        "began": one.began.strftime("%Y-%m-%d %H:%M:%S"),
        "cells": [_cell(one.figures.get(key.name)) for key in KEY_FIGURES],
    }


def _cell(one: Value | None) -> str:
    if one is None:
        return ""
    if not one.is_resolvable:
        return "not resolvable"
    return marked(written.number(one.value), at_least=one.is_at_least)


def _trend(one: Trend) -> dict[str, Any]:
    return {
        "scenario": one.scenario,
        "runs": one.runs,
        "by_status": {status: count for status, count in one.by_status.items() if count},
        "cells": [
            (sparkline.svg(one.lines[key.name], key.title), _last(one, key.name))
            for key in KEY_FIGURES
        ],
    }


def _last(trend: Trend, name: str) -> str:
    measured = [value for value in trend.lines[name] if value is not None]
    if measured:
        return written.number(measured[-1])
    return NO_VALID_RUN if trend.by_status[INVALID] == trend.runs else written.NOT_MEASURED
