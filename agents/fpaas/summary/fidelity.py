"""How late the lab itself was."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from fpaas.bundle.parts import cumulative
from fpaas.latency.legs import merge_into
from fpaas.measures import figures
from fpaas.measures.histograms import Leg
from fpaas.records.legs import Fidelity, Lateness
from fpaas.summary.measured_run import MeasuredRun


def find(run: MeasuredRun) -> Fidelity:
    """Return how late polls, starts, event loops and the relay were."""
    lags: dict[str, Leg] = {}
    for legs in run.legs.merged.values():
        merge_into(lags, {name: leg for name, leg in legs.items() if name == "loop_lag"})
    lags_due = [count for (_, leg), count in run.legs.due.items() if leg == "loop_lag"]
    lags_known = [count for count in lags_due if count is not None]
    return Fidelity(
        poll_lateness_ms=_lateness_ms(run, "consumers", "poll_lateness"),
        poll_lateness_own_ms=_poll_lateness_own_ms(run),
        start_spread_ms=_start_spread_ms(run),
        loop_lag_ms=_unsure(
            run,
            _tail_ms(
                lags.get("loop_lag"),
                sum(lags_known) if lags_due and lags_known == lags_due else None,
            ),
            run.legs.by_log,
        ),
        relay_lateness_ms=_lateness_ms(run, "relay", "relay_lateness"),
        relay_lateness_own_ms=_lateness_ms(run, "relay", "relay_lateness_own"),
        relay_blocked_s=_relay_blocked_s(run),
    )


def _lateness_ms(run: MeasuredRun, agent: str, leg: str) -> Lateness:
    found = _tail_ms(run.legs.get(agent, leg), run.legs.due.get((agent, leg)))
    return _unsure(run, found, {agent})


def _unsure(run: MeasuredRun, found: Lateness, agents: Iterable[str]) -> Lateness:
    """Mark figures as lower bounds if a process of these agents was killed; see `Legs`."""
    if run.legs.cut_short.isdisjoint(agents):
        return found
    return msgspec.structs.replace(found, at_least=figures.unsure(msgspec.structs.asdict(found)))


def _poll_lateness_own_ms(run: MeasuredRun) -> Lateness:
    """Return the lateness of polls whose predecessor and connection did not hold them up.

    Older workers left figures of the whole run; this is the worst of them.
    """
    own = [
        msgspec.structs.asdict(result.lateness_own)
        for result in run.results or ()
        if result.lateness_own
    ]
    if not own:
        return _lateness_ms(run, "consumers", "poll_lateness_own")
    return Lateness(**{name: max(one[name] for one in own) for name in ("p50", "p99", "max")})


def _relay_blocked_s(run: MeasuredRun) -> float | None:
    """How long, in the window, sockets of the relay's subscribers took no more."""
    blocked = [
        figures.growth(list(cumulative(part.relay_samples, "blocked_s")), run.window)
        for part in run.bundle.parts("relay")
    ]
    measured = [one[0] for one in blocked if one is not None]
    return sum(measured) if measured else None


def _start_spread_ms(run: MeasuredRun) -> float | None:
    """From the first to the last start of an agent, T0 itself among them.

    Agents start by their own host's clock; this is by the NATS host's.
    """
    # Workers that went on with another's consumers have later numbers: the first start counts.
    by_consumers = {
        worker.result.first: worker.result.started_unix_ns
        + run.clocks.offset_ns(part.host, worker.result.started_unix_ns)
        for part, worker in reversed(run.bundle.workers)
        if worker.result and worker.result.started_unix_ns is not None
    }
    if not by_consumers or run.results is None:
        return None
    started = [*by_consumers.values(), run.spec.t0_unix_ns]
    return (max(started) - min(started)) / 1e6


def _tail_ms(leg: Leg | None, due_count: int | None) -> Lateness:
    return Lateness(**figures.tail_ms(leg, "p50", "p99", "max", due_count=due_count))
