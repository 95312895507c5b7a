"""The verdict in `summary.json`: its reasons, its goals, and what limited the run."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from fpaas.records.fields import Number
from fpaas.spec.described import doc


class ReasonCode(msgspec.Struct, kw_only=True):
    """A reason for programs; `fpaas explain` says what its code means."""

    code: Annotated[str, doc("as `fpaas explain` lists them")]
    severity: Annotated[
        Literal["invalid", "fail", "note", "limit"], doc("whether it makes the run invalid or fail")
    ]
    host: Annotated[str | None, doc("the host that it is about; null: none")]
    parameters: Annotated[dict[str, Any], doc("of its sentence; `fpaas explain` has their units")]


class Cause(msgspec.Struct, kw_only=True):
    """A cause among others, for programs."""

    code: Annotated[str, doc("as `fpaas explain` lists them")]
    host: Annotated[str | None, doc("the host that it is about; null: none")]
    parameters: Annotated[dict[str, Any], doc("of its sentence; `fpaas explain` has their units")]


class Verdict(msgspec.Struct, kw_only=True):
    """Whether the run met its goals, and whether its figures are to be trusted."""

    status: Annotated[
        Literal["pass", "fail", "invalid"],
        doc("pass: goals met; fail: goals missed; invalid: do not use the figures"),
    ]
    reasons: Annotated[list[str], doc("sentences, causes first")]
    reason_codes: Annotated[list[ReasonCode], doc("the same, then those of notes")] = []


class Goal(msgspec.Struct, kw_only=True):
    """One goal, judged."""

    name: Annotated[str, doc("with its bound, as goals are set")]
    meaning: Annotated[str, doc("of its figure, in words")]
    unit: Annotated[str, doc("of its figure")]
    comparison: Annotated[Literal["at most", "at least"], doc("how measured compares with limit")]
    limit: Annotated[Number, doc("in the unit")]
    measured: Annotated[Number | None, doc("in the unit; null: not measured")]
    status: Annotated[Literal["met", "missed", "ruled out", "not measured"], doc("of the goal")]
    why: Annotated[list[str], doc("why it was not met")]
    why_codes: Annotated[list[Cause], doc("the same")] = []
    consumers: Annotated[
        str | None, doc("class of a mix that it is judged for; null: all consumers")
    ] = None


class Limit(msgspec.Struct, kw_only=True):
    """What limited the run."""

    what: Annotated[str, doc("code; see fpaas explain")]
    sentence: Annotated[str, doc("for people")]
    parameters: Annotated[dict[str, Any], doc("of its code")] = {}
