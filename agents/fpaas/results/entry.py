"""One row of a results folder: a run, a sweep, or why something there is neither. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from fpaas.latency.lower_bounds import is_at_least
from fpaas.legible import legible
from fpaas.measures.figures import resolvable
from fpaas.records import paths
from fpaas.summary.summary import SCHEMA
from fpaas.verdict import trimming
from fpaas.verdict.verdict import INVALID, STATUSES

#: How run ids begin: UTC.
STAMP = re.compile(r"^(\d{8}T\d{6})Z-")
#: Beyond that a number is no figure.
LARGEST = 1e15
RUN, SWEEP, BROKEN = "run", "sweep", "broken"
#: As the status of what is there only in part, so far or for good.
NOT_COLLECTED = "not collected"


class UnreadableError(ValueError):
    """A summary is wrong; the message says in what."""


@dataclass(frozen=True)
class KeyFigure:
    """A figure that every run's row has: `path` in summary.json."""

    name: str
    title: str
    unit: str
    path: str


KEY_FIGURES = (
    KeyFigure("processed_per_s", "processed", "/s", "throughput.processed_per_s"),
    KeyFigure("publish_ack_p99_ms", "publish ack p99", "ms", "latency_ms.publish_ack.p99"),
    KeyFigure("fetch_call_p99_ms", "fetch p99", "ms", "latency_ms.fetch_call.p99"),
    KeyFigure("nats_cpu_pct", "NATS CPU", "%", "resources.processes.nats.cpu_pct.mean"),
    KeyFigure("nats_rss_mb", "NATS memory", "MB", "resources.processes.nats.rss_mb.max"),
    KeyFigure("lost", "lost", "", "ledger.lost"),
)


@dataclass(frozen=True)
class Value:
    """A figure; None: not measured. `is_resolvable`: no less than its clocks' bound."""

    value: float | None
    is_at_least: bool = False
    is_resolvable: bool = True


@dataclass(frozen=True)
class Entry:
    """A row. `status` is a verdict or how far a sweep is; `problem` says why there are no figures.

    `path` is its report in the folder, None if there is none.
    """

    name: str
    kind: str
    began: datetime
    path: str | None = None
    scenario: str = ""
    status: str = ""
    why: str = ""
    problem: str = ""
    #: Which stretch its figures are of, if not the run's own.
    trimmed: str = ""
    figures: Mapping[str, Value] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """Everything that a filter looks in, in lower case."""
        parts = (
            *(self.name, self.kind, self.scenario, self.status, self.why, self.problem),
            self.trimmed,
        )
        return " ".join(parts).lower()


@dataclass(frozen=True)
class Trend:
    """A scenario's runs, oldest first; `lines` are values by figure, None: a gap."""

    scenario: str
    runs: int
    by_status: Mapping[str, int]
    lines: Mapping[str, list[float | None]]


def of_summary(content: Any, name: str, began: datetime, path: str | None) -> Entry:  # noqa: ANN401
    """Make the row of a summary.json's content; raises UnreadableError."""
    if not isinstance(content, Mapping):
        raise UnreadableError("is not a JSON object")
    if content.get("schema") != SCHEMA:
        raise UnreadableError(f"has schema {content.get('schema')!r}, expected {SCHEMA}")
    verdict = content.get("verdict")
    if not isinstance(verdict, Mapping) or verdict.get("status") not in STATUSES:
        raise UnreadableError("has no verdict")
    for part in sorted({key.path.partition(".")[0] for key in KEY_FIGURES}):
        if not isinstance(content.get(part), Mapping):
            raise UnreadableError(f"lacks {part}")
    reasons = verdict.get("reasons")
    limited_by = content.get("limited_by")
    why = limited_by.get("sentence") if isinstance(limited_by, Mapping) else None
    if isinstance(reasons, list) and reasons:
        why = reasons[0]
    return Entry(
        name=name,
        kind=RUN,
        # Whatever its directory is called by now.
        began=began_at(_text(content.get("run_id")), began.timestamp()),
        path=path,
        scenario=_text(content.get("scenario")),
        status=str(verdict["status"]),
        why=_text(why),
        trimmed=trimming.words(content),
        figures={one.name: _value(content, one.path) for one in KEY_FIGURES},
    )


def began_at(name: str, otherwise_unix_s: float) -> datetime:
    """Return when a run began by its id; a name that does not say takes the time given."""
    found = STAMP.match(name)
    if found:
        try:
            return datetime.strptime(found[1], "%Y%m%dT%H%M%S").replace(tzinfo=UTC)
        except ValueError:
            pass
    return datetime.fromtimestamp(otherwise_unix_s, UTC)


def matching(entries: Sequence[Entry], words: str) -> list[Entry]:
    """Return the rows that have every word."""
    wanted = words.lower().split()
    return [entry for entry in entries if all(word in entry.text for word in wanted)]


def trends(entries: Sequence[Entry]) -> list[Trend]:
    """Return how figures moved, by scenario; what is not to be trusted is a gap."""
    found = []
    runs = sorted((one for one in entries if one.kind == RUN), key=lambda one: one.began)
    for scenario in sorted({one.scenario for one in runs}):
        mine = [one for one in runs if one.scenario == scenario]
        lines = {
            key.name: [
                None if one.status == INVALID else shown(one.figures[key.name]) for one in mine
            ]
            for key in KEY_FIGURES
        }
        counts = {status: sum(one.status == status for one in mine) for status in STATUSES}
        found.append(Trend(scenario, len(mine), counts, lines))
    return found


def shown(one: Value) -> float | None:
    """Return a value that a line can be drawn through."""
    return one.value if one.is_resolvable else None


def _value(content: Mapping[str, Any], path: str) -> Value:
    holder, value = paths.at(content, path)
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < LARGEST:
        return Value(None)
    error = holder.get("clock_error_ms")
    bound = error if isinstance(error, int | float) else None
    is_latency = path.startswith("latency_ms.")
    return Value(
        value, is_at_least(content, path), not is_latency or bool(resolvable(value, bound))
    )


def _text(value: object) -> str:
    return legible(value) if isinstance(value, str) else ""
