"""Numbers as users give them: Python takes nan, infinity, 1_000 and digits of any script, too."""

from __future__ import annotations

import math

import click


def is_plain(value: object) -> bool:
    """Whether a value is no text, or text in which a number is written as people do.

    >>> [is_plain(text) for text in (10, "1e3", "1_000", "\u0661\u0660")]
    [True, True, False, False]
    """
    return not isinstance(value, str) or (value.isascii() and "_" not in value)


class FiniteRange(click.FloatRange):
    """A float within bounds, neither nan nor infinite."""

    def convert(
        self, value: float, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """See click.ParamType."""
        if not is_plain(value):
            self.fail(f"{value!r} is not a number.", param, ctx)
        converted: float = super().convert(value, param, ctx)
        if not math.isfinite(converted):
            self.fail(f"{value!r} is not a finite number.", param, ctx)
        return converted


class WholeRange(click.IntRange):
    """A whole number within bounds."""

    def convert(self, value: int, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """See click.ParamType."""
        if not is_plain(value):
            self.fail(f"{value!r} is not a whole number.", param, ctx)
        converted: int = super().convert(value, param, ctx)
        return converted
