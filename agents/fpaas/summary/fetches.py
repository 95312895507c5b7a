"""How pulls ended, and connections: counts of the whole run."""

from __future__ import annotations

from fpaas.records.consumers import PULL_ENDS, Fetches, total_of
from fpaas.records.summary import ConnectionFigures, FetchFigures
from fpaas.summary import throughput
from fpaas.summary.measured_run import MeasuredRun


def find(run: MeasuredRun) -> FetchFigures:
    """Return how all pulls ended."""
    if run.results is None:
        return total(None)
    found = total([result.fetches for result in run.results])
    found.batch_fill_pct = _batch_fill_pct(run)
    return found


def _batch_fill_pct(run: MeasuredRun) -> float | None:
    """Mean share of a batch that pulls brought, of those while measuring that brought any.

    Classes of a mix have batches of different sizes, so there is no figure of all.
    """
    if run.spec.consumers.classes:
        return None
    messages = throughput.consumers_rate(run, "processed")
    pulls = throughput.consumers_rate(run, "ok")
    if not pulls or messages is None:
        return None
    return 100 * messages / (pulls * run.spec.consumers.batch_size)


def total(parts: list[Fetches] | None) -> FetchFigures:
    """Add up how pulls ended; None each if workers left no account."""
    if parts is None:
        return FetchFigures(ok=None, empty=None, client_timeout=None, by_status=None)
    added = total_of(parts)
    counts = {name: getattr(added, name) for name in ("pulls", *PULL_ENDS, "unsent")}
    by_status = dict(sorted(added.by_status.items()))
    return FetchFigures(**counts, by_status=by_status)


def connections(run: MeasuredRun) -> ConnectionFigures:
    """Add up what workers count of their connections."""
    names = ConnectionFigures.__struct_fields__
    if run.results is None:
        return ConnectionFigures(**dict.fromkeys(names))
    parts = [result.connections for result in run.results]
    return ConnectionFigures(**{name: sum(getattr(one, name) for one in parts) for name in names})
