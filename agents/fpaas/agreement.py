"""Words that agree with the number that they are about. Pure."""

from __future__ import annotations

import string
from typing import Any, Final

#: Between the words for one and those for any other number.
OR: Final = "|"


def agreeing(count: object, words: str) -> str:
    """Choose among `one|many`.

    >>> agreeing(1, "call was|calls were"), agreeing(0, "call was|calls were")
    ('call was', 'calls were')
    """
    one, _, many = words.partition(OR)
    return one if count == 1 else many


def count_of(count: float, words: str) -> str:
    """Write a number and what agrees with it.

    >>> count_of(1, "delivery|deliveries"), count_of(2000, "delivery|deliveries")
    ('1 delivery', '2,000 deliveries')
    """
    return f"{count:,.0f} {agreeing(count, words)}"


class _Formatter(string.Formatter):
    def format_field(self, value: Any, format_spec: str) -> str:  # noqa: ANN401
        if OR in format_spec:
            return agreeing(value, format_spec)
        if isinstance(value, int) and not isinstance(value, bool) and not format_spec:
            format_spec = ","
        return str(super().format_field(value, format_spec))


_FORMATTER = _Formatter()


def rendered(text: str, /, *values: object, **parameters: object) -> str:
    """Fill in a format string, in which `{count:one|many}` writes no number but words.

    Whole numbers have their thousands apart.

    >>> rendered("{count} {count:frame was|frames were} lost", count=1)
    '1 frame was lost'
    """
    return _FORMATTER.vformat(text, values, parameters)
