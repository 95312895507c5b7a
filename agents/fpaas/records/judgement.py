"""The verdict in `summary.json`: its reasons, its goals, and what limited the run."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from fpaas.records.fields import Number, doc


class ReasonCode(msgspec.Struct, kw_only=True):
    """A reason for programs; `fpaas explain` says what its code means."""

    code: str
    severity: Literal["invalid", "fail", "note", "limit"]
    host: str | None
    parameters: dict[str, Any]


class Cause(msgspec.Struct, kw_only=True):
    """A cause among others, for programs."""

    code: str
    host: str | None
    parameters: dict[str, Any]


class Verdict(msgspec.Struct, kw_only=True):
    """Whether the run met its goals, and whether its figures are to be trusted."""

    status: Literal["pass", "fail", "invalid"]
    reasons: Annotated[list[str], doc("sentences, causes first")]
    reason_codes: Annotated[list[ReasonCode], doc("the same, then those of notes")] = []


class Goal(msgspec.Struct, kw_only=True):
    """One goal, judged."""

    name: str
    meaning: str
    unit: str
    comparison: Literal["at most", "at least"]
    limit: Number
    measured: Number | None
    status: Literal["met", "missed", "ruled out", "not measured"]
    why: Annotated[list[str], doc("why it was not met")]
    why_codes: Annotated[list[Cause], doc("the same")] = []
    consumers: Annotated[
        str | None, doc("class of a mix that it is judged for; null: all consumers")
    ] = None


class Limit(msgspec.Struct, kw_only=True):
    """What limited the run."""

    what: Annotated[str, doc("code; see fpaas explain")]
    sentence: str
    parameters: dict[str, Any] = {}
