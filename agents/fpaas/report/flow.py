"""The ledger as a flow: what went in, and where it ended."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from fpaas.bundle.bundle import JsonObject
from fpaas.report.charts import Figure
from fpaas.report.ledger_table import OWED_TERMS, PUBLISHED_TERMS
from fpaas.report.written import number, share

TONES = {"good": "#00805d", "neutral": "#46627f", "expired": "#a86400", "bad": "#c0392b"}
SOURCE_COLOUR = "#1d2733"
#: How see-through a link is.
LINK_ALPHA = "59"
HEIGHT_PX = 230


@dataclass
class _Flow:
    """Nodes and links as plotly has them: columns."""

    labels: list[str] = field(default_factory=list)
    colours: list[str] = field(default_factory=list)
    sources: list[int] = field(default_factory=list)
    targets: list[int] = field(default_factory=list)
    values: list[int] = field(default_factory=list)

    def node(self, label: str, colour: str) -> int:
        self.labels.append(label)
        self.colours.append(colour)
        return len(self.labels) - 1

    def link(self, source: int, target: int, value: int) -> None:
        self.sources.append(source)
        self.targets.append(target)
        self.values.append(value)


def frames(ledger: JsonObject) -> Figure | None:
    """Draw frames from the relay into the stream, to causes; None where they were not counted."""
    causes = {"not_read": ledger.get("not_read_by_cause")}
    return _draw(ledger, "offered", PUBLISHED_TERMS, causes)


def deliveries(ledger: JsonObject) -> Figure | None:
    """Draw deliveries from what was owed, to their causes where those are known."""
    causes = {
        "expired_unread": ledger.get("expired_by_cause"),
        "lost": ledger.get("lost_by_cause"),
    }
    return _draw(ledger, "owed", OWED_TERMS, causes)


def _draw(
    ledger: JsonObject,
    whole: str,
    terms: tuple[tuple[str, str, str], ...],
    causes: dict[str, dict[str, int] | None],
) -> Figure | None:
    total = ledger.get(whole)
    counts = {name: ledger.get(name) for name, _, _ in terms}
    if not total or None in counts.values():
        return None
    flow = _Flow()
    start = flow.node(whole, SOURCE_COLOUR)
    for name, _, tone in terms:
        count = counts[name]
        if not count:
            continue
        label = f"{name.replace('_', ' ')} {number(count)} ({share(count, total)})"
        parts = {cause: part for cause, part in (causes.get(name) or {}).items() if part}
        if len(parts) == 1:
            # The cause of all of them needs no node of its own.
            label += f": {next(iter(parts)).replace('_', ' ')}"
            parts = {}
        end = flow.node(label, TONES[tone])
        flow.link(start, end, count)
        for cause, part in parts.items():
            words = f"{cause.replace('_', ' ')} {number(part)}"
            flow.link(end, flow.node(words, TONES[tone]), part)
    return {
        "data": [
            {
                "type": "sankey",
                "arrangement": "fixed",
                "hoverinfo": "skip",
                "node": {
                    "label": flow.labels,
                    "color": flow.colours,
                    "pad": 22,
                    "thickness": 14,
                    "line": {"width": 0},
                },
                "link": {
                    "source": flow.sources,
                    "target": flow.targets,
                    "value": flow.values,
                    "color": [flow.colours[target] + LINK_ALPHA for target in flow.targets],
                },
            }
        ],
        "layout": _layout(),
    }


def _layout() -> dict[str, Any]:
    return {
        "height": HEIGHT_PX,
        "margin": {"l": 8, "r": 8, "t": 10, "b": 18},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "font": {"family": "system-ui, sans-serif", "size": 12, "color": "#1d2733"},
    }
