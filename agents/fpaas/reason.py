"""A reason: what is wrong with a run, or worth knowing about it, for programs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Reason:
    """A code of `fpaas.verdict.codes`, the host that it is about, and JSON parameters.

    Programs match the code; `codes.sentence` makes the sentence for people.
    """

    code: str
    host: str | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
