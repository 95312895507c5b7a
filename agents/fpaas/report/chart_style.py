"""What all charts have in common.

A chart is plain dictionaries of traces and a layout, which `templates/charts.js` draws.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

Figure = dict[str, Any]
#: Okabe and Ito's colours: told apart by colour-blind readers, and on a grey print.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#4d4d4d", "#a6761d")
#: The same thing has the same colour in every chart.
COLOUR_OF = {
    "offered": "#c3ccd6",
    "read": COLOURS[4],
    "published": COLOURS[0],
    "processed": COLOURS[2],
    "nats": COLOURS[0],
    "consumers": COLOURS[2],
    "shuffler": COLOURS[1],
    "relay": COLOURS[6],
    "probe": COLOURS[3],
    "faults": COLOURS[4],
    "prometheus": COLOURS[7],
    "grafana": COLOURS[5],
}
#: Groups that are compared: all runs of one have its colour.
GROUP_COLOURS = {"A": COLOURS[0], "B": COLOURS[1]}
LINE_WIDTH = 1.6
#: Lines that usually lie on each other: the wider ones below.
LINE_WIDTHS = {"offered": 6.0, "read": 3.5, "publish_to_fetch": 4.5}


def styles_of(names: Sequence[str]) -> list[dict[str, str]]:
    """Return `color` and `dash` of a chart's lines; the first word of a name may have its colour.

    No two lines of a chart look alike, but those of one group do. Lines are dashed once all colours
    are taken.
    """
    heads = [name.split(" ", maxsplit=1)[0] for name in names]
    if all(head in GROUP_COLOURS for head in heads):
        return [{"color": GROUP_COLOURS[head], "dash": "solid"} for head in heads]
    own = {heads.index(head): COLOUR_OF[head] for head in heads if head in COLOUR_OF}
    free = [colour for colour in COLOURS if colour not in own.values()]
    others = [position for position in range(len(names)) if position not in own]
    spare = [*free, *COLOURS]
    for turn, position in enumerate(others):
        own[position] = spare[turn % len(spare)]
    dashed = set(others[len(free) :])
    return [
        {"color": own[position], "dash": "dash" if position in dashed else "solid"}
        for position in range(len(names))
    ]


def layout(unit: str) -> dict[str, Any]:
    """Return what all charts have in common; `unit` is the y axis's title."""
    return {
        "height": 300,
        "showlegend": True,
        "yaxis": {"title": {"text": unit}, "rangemode": "tozero"},
    }


def rounded(value: float) -> float:
    """Five significant digits: what a screen can show, in fewer bytes."""
    return float(f"{value:.5g}")
