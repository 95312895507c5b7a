"""`calls` of a line of samples: by leg, which calls began since the last line and which are open.

Calls are filed under stretches of the run: whole seconds since T0, split where its phases meet.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

import msgspec

from fpaas.measures.calls import CallRecorder
from fpaas.records.fields import Count
from fpaas.spec.described import doc

#: Where a stretch starts, in seconds since T0.
StretchStart = float


class CallFigures(msgspec.Struct, frozen=True):
    """What a line of samples says of one leg's calls."""

    begun: Annotated[
        list[tuple[StretchStart, Count]],
        doc("[start of a stretch in seconds since T0, calls that began in it since the last line]"),
    ] = []
    open: Annotated[
        list[tuple[StretchStart, Count, float]],
        doc("[start of a stretch, calls of it that are open now, age of the youngest in ms]"),
    ] = []


Calls = dict[str, CallFigures]


def sampled(recorders: Iterable[object], now_unix_ns: int) -> Calls:
    """Return `calls` of a sample: the figures of those recorders that are of calls, by leg."""
    return {
        one.leg: CallFigures(*one.begun_and_open(now_unix_ns))
        for one in recorders
        if isinstance(one, CallRecorder)
    }
