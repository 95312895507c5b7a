"""A run's raw data → summary.json, schema 1. Figures that were not measured are None.

Everything is of the measure window, from the end of warm-up until the relay stops offering, unless
it is a count of the whole run (ledger, fetches, connections).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from fpaas.bundle import events
from fpaas.bundle.bundle import Bundle
from fpaas.bundle.parts import AgentSample, JsonObject, cumulative
from fpaas.latency import latency
from fpaas.latency.clocks import Clocks
from fpaas.latency.legs import Legs, call_window, merge_into
from fpaas.latency.processes import bins_of
from fpaas.ledger import fault_account, order, recovery, relay_account
from fpaas.ledger.balance import balance
from fpaas.ledger.evidence import Evidence, evidence_of, worker_results
from fpaas.ledger.ledger import Ledger
from fpaas.measures import figures
from fpaas.measures.delivery_log import ConsumerDeliveries
from fpaas.measures.figures import Counter as CounterSeries
from fpaas.measures.figures import Window
from fpaas.measures.histograms import Leg
from fpaas.plan import capacity, storage
from fpaas.reason import Reason
from fpaas.records import summary as records
from fpaas.records.consumers import PULL_ENDS, Fetches, total_of
from fpaas.records.nats import Lag, ServerLife, StreamState
from fpaas.records.summary import Summary
from fpaas.resources import resources, use
from fpaas.spec import NS_PER_S, RunSpec, SpecError
from fpaas.summary import message_sizes
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
    sections = _Summary(bundle, window, legs, evidence, ledger).sections()
    clock: JsonObject = msgspec.to_builtins(sections["clock"])
    happened = events.find(bundle, clock)
    sections["faults"] = fault_account.account(bundle, happened, ledger)
    sections["events"] = fault_account.attributed(happened, sections["faults"])
    figures: JsonObject = msgspec.to_builtins(sections)
    results = worker_results(bundle)
    known = facts.collect(bundle, window, legs, ledger, results, faults=figures["faults"])
    judged = verdict.judge(spec, figures, known)
    limit = limits.find(
        spec,
        figures,
        late_generators=judged.late_generators,
        breakdowns=judged.breakdowns,
        missed=[goal for goal in judged.goals if goal.status == goals.MISSED],
    )
    return sections, judged, limit


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


class _Summary:
    """Builds summary.json section by section."""

    def __init__(
        self, bundle: Bundle, window: Window, legs: Legs, evidence: Evidence, ledger: Ledger
    ) -> None:
        self._bundle = bundle
        self._spec = bundle.spec
        self._window = window
        self._legs = legs
        self._evidence = evidence
        self._ledger = ledger
        self._clocks = Clocks(bundle)
        self._results = worker_results(bundle)
        #: What rates are over: a run may have been stopped.
        self._lasted = Window(
            window.from_unix_ns, min(window.until_unix_ns, bundle.lasted_until_unix_ns)
        )

    def sections(self) -> dict[str, Any]:
        """Return the fields of `Summary`, all but the verdict, which is about all of them."""
        spec = self._spec
        t0 = spec.t0_unix_ns
        calls = call_window(spec, self._window)
        throughput = self._throughput()
        shuffler = self._bundle.shuffler
        sizes = shuffler.message_bytes if shuffler is not None else None
        message_bytes = message_sizes.total(sizes)
        return {
            "schema": SCHEMA,
            "run_id": spec.run_id,
            "scenario": spec.scenario.name,
            "delivery": spec.consumers.delivery,
            "fetch": spec.consumers.fetch,
            "window": records.Window(
                from_s=(self._window.from_unix_ns - t0) / NS_PER_S,
                until_s=(self._window.until_unix_ns - t0) / NS_PER_S,
                # Calls are filed under bins, so a window that cuts one differs from theirs.
                calls_from_s=(calls.from_unix_ns - t0) / NS_PER_S,
                calls_until_s=(calls.until_unix_ns - t0) / NS_PER_S,
                calls_by="beginning" if self._legs.by_beginning else "end",
            ),
            "throughput": throughput,
            "latency_ms": self._latency(),
            "message_bytes": message_bytes,
            "message_bytes_by_kind": message_sizes.by_kind(sizes),
            "storage": self._storage(message_bytes.mean, throughput.published_per_s),
            "resources": self._resources(),
            "use": self._use(),
            "jetstream": self._jetstream(),
            "ledger": self._ledger.figures(),
            "relay": relay_account.account(self._bundle, self._window),
            "order": self._order(),
            "fetches": self._fetches(),
            "connections": self._connections(),
            "fidelity": self._fidelity(),
            "recovery": recovery.find(self._bundle, self._ledger),
            "plan": capacity.predict(spec),
            "classes": self._classes(),
            "clock": {
                host: records.HostClock(**clock.figures())
                for host, clock in self._clocks.hosts.items()
            },
        }

    def _latency(self) -> dict[str, records.Leg]:
        legs = latency.legs_ms(
            self._bundle,
            self._legs,
            self._clocks,
            self._window,
            self._undelivered(),
            complete=self._results is not None,
        )
        return {name: records.Leg(**leg) for name, leg in legs.items()}

    def _undelivered(self) -> latency.Undelivered:
        return latency.Undelivered(_undelivered(self._ledger), self._ledger.stored)

    # -- throughput --------------------------------------------------------------------------------

    def _throughput(self) -> records.Throughput:
        shufflers = [part.shuffler_samples for part in self._bundle.parts("shuffler")]
        relays = [part.relay_samples for part in self._bundle.parts("relay")]
        # Of a foreign relay, what was read is what was offered.
        offered = (
            (shufflers, "read") if self._spec.firehose.rate_per_s is None else (relays, "events")
        )
        return records.Throughput(
            offered_per_s=self._rate(*offered),
            published_per_s=self._rate(shufflers, "published"),
            processed_per_s=self._processed_per_s(),
            per_consumer_per_s=records.PerConsumer(**_per_consumer(self._rates_of_all())),
        )

    def _rate(self, sources: Iterable[Sequence[AgentSample]], name: str) -> float | None:
        counters: list[CounterSeries] = [list(cumulative(samples, name)) for samples in sources]
        return figures.rate_per_s(counters, self._lasted)

    def _consumers_rate(self, name: str) -> float | None:
        return figures.rate_per_s(self._bundle.consumer_counters(name), self._lasted)

    def _processed_per_s(self) -> float | None:
        """Return the rate by what each consumer logged; by workers' samples if a log is missing."""
        rates = self._rates_of_all()
        if rates:
            return sum(rates)
        return self._consumers_rate("processed") if self._results else None

    def _rates_of_all(self) -> list[float] | None:
        if not self._has_all_deliveries():
            return None
        logs = [one for _, worker in self._bundle.workers for one in worker.deliveries or ()]
        return self._rates(logs, range(self._spec.consumers.count))

    def _has_all_deliveries(self) -> bool:
        every = [worker.deliveries for _, worker in self._bundle.workers]
        return bool(self._results) and all(logs is not None for logs in every)

    def _rates(
        self, logs: list[ConsumerDeliveries], consumers: Iterable[int]
    ) -> list[float] | None:
        """Return the messages a second of each of these consumers, whose logs these are."""
        if self._lasted.length_s < figures.COVERED_MIN_S:
            return None
        since_ms = (self._lasted.from_unix_ns - self._spec.t0_unix_ns) / 1e6
        until_ms = (self._lasted.until_unix_ns - self._spec.t0_unix_ns) / 1e6
        # A consumer may have several logs, of streams and of workers that ended; or none, if its
        # worker was killed before it got anything.
        counts = Counter(dict.fromkeys(consumers, 0))
        for one in logs:
            counts[one.consumer_index] += sum(
                count for at_ms, _, _, count in one.runs if since_ms <= at_ms < until_ms
            )
        return [count / self._lasted.length_s for count in counts.values()]

    # -- messages ----------------------------------------------------------------------------------

    def _storage(
        self, payload_bytes_mean: float | None, published_per_s: float | None
    ) -> records.Storage:
        """Follow from the stream at its fullest: the more messages, the closer to their mean."""
        states = [(0, 0)]
        for part in self._bundle.parts("nats"):
            seen = [sample.stream for sample in part.nats_samples if sample.stream]
            if part.server_final is not None:
                seen.append(part.server_final.stream_after)
            states += [(stream.messages, stream.bytes) for stream in seen]
        messages, bytes_ = max(states)
        estimated = storage.estimate(
            payload_bytes_mean, bytes_ or None, messages or None, published_per_s
        )
        estimated["rates"] = [records.StorageRate(**rate) for rate in estimated["rates"]]
        return records.Storage(**estimated)

    # -- resources ---------------------------------------------------------------------------------

    def _resources(self) -> records.Resources:
        processes = resources.processes(self._bundle, self._window)
        return records.Resources(
            hosts=resources.hosts(self._bundle, self._window),
            processes={
                process: records.ProcessResources(
                    **{name: records.MeanMax(**figure) for name, figure in used.items()}
                )
                for process, used in processes.items()
            },
        )

    def _use(self) -> dict[str, dict[str, records.Use]]:
        found = use.view(
            resources.hosts(self._bundle, self._window),
            resources.by_host(self._bundle, self._window),
            self._window.length_s,
            self._legs.p99_ms_by_host("loop_lag"),
            resources.errors_by_host(self._bundle),
        )
        return {
            host: {name: records.Use(**one) for name, one in used.items()}
            for host, used in found.items()
        }

    # -- the server -------------------------------------------------------------------------------

    def _jetstream(self) -> records.Jetstream:
        """Return the server's figures: the last of the window; slow consumers of the whole run."""
        stream: StreamState | None = None
        lag: Lag | None = None
        slow: Counter[str] = Counter()
        parts = self._bundle.parts("nats")
        for part in parts:
            lives: list[ServerLife] = [one.varz for one in part.nats_samples if one.varz]
            if part.server_final is not None and part.server_final.server is not None:
                lives.append(part.server_final.server)
            for life in lives:
                # A server that is started again starts counting from 0.
                slow[life.server_id] = max(slow[life.server_id], life.slow_consumers or 0)
        samples = [sample for part in parts for sample in part.nats_samples]
        for sample in sorted(samples, key=lambda sample: sample.unix_ns):
            if sample.unix_ns in self._window:
                # Of many consumers a sweep takes several samples' time.
                lag = sample.lag or lag
                stream = sample.stream or stream
        pending = [one.connz.pending_bytes_max for one in samples if one.connz]
        return records.Jetstream(
            messages=stream.messages if stream else None,
            bytes=stream.bytes if stream else None,
            consumers=stream.consumer_count if stream else None,
            consumer_lag=records.ConsumerLag(
                mean=lag.sum / lag.consumers if lag and lag.consumers else None,
                p50=lag.p50 if lag else None,
                p99=lag.p99 if lag else None,
                max=lag.max if lag else None,
            ),
            connection_pending_bytes_max=max(
                (count for count in pending if count is not None), default=None
            ),
            slow_consumers=sum(slow.values()) if slow else None,
        )

    # -- counts ------------------------------------------------------------------------------------

    def _fetches(self) -> records.FetchFigures:
        if self._results is None:
            return _fetch_figures(None)
        found = _fetch_figures([result.fetches for result in self._results])
        found.batch_fill_pct = self._batch_fill_pct()
        return found

    def _batch_fill_pct(self) -> float | None:
        """Mean share of a batch that pulls brought, of those while measuring that brought any.

        Classes of a mix have batches of their own size, so that it is no figure of all.
        """
        if self._spec.consumers.classes:
            return None
        messages, pulls = self._consumers_rate("processed"), self._consumers_rate("ok")
        if not pulls or messages is None:
            return None
        return 100 * messages / (pulls * self._spec.consumers.batch_size)

    def _order(self) -> records.Order:
        """Count events of one DID that lost their order; see fpaas.ledger.order."""
        shuffler, deliveries = self._evidence.shuffler, self._evidence.deliveries
        dids = self._evidence.dids
        in_stream = at_consumers = None
        if shuffler is not None and not shuffler.stream_began_anew:
            in_stream = _sum_of_known(
                order.violations_in_stream(shuffler.stream_seqs, dids),
                *(
                    order.violations_in_stream(one.record.stream_seqs, one.dids)
                    for one in self._evidence.lost
                ),
            )
        if deliveries is not None:
            at_consumers = _sum_of_known(
                order.violations_at_consumers(deliveries, dids),
                *(
                    order.violations_at_consumers(one.deliveries or (), one.dids)
                    for one in self._evidence.lost
                ),
            )
        return records.Order(violations_in_stream=in_stream, violations_at_consumers=at_consumers)

    def _connections(self) -> records.ConnectionFigures:
        names = records.ConnectionFigures.__struct_fields__
        if self._results is None:
            return records.ConnectionFigures(**dict.fromkeys(names))
        return records.ConnectionFigures(
            **_sums((result.connections for result in self._results), *names)
        )

    def _classes(self) -> dict[str, records.ClassFigures]:
        """Return the figures of each class of a mix."""
        spec, plans = self._spec, capacity.by_class(self._spec)
        logs: list[list[ConsumerDeliveries]] = [[] for _ in plans]
        for _, worker in self._bundle.workers if plans else ():
            for log in worker.deliveries or ():
                logs[spec.class_of(log.consumer_index)].append(log)
        found = {}
        for number, one in enumerate(spec.consumers.classes):
            own = logs[number] if self._has_all_deliveries() else None
            indices = [
                index for index in range(spec.consumers.count) if spec.class_of(index) == number
            ]
            rates = None if own is None else self._rates(own, indices)
            fetched = None if own is None else {log.consumer_index for log in own if log.runs}
            played = [
                result.by_class[one.name]
                for result in self._results or ()
                if one.name in result.by_class
            ]
            ledger = self._ledger.by_class.get(one.name, records.LedgerFigures())
            found[one.name] = records.ClassFigures(
                consumers=one.count,
                filters=one.filters(),
                processed_per_s=None if rates is None else sum(rates),
                per_consumer_per_s=records.PerConsumer(**_per_consumer(rates)),
                consumers_never_fetched=None if fetched is None else one.count - len(fetched),
                polls=sum(part.polls for part in played) if played else None,
                fetches=_fetch_figures([part.fetches for part in played] if played else None),
                ledger=ledger,
                latency_ms={
                    leg: records.Leg(**figures_ms)
                    for leg, figures_ms in latency.of_class_ms(
                        one.name, self._legs, self._clocks, _undelivered(ledger)
                    ).items()
                },
                plan=plans[one.name],
            )
        return found

    # -- fidelity ----------------------------------------------------------------------------------

    def _fidelity(self) -> records.Fidelity:
        lags: dict[str, Leg] = {}
        for legs in self._legs.merged.values():
            merge_into(lags, {name: leg for name, leg in legs.items() if name == "loop_lag"})
        lags_due = [count for (_, leg), count in self._legs.due.items() if leg == "loop_lag"]
        lags_known = [count for count in lags_due if count is not None]
        return records.Fidelity(
            poll_lateness_ms=self._lateness_ms("consumers", "poll_lateness"),
            poll_lateness_own_ms=self._poll_lateness_own_ms(),
            start_spread_ms=self._start_spread_ms(),
            loop_lag_ms=self._unsure(
                _tail_ms(
                    lags.get("loop_lag"),
                    sum(lags_known) if lags_due and lags_known == lags_due else None,
                ),
                self._legs.by_log,
            ),
            relay_lateness_ms=self._lateness_ms("relay", "relay_lateness"),
            relay_lateness_own_ms=self._lateness_ms("relay", "relay_lateness_own"),
            relay_blocked_s=self._relay_blocked_s(),
        )

    def _lateness_ms(self, agent: str, leg: str) -> records.Lateness:
        found = _tail_ms(self._legs.get(agent, leg), self._legs.due.get((agent, leg)))
        return self._unsure(found, {agent})

    def _unsure(self, found: records.Lateness, agents: Iterable[str]) -> records.Lateness:
        """Mark figures as lower bounds if a process of these agents was killed; see `Legs`."""
        if self._legs.cut_short.isdisjoint(agents):
            return found
        return msgspec.structs.replace(
            found, at_least=figures.unsure(msgspec.structs.asdict(found))
        )

    def _poll_lateness_own_ms(self) -> records.Lateness:
        """Return the lateness of polls whose predecessor and connection did not hold them up.

        Older workers left figures of the whole run, of which this is the worst.
        """
        own = [
            msgspec.structs.asdict(result.lateness_own)
            for result in self._results or ()
            if result.lateness_own
        ]
        if not own:
            return self._lateness_ms("consumers", "poll_lateness_own")
        return records.Lateness(
            **{name: max(one[name] for one in own) for name in ("p50", "p99", "max")}
        )

    def _relay_blocked_s(self) -> float | None:
        """How long, in the window, sockets of the relay's subscribers took no more."""
        blocked = [
            figures.growth(list(cumulative(part.relay_samples, "blocked_s")), self._window)
            for part in self._bundle.parts("relay")
        ]
        measured = [one[0] for one in blocked if one is not None]
        return sum(measured) if measured else None

    def _start_spread_ms(self) -> float | None:
        """From the first to the last start of an agent, T0 itself among them.

        Agents start by their own host's clock; this is by the NATS host's.
        """
        # Workers that went on with another's consumers have later numbers: the first start counts.
        by_consumers = {
            worker.result.first: worker.result.started_unix_ns
            + round(1e6 * self._clocks.offset_ms(part.host))
            for part, worker in reversed(self._bundle.workers)
            if worker.result and worker.result.started_unix_ns is not None
        }
        if not by_consumers or self._results is None:
            return None
        started = [*by_consumers.values(), self._spec.t0_unix_ns]
        return (max(started) - min(started)) / 1e6


