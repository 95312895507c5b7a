"""The pages on a bundle's files have every file, and every field of it, as records have them."""

from __future__ import annotations

import re

import pytest
from tools import bundle_fields

from fpaas.records import schemas
from tests.support.checkout import CHECKOUT


def test_the_page_of_fields_is_as_the_records_are() -> None:
    assert bundle_fields.PAGE.read_text() == bundle_fields.page(), "run: make readmes"


@pytest.mark.parametrize("name", schemas.FILES)
def test_every_field_says_what_it_means(name: str) -> None:
    assert [path for path, _, meaning in bundle_fields.fields(name) if not meaning] == []


@pytest.mark.parametrize("name", schemas.FILES)
def test_what_a_file_is_for_is_said(name: str) -> None:
    text = (CHECKOUT / "docs" / "bundle-files.md").read_text()
    headings = re.findall(r"^### (.*)$", text, re.MULTILINE)
    assert any(f"`{bundle_fields.shown(schemas.FILES[name].pattern)}`" in one for one in headings)


def test_fields_of_records_in_records_are_there_with_their_paths() -> None:
    found = {path: (kind, meaning) for path, kind, meaning in bundle_fields.fields("network")}
    assert found["links"][0] == "list"
    assert found["links[].from"] == ("string", "who measured")
    assert found["links[].rtt_ms.p99"][0] == "number"
    clocks = {path for path, _, _ in bundle_fields.fields("summary")}
    assert "clock.<…>.bound_ms" in clocks
