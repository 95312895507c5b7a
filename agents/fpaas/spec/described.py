"""How a field says what it means: `doc` is shown by `fpaas schema` and in docs/bundle-fields.md."""

from __future__ import annotations

from msgspec import Meta


def doc(text: str) -> Meta:
    """Describe a field. Say the unit if its name does not."""
    return Meta(description=text)
