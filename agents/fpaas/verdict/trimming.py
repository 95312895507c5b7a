"""Reports of another window than the run's own, as `fpaas report --warmup-s` asks for. Pure.

Leaving out a part must not make a run look better than it was.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from fpaas.reason import Reason
from fpaas.records import summary as records
from fpaas.records.paths import pick
from fpaas.spec import RunSpec
from fpaas.verdict import codes
from fpaas.verdict.code import INVALID
from fpaas.verdict.verdict import STATUSES, Verdict

NOTE_CODE = "window_trimmed"


def no_better(
    judged: Verdict, own: Verdict, window: records.Window, spec: RunSpec
) -> tuple[Verdict, bool]:
    """Return the verdict of a window with what it hides of the one by the run's own.

    Also whether it hides anything.
    """
    cut = {
        "warmup_s": window.from_s,
        "run_warmup_s": spec.warmup_s,
        "from_s": window.from_s,
        "until_s": window.until_s,
    }
    judged = replace(judged, notes=[Reason(NOTE_CODE, None, cut), *judged.notes])
    said = {_about(reason) for reason in judged.reasons}
    hidden = [reason for reason in own.reasons if _about(reason) not in said]
    if not hidden:
        return judged, False
    is_invalid = codes.CODES[hidden[0].code].severity == INVALID
    reason = Reason(
        "invalid_by_own_window" if is_invalid else "failed_by_own_window",
        None,
        {**cut, "reason": hidden[0], "more": len(hidden) - 1},
    )
    # Those that make a run invalid come first.
    reasons = [reason, *judged.reasons] if is_invalid else [*judged.reasons, reason]
    status = max(judged.status, own.status, key=STATUSES.index)
    return replace(judged, status=status, reasons=reasons), True


def words(summary: Mapping[str, Any]) -> str:
    """Say which stretch a summary is of, if it is not the run's own; else nothing."""
    listed = pick(summary, "verdict", "reason_codes")
    for one in listed if isinstance(listed, list) else ():
        if isinstance(one, Mapping) and one.get("code") == NOTE_CODE:
            from_s, until_s = pick(one, "parameters", "from_s"), pick(one, "parameters", "until_s")
            # Whatever a file has there, a row of a folder is not worth a crash.
            if isinstance(from_s, int | float) and isinstance(until_s, int | float):
                return f"trimmed to {from_s:g}\N{EN DASH}{until_s:g} s"
            return "trimmed"
    return ""


def _about(reason: Reason) -> tuple[object, ...]:
    """Return what a reason is about, without its figures."""
    parts = (
        reason.parameters.get(name) for name in ("goal", "consumers", "leg", "process", "agent")
    )
    return (reason.code, reason.host, *parts)
