"""Figures of a plan as its sentences write them."""

from __future__ import annotations

from typing import Any

from fpaas.plan import capacity as planning
from fpaas.spec import RunSpec

#: Beyond it, digits say nothing more.
ALMOST_ALL = 0.99999


def each_class(spec: RunSpec, plan: dict[str, Any]) -> list[tuple[str, RunSpec, dict[str, Any]]]:
    """Return (what stands before a sentence, the run as it sees it, its plan) of each class."""
    if not spec.consumers.classes:
        return [("", spec, plan)]
    plans = planning.by_class(spec).items()
    return [
        (f"{name}: ", of_class, own)
        for of_class, (name, own) in zip(spec.by_class(), plans, strict=True)
    ]


def offer_s(spec: RunSpec) -> float:
    """Return for how long the relay offers frames, in seconds."""
    return spec.warmup_s + spec.measure_s


def percent(share: float) -> str:
    """Write a share with enough digits not to round it to all or nothing."""
    if share <= 0 or share >= 1:
        return f"{100 * share:.0f} %"
    if share > ALMOST_ALL:
        return f"over {100 * ALMOST_ALL:g} %"
    if share > 0.999:
        return f"{100 * share:.3f} %"
    return f"{100 * share:.1f} %" if share >= 0.001 else f"{100 * share:.2g} %"


def plain(value: float) -> str:
    """Write a value for a variable: three digits, no exponent."""
    return f"{float(f'{value:.3g}'):.6f}".rstrip("0").rstrip(".")


def rate(per_s: float) -> str:
    """Write a rate with three digits, and no decimals if it is large."""
    return f"{per_s:,.0f}" if per_s >= 100 else f"{per_s:.3g}"


def share(plan: dict[str, Any], name: str) -> float:
    """Return a figure as a share of what is owed; None if nothing is owed."""
    part: float = plan[name] / plan["owed"] if plan["owed"] else 0.0
    return part
