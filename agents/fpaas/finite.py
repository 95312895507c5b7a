"""Numbers of the command line that are some: click takes nan and infinity for floats."""

from __future__ import annotations

import math

import click


class FiniteRange(click.FloatRange):
    """A float within bounds, neither nan nor infinite."""

    def convert(
        self, value: float, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """See click.ParamType."""
        converted: float = super().convert(value, param, ctx)
        if not math.isfinite(converted):
            self.fail(f"{value!r} is not a finite number.", param, ctx)
        return converted
