"""One value that a user can set: how it is read, what is allowed, how a refusal says so."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from fpaas import json_input
from fpaas.errors import SpecError
from fpaas.finite import is_plain


@dataclass(frozen=True)
class Variable:
    """One bench_* variable: how to read it and what is allowed."""

    default: Any
    #: integer | number | boolean | choice | text | auto or integer | auto or number
    kind: str
    allowed: str
    minimum: float = -math.inf
    maximum: float = math.inf
    choices: tuple[str, ...] = ()

    def read(self, name: str, value: Any) -> Any:  # noqa: ANN401
        """Convert a value as YAML, JSON or `-e name=value` (text) gives it; raises SpecError."""
        try:
            return self._convert(value)
        except (KeyError, TypeError, ValueError, OverflowError):
            raise SpecError(f"{name}: {value!r} is not allowed; {self.allowed}") from None

    def structured(self, name: str, value: Any) -> Any:  # noqa: ANN401
        """Return a list or mapping, which may be given as JSON; raises SpecError."""
        if not isinstance(value, str):
            return value
        try:
            return json_input.loads(value)
        except ValueError:
            raise SpecError(f"{name}: {value!r} is not allowed; {self.allowed}") from None

    def _convert(self, value: Any) -> Any:  # noqa: ANN401
        if self.kind == "choice":
            if value not in self.choices:
                raise ValueError
            return value
        if self.kind == "text":
            if not isinstance(value, str) or not value.strip():
                raise ValueError
            return value.strip()
        if self.kind in ("auto or integer", "auto or number") and value == "auto":
            return value
        if self.kind == "boolean":
            return {"true": True, "false": False}[str(value).lower()]
        if isinstance(value, bool) or not is_plain(value):
            raise TypeError
        number = float(value)
        if not math.isfinite(number) or not self.minimum <= number <= self.maximum:
            raise ValueError
        if self.kind in ("number", "auto or number"):
            return number
        if number != int(number):
            raise ValueError
        return int(number)


def integer(default: int, minimum: int, maximum: int, unit: str) -> Variable:
    """Return a whole number of a unit; it may have none."""
    of_unit = f" of {unit}" if unit else ""
    allowed = f"allowed: a whole number{of_unit} from {minimum} to {maximum}"
    return Variable(default, "integer", allowed, minimum, maximum)


def number(default: float, minimum: float, maximum: float, unit: str) -> Variable:
    """Return a number of a unit."""
    allowed = f"allowed: a number of {unit} from {minimum:g} to {maximum:g}"
    return Variable(default, "number", allowed, minimum, maximum)


def auto_or_number(minimum: float, maximum: float, unit: str, auto: str) -> Variable:
    """Return a variable that is a number or `auto`; the parameter says what that stands for."""
    allowed = f"allowed: auto ({auto}), or a number of {unit} from {minimum:g} to {maximum:g}"
    return Variable("auto", "auto or number", allowed, minimum, maximum)


def choice(default: str, choices: tuple[str, ...]) -> Variable:
    """Return one of a few words."""
    return Variable(default, "choice", f"allowed: {', '.join(choices)}", choices=choices)


def boolean(*, default: bool) -> Variable:
    """Return yes or no."""
    return Variable(default, "boolean", "allowed: true, false")
