"""A relay's frames beside its events: #info messages and errors; neither has a seq."""

from __future__ import annotations

from fpaas.firehose import dag_cbor
from fpaas.firehose.dag_cbor import head, text


def error_frame(name: str, message: str) -> bytes:
    """Encode the frame that says why a relay closes."""
    header = head(dag_cbor.MAP, 1) + text("op") + head(dag_cbor.NEGATIVE, 0)
    return header + _text_map({"error": name, "message": message})


def info_frame(name: str, message: str) -> bytes:
    """Encode an #info message."""
    header = head(dag_cbor.MAP, 2) + text("t") + text("#info") + text("op") + b"\x01"
    return header + _text_map({"name": name, "message": message})


def _text_map(entries: dict[str, str]) -> bytes:
    pairs = b"".join(text(key) + text(value) for key, value in entries.items())
    return head(dag_cbor.MAP, len(entries)) + pairs
