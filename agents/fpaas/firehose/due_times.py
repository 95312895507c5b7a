"""When the events of a run fell due."""

from __future__ import annotations

from collections.abc import Callable

from fpaas.firehose.pace import pace_of
from fpaas.firehose.renumbering import index_of, numberings
from fpaas.spec import RunSpec


def due_times(spec: RunSpec) -> Callable[[int], int] | None:
    """Return when a position of our relay is due, in Unix nanoseconds; None of a foreign relay."""
    first_seq = spec.firehose.first_seq
    if first_seq is None or spec.firehose.rate_per_s is None:
        return None
    pace = pace_of(spec.firehose)
    t0_ns, due_ns = spec.t0_unix_ns, pace.due_ns
    numbered = list(numberings(pace.due_count, spec.faults, first_seq))
    if len(numbered) == 1:
        return lambda seq: t0_ns + due_ns(seq - first_seq)
    find = index_of(numbered)
    return lambda position: t0_ns + due_ns(find(position))
