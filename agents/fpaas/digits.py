"""How many digits of a number are written. Pure."""

from __future__ import annotations

import math


def significant(value: float, digits: int = 3) -> str:
    """Write a number with at least `digits` significant digits, thousands apart; never as 1e+03.

    >>> significant(999.6), significant(12345.6), significant(0.5), significant(0.0000123)
    ('1,000', '12,346', '0.5', '0.0000123')
    """
    if abs(value) >= 10 ** (digits - 1):
        return f"{value:,.0f}"
    written = f"{value:.{digits}g}"
    if "e" not in written:
        return written
    places = digits - 1 - math.floor(math.log10(abs(value)))
    return f"{value:.{places}f}"
