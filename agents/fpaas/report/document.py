"""An HTML page that needs no network: its styles, its data and what draws them are inside.

A Content-Security-Policy allows the page's own script, by its hash, and nothing else: no request
leaves it, and text out of a run (ids, reasons, host names) can never become a script.
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

from fpaas.records.paths import pick
from fpaas.report import in_words, written
from fpaas.report.chart_style import Figure

TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True)
class Chart:
    """A figure with its heading; `figure` is None if nothing was measured."""

    key: str
    title: str
    caption: str
    figure: Figure | None

    @property
    def words(self) -> str:
        """The chart in words, for readers who cannot see it."""
        return f"{self.title}. {in_words.of_figure(self.figure)}" if self.figure else ""


class _Contents:
    """Writes the headings of sections, and knows them all at the end."""

    def __init__(self) -> None:
        self.sections: list[tuple[str, str]] = []

    def titled(self, key: str, title: str) -> Markup:
        """Return a section's heading, which links to itself."""
        self.sections.append((key, title))
        return Markup(
            '<h2 id="{0}">{1} <a class="here" href="#{0}" aria-label="Link to {1}">#</a></h2>'
        ).format(key, title)


def render(
    template: str,
    charts: Mapping[str, Sequence[Chart]],
    *,
    scripts: Sequence[str] = ("page.js", "charts.js"),
    **content: Any,  # noqa: ANN401
) -> str:
    """Fill a template that extends `document.html.j2`; `charts` are by the section they are in."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    contents = _Contents()
    environment.globals.update(
        number=written.number,
        pick=pick,
        titled=contents.titled,
        sections=contents.sections,
    )
    script = "".join((TEMPLATES / name).read_text(encoding="utf-8") for name in scripts)
    return environment.get_template(template).render(
        **content,
        charts=charts,
        figures_json=_data_block(
            {one.key: one.figure for section in charts.values() for one in section if one.figure}
        ),
        script=Markup(script),  # noqa: S704  our own file
        script_hash=_hash(script),
    )


def data_url(text: str) -> str:
    """Return a link that has a file's content in it."""
    return f"data:text/plain;base64,{base64.b64encode(text.encode()).decode()}"


def _data_block(content: Any) -> Markup:  # noqa: ANN401
    """Encode as JSON that cannot end its own script element."""
    encoded = json.dumps(content, separators=(",", ":"), allow_nan=False)
    return Markup(encoded.replace("<", "\\u003c"))  # noqa: S704  no markup is left in it


def _hash(script: str) -> str:
    digest = hashlib.sha256(script.encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode()}"
