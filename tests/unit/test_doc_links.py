"""Every relative link and anchor of the documentation leads somewhere; its tables are whole."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import count, pairwise
from pathlib import Path
from urllib.parse import unquote

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted(
    [
        *(CHECKOUT / name for name in ("README.md", "ARCHITECTURE.md", "CHANGELOG.md")),
        *(
            path
            for path in CHECKOUT.glob("docs/**/*.md")
            if "_build" not in path.relative_to(CHECKOUT).parts
        ),
        *CHECKOUT.glob("roles/*/README.md"),
    ]
)
_FENCED = re.compile(r"^(`{3,})[^\n]*\n.*?^\1\s*$", re.MULTILINE | re.DOTALL)
_INDENTED = re.compile(r"(?<=\n\n)(?: {4}[^\n]*\n)+")
_CODE = re.compile(r"(`+)(?!`).*?(?<!`)\1(?!`)", re.DOTALL)
_LINK = re.compile(r"\]\(\s*<?([^)\s>]+)>?[^)]*\)")
_HEADING = re.compile(r"^#{1,6}\s+(.*?)\s*#*$", re.MULTILINE)
_TABLE_RULE = re.compile(r"\|(\s*:?-+:?\s*\|)+")
_SCHEME = re.compile(r"^[a-z][a-z0-9+.-]*:", re.IGNORECASE)


def _anchors(text: str) -> set[str]:
    """Return the anchors that GitHub gives a document's headings."""
    found: set[str] = set()
    for heading in _HEADING.findall(_INDENTED.sub("", _FENCED.sub("", text))):
        slug = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        numbered = (slug if n == 0 else f"{slug}-{n}" for n in count())
        found.add(next(name for name in numbered if name not in found))
    return found


def _broken(document: Path) -> Iterator[str]:
    """Yield each relative link of a document that leads nowhere."""
    text = document.read_text(encoding="utf-8")
    prose = _CODE.sub("", _INDENTED.sub("", _FENCED.sub("", text)))
    for link in _LINK.findall(prose):
        if _SCHEME.match(link):
            continue
        name, _, anchor = unquote(link).partition("#")
        target = document.parent / name if name else document
        if not target.exists() or (
            anchor and anchor not in _anchors(target.read_text(encoding="utf-8"))
        ):
            yield link


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(CHECKOUT)))
def test_links_lead_somewhere(document: Path) -> None:
    assert list(_broken(document)) == []


@pytest.mark.parametrize(
    "link", ["gone.md", "other.md#gone", "#gone", "images/gone.png", "other.md#title-2"]
)
def test_a_broken_link_is_found(tmp_path: Path, link: str) -> None:
    (tmp_path / "other.md").write_text("# Title\n\n## Title\n\n```\n# gone\n```\n")
    document = tmp_path / "document.md"
    document.write_text(f"# Here\n\nSee [this]({link}) and [that](other.md#title).\n")
    assert list(_broken(document)) == [link]


def test_what_is_no_link_or_leads_elsewhere_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "other.md").write_text("# `a.json`, b\n\n## Same\n\n## Same\n")
    document = tmp_path / "document.md"
    document.write_text(
        "# Here\n\n[a](other.md#ajson-b) [b](other.md#same-1) [c](#here) [d](https://e.org/f)\n"
        "`[g](gone.md)`\n\n    [h](gone.md)\n\n```\n[i](gone.md)\n```\n"
    )
    assert list(_broken(document)) == []


def test_every_column_of_a_table_has_a_name() -> None:
    """Screen readers tell it with each cell."""
    heads = [
        (path.name, head)
        for path in DOCUMENTS
        for head, rule in pairwise(path.read_text(encoding="utf-8").splitlines())
        if _TABLE_RULE.fullmatch(rule)
    ]
    assert heads
    nameless = [
        (name, head)
        for name, head in heads
        if not all(cell.strip() for cell in head[1:-1].split("|"))
    ]
    assert nameless == []
