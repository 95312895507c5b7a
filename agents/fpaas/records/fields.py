"""Kinds of fields that records share."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from fpaas.measures.intervals import IntervalSet

_MAX = 2**63 - 1
Count = Annotated[int, Meta(ge=0, le=_MAX)]
#: Nanoseconds since 1970, by the wall clock of the host that wrote the file.
UnixNs = Annotated[int, Meta(ge=0, le=_MAX, description="Unix time, ns")]
#: A set's length is a number of 64 bits then, too.
_Bound = Annotated[int, Meta(ge=-(2**62), lt=2**62)]
#: Megabytes are 10^6 bytes everywhere.
Number = int | float
Figures = dict[str, Number | None]


def encode_other(value: object) -> object:
    """Encode what msgspec does not know: a set of intervals as `[[first, last], …]`."""
    if isinstance(value, IntervalSet):
        return list(value)
    raise NotImplementedError(f"{type(value).__name__} is in no record")


def decode_other(kind: type, raw: object) -> object:
    """Decode what `encode_other` encoded. Raises ValueError if it is not a list of intervals."""
    if kind is IntervalSet:
        return IntervalSet(msgspec.convert(raw, list[tuple[_Bound, _Bound]]))
    raise NotImplementedError(f"{kind.__name__} is in no record")
