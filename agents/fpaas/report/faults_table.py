"""What the run's faults did: a row for each, and what happened around it, in order."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fpaas.bundle.found_event import INJECTED
from fpaas.bundle.parts import JsonObject
from fpaas.text import fault_text


def rows(summary: JsonObject) -> list[dict[str, Any]]:
    """Return a row for each fault, written."""
    return [
        {
            "what": fault_text.what(fault),
            "on": ", ".join(fault["on"]),
            "when": fault_text.when(fault),
            "detected": fault_text.seconds(fault["detected_s"]),
            "published": fault_text.seconds(fault["published_s"]),
            "served": fault_text.seconds(fault["served_s"]),
            "cost": fault_text.cost(fault),
            "late": _late(fault),
            "story": list(_story(number, fault, summary.get("events") or [])),
        }
        for number, fault in enumerate(summary.get("faults") or [])
    ]


def _late(fault: JsonObject) -> str:
    """Write how late the fault began and was undone."""
    late_ms = [fault.get(name) for name in ("began_late_ms", "ended_late_ms")]
    return ", ".join(fault_text.UNKNOWN if ms is None else f"{ms:.1f} ms" for ms in late_ms)


def _story(number: int, fault: JsonObject, events: list[JsonObject]) -> Iterator[dict[str, str]]:
    """Iterate over what a fault may have brought about, in order."""
    began_s, ended_s = fault["began_s"], fault["ended_s"]
    if began_s is None:
        return
    yield {"after": "0.0 s", "what": "the fault begins"}
    told = []
    for event in events:
        at_s = event.get("noticed_s")
        at_s = event["begin_s"] if at_s is None else at_s
        if event.get("source") != INJECTED and number in event.get("faults", ()):
            told.append((at_s, event["sentence"]))
    if ended_s is not None:
        told.append((ended_s, "the fault has ended"))
        for name, text in (
            ("published_s", "the shuffler has published again"),
            ("served_s", "the last consumer has been served again"),
        ):
            if fault[name] is not None:
                told.append((ended_s + fault[name], text))
    for at_s, text in sorted(told):
        yield {"after": f"{at_s - began_s:.1f} s", "what": text}
