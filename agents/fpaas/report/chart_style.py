"""What all charts have in common.

A chart is plain dictionaries of traces and a layout, which `templates/charts.js` draws.
"""

from __future__ import annotations

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
    # Groups that are compared.
    "A": COLOURS[0],
    "B": COLOURS[1],
}
LINE_WIDTH = 1.6
#: Lines that usually lie on each other: the wider ones below.
LINE_WIDTHS = {"offered": 6.0, "read": 3.5, "publish_to_fetch": 4.5}


def colour_of(name: str, position: int) -> str:
    """Return the colour of a line, by the first word of its name or else by its position."""
    return COLOUR_OF.get(name.split(" ", maxsplit=1)[0], COLOURS[position % len(COLOURS)])


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
