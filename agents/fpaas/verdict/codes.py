"""All codes of reasons, and the only place that makes sentences of them.

Judges yield `Reason`s, and programs match their codes. Only `sentence` writes prose.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from fpaas.reason import Reason
from fpaas.records.judgement import Cause, ReasonCode
from fpaas.verdict import (
    codes_failures,
    codes_files,
    codes_goals,
    codes_invalid,
    codes_lab,
    codes_ledger,
    codes_limits,
    codes_notes,
    codes_relay,
)
from fpaas.verdict.code import FAIL, INVALID, LIMIT, NOTE, Code

CODES: dict[str, Code] = {
    **codes_invalid.CODES,
    **codes_files.CODES,
    **codes_lab.CODES,
    **codes_relay.CODES,
    **codes_ledger.CODES,
    **codes_failures.CODES,
    **codes_goals.CODES,
    **codes_notes.CODES,
    **codes_limits.CODES,
}
#: Reasons from outside that are more than somebody's words, as `code` or `code: text`.
GIVEN = ("interrupted",)
_WIDTH = 88
#: Severity → (what one such code is, what all of them do).
_SEVERITY = {
    INVALID: ("makes a run invalid", "Make a run invalid"),
    FAIL: ("makes a run fail", "Make a run fail"),
    NOTE: ("a note, or the cause of a missed goal", "Are notes, or causes of missed goals"),
    LIMIT: ("what limited a run", "Say what limited a run"),
}


def sentence(reason: Reason) -> str:
    """Write a reason for people, with its host in front.

    Raises KeyError if the code is not known or a parameter is missing.
    """
    parameters = {name: _spoken(value) for name, value in reason.parameters.items()}
    text = CODES[reason.code].render(parameters)
    return text if reason.host is None else f"{reason.host}: {text}"


def _spoken(value: object) -> object:
    """Write reasons among the parameters of another."""
    if isinstance(value, Reason):
        return sentence(value)
    if isinstance(value, list) and value and isinstance(value[0], Reason):
        return [sentence(one) for one in value]
    return value


def record(reason: Reason) -> ReasonCode:
    """As in summary.json."""
    found = cause(reason)
    return ReasonCode(
        code=found.code,
        severity=CODES[reason.code].severity,
        host=found.host,
        parameters=found.parameters,
    )


def cause(reason: Reason) -> Cause:
    """As in summary.json, of a goal's status."""
    return Cause(
        code=reason.code,
        host=reason.host,
        parameters={name: _json(value) for name, value in reason.parameters.items()},
    )


def _json(value: object) -> object:
    if isinstance(value, Reason):
        return cause(value)
    if isinstance(value, list | tuple):
        return [_json(one) for one in value]
    return value


def given(text: str) -> Reason:
    """Read a reason given to `fpaas report --invalid`: `code`, `code: text`, or free text."""
    code, _, rest = text.partition(":")
    if code in GIVEN:
        return Reason(code, None, {"text": rest.strip()})
    return Reason("marked_invalid", None, {"text": text})


def explain(name: str) -> str:
    """Say what a code means and what to do. Raises KeyError if there is no such code."""
    code = CODES[name]
    lines = [f"{name} ({_SEVERITY[code.severity][0]})", ""]
    lines += textwrap.wrap(code.meaning, _WIDTH)
    lines += ["", *textwrap.wrap(f"What to do: {code.remedy}", _WIDTH)]
    if code.parameters:
        lines += ["", "Parameters:"]
        lines += [f"  {one}{f': {unit}' if unit else ''}" for one, unit in code.parameters.items()]
    return "\n".join(lines)


def overview() -> Iterator[str]:
    """List all codes, by severity, each with the first sentence of what it means."""
    width = max(map(len, CODES))
    for severity, (_, heading) in _SEVERITY.items():
        yield f"{heading}:"
        for name, code in CODES.items():
            if code.severity == severity:
                first = code.meaning.split(". ")[0].rstrip(".")
                yield f"  {name:<{width}}  {first}"
        yield ""
