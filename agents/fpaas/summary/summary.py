"""A run's raw data → summary.json, schema 1. Figures that were not measured are None.

Everything is of the measure window, from the end of warm-up until the relay stops offering, unless
it is a count of the whole run (ledger, fetches, connections).
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import msgspec

from fpaas.bundle import events
from fpaas.bundle.bundle import Bundle
from fpaas.bundle.parts import JsonObject
from fpaas.latency import latency
from fpaas.latency.legs import Legs, call_window
from fpaas.latency.processes import bins_of
from fpaas.ledger import fault_account, order, recovery, relay_account, undelivered
from fpaas.ledger.balance import balance
from fpaas.ledger.evidence import Evidence, evidence_of
from fpaas.ledger.ledger import Ledger
from fpaas.measures.figures import Window
from fpaas.plan import capacity
from fpaas.reason import Reason
from fpaas.records import legs as legs_records
from fpaas.records import summary as records
from fpaas.records.accounts import Order
from fpaas.records.legs import HostClock
from fpaas.records.summary import Summary
from fpaas.records.usage import MeanMax, ProcessResources, Resources, Use
from fpaas.resources import resources, use
from fpaas.spec import NS_PER_S, RunSpec, SpecError
from fpaas.summary import classes, fetches, fidelity, message_sizes, server, throughput
from fpaas.summary.measured_run import MeasuredRun
from fpaas.verdict import facts, goals, limits, trimming, verdict
from fpaas.verdict.verdict import Verdict

SCHEMA = 1
DECIMALS = 4


def analyse(bundle: Bundle, warmup_s: float | None = None) -> JsonObject:
    """Reduce a bundle to the content of summary.json, ledger and verdict included.

    `warmup_s` trims again, in place of the run's own warm-up; the status is then no better than by
    that. Raises SpecError if it leaves nothing to measure, or cuts a second in two.
    """
    spec = bundle.spec
    own, window = measure_window(spec), measure_window(spec, warmup_s)
    starts_at = bins_of(spec).bounds(window.from_unix_ns)[0]
    if warmup_s is not None and window.from_unix_ns != starts_at:
        raise SpecError(
            f"a warm-up of {warmup_s} s ends within a second, and calls are filed by seconds; "
            f"allowed: whole seconds, and the run's own {spec.warmup_s:g}"
        )
    evidence = evidence_of(bundle)
    ledger = balance(spec, evidence)
    sections, judged, limit = _judge(bundle, window, evidence, ledger)
    if window != own:
        _, by_own, own_limit = _judge(bundle, own, evidence, ledger)
        judged, is_hidden = trimming.no_better(judged, by_own, sections["window"], spec)
        limit = own_limit if is_hidden else limit
    summary = Summary(
        **sections,
        verdict=judged.verdict(),
        notes=judged.notes_written(),
        goals=judged.goals_judged(),
        limited_by=verdict.limit_of(limit),
    )
    rounded: JsonObject = _rounded(msgspec.to_builtins(summary))
    return rounded


def _judge(
    bundle: Bundle, window: Window, evidence: Evidence, ledger: Ledger
) -> tuple[dict[str, Any], Verdict, Reason]:
    """Return the sections, the verdict and the limit of a window."""
    spec = bundle.spec
    legs = Legs.read(bundle, window)
    legs.undelivered = undelivered.ages_us(bundle, evidence, ledger)
    run = MeasuredRun(bundle, window, legs, evidence, ledger)
    sections = _sections(run)
    clock: JsonObject = msgspec.to_builtins(sections["clock"])
    happened = events.find(bundle, clock)
    sections["faults"] = fault_account.account(bundle, happened, ledger)
    sections["events"] = fault_account.attributed(happened, sections["faults"])
    figures: JsonObject = msgspec.to_builtins(sections)
    known = facts.collect(bundle, window, legs, ledger, run.results, faults=figures["faults"])
    judged = verdict.judge(spec, figures, known)
    limit = limits.find(
        spec,
        figures,
        late_generators=judged.late_generators,
        breakdowns=judged.breakdowns,
        missed=[goal for goal in judged.goals if goal.status == goals.MISSED],
    )
    return sections, judged, limit


def _made_again(run: MeasuredRun) -> dict[str, int] | None:
    """Add up how often ordered consumers were made again, by cause."""
    if not run.spec.consumers.is_ordered or run.results is None:
        return None
    added: Counter[str] = Counter()
    for result in run.results:
        added.update(result.made_again)
    return dict(sorted(added.items()))


def measure_window(spec: RunSpec, warmup_s: float | None = None) -> Window:
    """Return the window that figures are of. Raises SpecError if it is empty."""
    from_ns = spec.measure_from_unix_ns
    if warmup_s is not None:
        offer_s = spec.warmup_s + spec.measure_s
        if not 0 <= warmup_s < offer_s:
            raise SpecError(
                f"a warm-up of {warmup_s:g} s leaves nothing to measure; "
                f"allowed: 0 to less than {offer_s:g} s, when the relay stopped offering"
            )
        from_ns = spec.t0_unix_ns + round(warmup_s * NS_PER_S)
    return Window(from_ns, spec.offer_until_unix_ns)


def _sections(run: MeasuredRun) -> dict[str, Any]:
    """Return the fields of `Summary`, all but the verdict, which is about all of them."""
    spec = run.spec
    t0 = spec.t0_unix_ns
    calls = call_window(spec, run.window)
    rates = throughput.find(run)
    shuffler = run.bundle.shuffler
    sizes = shuffler.message_bytes if shuffler is not None else None
    message_bytes = message_sizes.total(sizes)
    return {
        "schema": SCHEMA,
        "run_id": spec.run_id,
        "scenario": spec.scenario.name,
        "delivery": spec.consumers.delivery,
        "fetch": spec.consumers.fetch,
        "consumer_kind": spec.consumers.kind,
        "made_again": _made_again(run),
        "window": records.Window(
            from_s=(run.window.from_unix_ns - t0) / NS_PER_S,
            until_s=(run.window.until_unix_ns - t0) / NS_PER_S,
            # Calls are filed under bins, so a window that cuts one differs from theirs.
            calls_from_s=(calls.from_unix_ns - t0) / NS_PER_S,
            calls_until_s=(calls.until_unix_ns - t0) / NS_PER_S,
            calls_by="beginning" if run.legs.by_beginning else "end",
        ),
        "throughput": rates,
        "latency_ms": _latency(run),
        "message_bytes": message_bytes,
        "message_bytes_by_kind": message_sizes.by_kind(sizes),
        "storage": server.stored(run, message_bytes.mean, rates.published_per_s),
        "resources": _resources(run),
        "use": _use(run),
        "jetstream": server.jetstream(run),
        "ledger": run.ledger.figures(),
        "relay": relay_account.account(run.bundle, run.window),
        "order": _order(run),
        "fetches": fetches.find(run),
        "connections": fetches.connections(run),
        "fidelity": fidelity.find(run),
        "recovery": recovery.find(run.bundle, run.evidence, run.ledger),
        "plan": capacity.predict(spec),
        "classes": classes.find(run),
        "clock": {host: HostClock(**clock.figures()) for host, clock in run.clocks.hosts.items()},
    }


def _latency(run: MeasuredRun) -> dict[str, legs_records.Leg]:
    legs = latency.legs_ms(
        run.bundle,
        run.legs,
        run.clocks,
        run.window,
        complete=run.results is not None,
    )
    return {name: legs_records.Leg(**leg) for name, leg in legs.items()}


def _resources(run: MeasuredRun) -> Resources:
    processes = resources.processes(run.bundle, run.window)
    return Resources(
        hosts=resources.hosts(run.bundle, run.window),
        processes={
            process: ProcessResources(**{name: MeanMax(**figure) for name, figure in used.items()})
            for process, used in processes.items()
        },
    )


def _use(run: MeasuredRun) -> dict[str, dict[str, Use]]:
    found = use.view(
        resources.hosts(run.bundle, run.window),
        resources.by_host(run.bundle, run.window),
        run.window.length_s,
        run.legs.p99_ms_by_host("loop_lag"),
        resources.errors_by_host(run.bundle),
    )
    return {host: {name: Use(**one) for name, one in used.items()} for host, used in found.items()}


def _order(run: MeasuredRun) -> Order:
    """Count events of one DID that lost their order; see fpaas.ledger.order."""
    shuffler, deliveries = run.evidence.shuffler, run.evidence.deliveries
    in_stream = at_consumers = None
    if shuffler is not None and not shuffler.stream_began_anew:
        in_stream = _sum_of_known(
            *(
                None
                if (seqs := one.stream_seqs) is None
                else order.violations_in_stream(seqs, one.dids)
                for one in run.evidence.streams
            ),
            *(
                order.violations_in_stream(one.record.stream_seqs, one.dids)
                for one in run.evidence.lost
            ),
        )
    if deliveries is not None:
        at_consumers = _sum_of_known(
            *(
                order.violations_at_consumers(one.deliveries or (), one.dids)
                for one in run.evidence.streams
            ),
            *(
                order.violations_at_consumers(one.deliveries or (), one.dids)
                for one in run.evidence.lost
            ),
        )
    return Order(violations_in_stream=in_stream, violations_at_consumers=at_consumers)


def _sum_of_known(*counts: int | None) -> int | None:
    """Add counts up; None if one of them is."""
    known = [count for count in counts if count is not None]
    return sum(known) if len(known) == len(counts) else None


def _rounded(value: Any) -> Any:  # noqa: ANN401
    """Round floats in a JSON value: a digit beyond a microsecond or a millipercent is noise."""
    if isinstance(value, float):
        return round(value, DECIMALS)
    if isinstance(value, dict):
        return {key: _rounded(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_rounded(one) for one in value]
    return value
