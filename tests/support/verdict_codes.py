"""Codes of a verdict, as tests hold them against what they did."""

from __future__ import annotations

from typing import Any

import yaml  # type: ignore[import-untyped]

from fpaas.reason import Reason
from tests.support.checkout import CHECKOUT

#: They say that a machine under test was busy, not that the lab was wrong.
BUSY = frozenset(
    yaml.safe_load((CHECKOUT / "molecule/shared/vars/busy.yml").read_text())["molecule_busy"]
) | {"relay_lateness", "relay_lateness_unresolved"}


def entries(summary: dict[str, Any], *severities: str) -> list[dict[str, Any]]:
    """Return the typed reasons of a summary, of some severities or all."""
    return [
        one
        for one in summary["verdict"]["reason_codes"]
        if not severities or one["severity"] in severities
    ]


def of_summary(summary: dict[str, Any], *severities: str) -> list[str]:
    """Return their codes."""
    return [one["code"] for one in entries(summary, *severities)]


def blamed(summary: dict[str, Any]) -> list[str]:
    """Return the codes of what makes a run invalid or fail, but for what a busy machine brings."""
    return [code for code in of_summary(summary, "invalid", "fail") if code not in BUSY]


def is_busy(summary: dict[str, Any]) -> bool:
    """Whether a run is invalid because the machine under test was busy."""
    return not BUSY.isdisjoint(of_summary(summary, "invalid"))


def is_crowded(summary: dict[str, Any]) -> bool:
    """Whether others had the processors, as no freeze of a test's own brings it about."""
    return not {"host_saturated", "host_steal"}.isdisjoint(of_summary(summary))


def missed_goals(summary: dict[str, Any]) -> list[str]:
    """Return the names of goals that were missed."""
    return [
        one["parameters"]["goal"]
        for one in entries(summary, "fail")
        if one["code"] == "goal_missed"
    ]


def causes(summary: dict[str, Any]) -> list[dict[str, Any]]:
    """Return what stands behind the goals that were missed."""
    return [cause for one in entries(summary, "fail") for cause in one["parameters"].get("why", [])]


def of(reasons: list[Reason]) -> list[str]:
    """Return the codes of reasons."""
    return [reason.code for reason in reasons]
