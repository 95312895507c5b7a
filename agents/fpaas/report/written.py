"""How figures are looked up and written: with units, and in words if they were not measured."""

from __future__ import annotations

from typing import Any

from fpaas.bundle.parts import JsonObject
from fpaas.digits import significant
from fpaas.records.paths import pick

NOT_MEASURED = "not measured"
BYTE_UNITS = (("TB", 1e12), ("GB", 1e9), ("MB", 1e6))


def number(value: Any, digits: int = 3) -> str:  # noqa: ANN401
    """Write a number with at least `digits` significant digits, thousands apart."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return NOT_MEASURED
    return f"{value:,}" if isinstance(value, int) else significant(value, digits)


def with_unit(value: Any, unit: str, digits: int = 3) -> str:  # noqa: ANN401
    """Write a number and its unit."""
    written = number(value, digits)
    return written if written == NOT_MEASURED else f"{written} {unit}"


def points(value: Any) -> str:  # noqa: ANN401
    """Write per cent with one digit after the point: more is noise."""
    return f"{value:,.1f} %" if isinstance(value, int | float) else NOT_MEASURED


def share(part: Any, whole: Any) -> str:  # noqa: ANN401
    """Write a part as per cent of a whole; empty if either is not measured."""
    if not isinstance(part, int | float) or not isinstance(whole, int | float) or not whole:
        return ""
    per_cent = 100 * part / whole
    if 0 < per_cent < 0.1 or 99.9 < per_cent < 100:
        return f"{per_cent:.3g} %" if per_cent < 1 else f"{per_cent:.3f} %"
    return f"{per_cent:.1f} %" if 0 < per_cent < 100 else f"{per_cent:.0f} %"


def megabytes(count: Any) -> float | None:  # noqa: ANN401
    """Convert bytes to MB, None if not measured."""
    return count / 1e6 if isinstance(count, int | float) else None


def size(count: float | None) -> str:
    """Write bytes as MB, GB or TB, of powers of ten."""
    if count is None:
        return NOT_MEASURED
    for unit, factor in BYTE_UNITS:
        if count >= factor:
            return f"{number(count / factor)} {unit}"
    return f"{number(count)} bytes"


def flatten(content: JsonObject, prefix: str = "") -> dict[str, str]:
    """Write nested facts one a line, as `name.of.it`."""
    flat: dict[str, str] = {}
    for key, value in content.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict):
            flat.update(flatten(value, f"{name}."))
        else:
            flat[name] = _fact(value)
    return flat


def _fact(value: Any) -> str:  # noqa: ANN401
    if value is None:
        return "not known"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:,.6g}"
    if isinstance(value, list):
        return ", ".join(str(item) for item in value)
    return str(value)


def unread_share(summary: JsonObject) -> float | None:
    """Share of what was owed that nobody received; None if not measured."""
    owed, delivered = pick(summary, "ledger", "owed"), pick(summary, "ledger", "delivered")
    if not owed or delivered is None:
        return None
    unread: float = 1 - delivered / owed
    return unread
