"""A report.html, as tests read it."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from typing import Any

#: With all that draws it; most of the rest are the figures.
BYTES_MAX = 300_000
HOSTILE = "</script><script>alert(1)</script><b>&\"'"


class Page(HTMLParser):
    """The page's elements, scripts, headings and text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.text: list[str] = []
        self._in = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag in ("script", "style"):
            self._in = tag
            if tag == "script":
                self.scripts.append("")

    def handle_endtag(self, tag: str) -> None:
        if tag == self._in:
            self._in = ""

    def handle_data(self, data: str) -> None:
        if self._in == "script":
            self.scripts[-1] += data
        elif not self._in:
            self.text.append(data)

    @property
    def words(self) -> str:
        return " ".join(" ".join(self.text).split())

    @property
    def figures(self) -> dict[str, Any]:
        content: dict[str, Any] = json.loads(self.scripts[0])
        return content
