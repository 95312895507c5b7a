"""An HTML page that needs no network: plotly.js, its data and its styles are inside.

A Content-Security-Policy allows the page's own two scripts, by their hashes, and nothing else: no
request leaves it, and text out of a run (ids, reasons, host names) can never become a script.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from fpaas.report import written
from fpaas.report.charts import Figure

TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True)
class Chart:
    """A figure with its heading; `figure` is None where nothing was measured."""

    key: str
    title: str
    caption: str
    figure: Figure | None


def render(template: str, charts: Mapping[str, Sequence[Chart]], **content: Any) -> str:  # noqa: ANN401
    """Fill a template that extends `document.html.j2`; `charts` are by the section they are in."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(number=written.number, pick=written.pick)
    drawing = (TEMPLATES / "draw.js").read_text(encoding="utf-8")
    plotly = get_plotlyjs()
    return environment.get_template(template).render(
        **content,
        charts=charts,
        figures_json=_data_block(
            {one.key: one.figure for section in charts.values() for one in section if one.figure}
        ),
        plotly=Markup(plotly),  # noqa: S704  the package's own file
        drawing=Markup(drawing),  # noqa: S704  our own file
        script_hashes=[_hash(plotly), _hash(drawing)],
    )


def _data_block(content: Any) -> Markup:  # noqa: ANN401
    """Encode as JSON that cannot end its own script element."""
    encoded = json.dumps(content, separators=(",", ":"), allow_nan=False)
    return Markup(encoded.replace("<", "\\u003c"))  # noqa: S704  no markup is left in it


def _hash(script: str) -> str:
    digest = hashlib.sha256(script.encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode()}"