def _undelivered(ledger: records.LedgerFigures) -> int | None:
    """Return how many deliveries were owed and not made."""
    if ledger.owed is None or ledger.delivered is None:
        return None
    return ledger.owed - ledger.delivered


def _tail_ms(leg: Leg | None, due_count: int | None) -> records.Lateness:
    return records.Lateness(**figures.tail_ms(leg, "p50", "p99", "max", due_count=due_count))


def _rounded(value: Any) -> Any:  # noqa: ANN401
    """Round floats in a JSON value: a digit beyond a microsecond or a millipercent is noise."""
    if isinstance(value, float):
        return round(value, DECIMALS)
    if isinstance(value, dict):
        return {key: _rounded(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_rounded(one) for one in value]
    return value


def _per_consumer(rates: list[float] | None) -> dict[str, float | None]:
    names = ("min", "p50", "p99", "max")
    return dict.fromkeys(names) if rates is None else figures.distribution(rates, *names)


def _fetch_figures(parts: list[Fetches] | None) -> records.FetchFigures:
    if parts is None:
        return records.FetchFigures(ok=None, empty=None, client_timeout=None, by_status=None)
    total = total_of(parts)
    counts = {name: getattr(total, name) for name in ("pulls", *PULL_ENDS, "unsent")}
    by_status = dict(sorted(total.by_status.items()))
    return records.FetchFigures(**counts, by_status=by_status)


def _sum_of_known(*counts: int | None) -> int | None:
    """Add counts up; None if one of them is."""
    known = [count for count in counts if count is not None]
    return sum(known) if len(known) == len(counts) else None


def _sums(objects: Iterable[msgspec.Struct], *names: str) -> JsonObject:
    rows = list(objects)
    return {name: sum(getattr(row, name) for row in rows) for name in names}
