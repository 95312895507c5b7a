"""A run's raw data → summary.json, schema 1. Figures that were not measured are None.

Everything is of the measure window, from the end of warm-up until the relay stops offering, unless
it is a count of the whole run (ledger, fetches, connections).

A leg's `clock_error_ms` is how far it can be off because two hosts' clocks were compared: the NATS
host's with another, |offset| + bound as the probe found them (legs are not corrected). Legs with
both ends on one host's clock have 0; None means that the clocks' bound is not known. In a cluster
any server may have stamped a message, so the worst of theirs comes on top.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fpaas.measures import histograms
from fpaas.measures.histograms import Leg
from fpaas.plan import capacity
from fpaas.results import figures, ledger, verdict
from fpaas.results.bundle import Bundle, HostPart, JsonObject, WorkerResult, cumulative
from fpaas.results.figures import Counter as CounterSeries
from fpaas.results.figures import Window
from fpaas.results.ledger import Ledger
from fpaas.spec import NS_PER_S, RunSpec, SpecError

SCHEMA = 1
DECIMALS = 4
#: consumers-W.first_fetch.bin.gz: units of 0.1 ms, plus one.
FIRST_FETCH_UNITS_PER_MS = 10
SHUFFLER_LEGS = ("publish_ack", "due_to_read", "due_to_ack")
CONSUMER_LEGS = ("end_to_end", "fetch_call", "fetch_call_intended", "publish_to_fetch")
PROCESSES = ("nats", "shuffler", "consumers", "relay")


def analyse(bundle: Bundle, warmup_s: float | None = None) -> JsonObject:
    """Reduce a bundle to the content of summary.json, ledger and verdict included.

    `warmup_s` trims anew, in place of the run's own warm-up. Raises SpecError where it leaves
    nothing to measure.
    """
    spec = bundle.spec
    window = measure_window(spec, warmup_s)
    legs = Legs.read(bundle, window)
    balance = ledger.account(spec, evidence_of(bundle))
    summary = _Summary(bundle, window, legs, balance).build()
    judged = verdict.judge(spec, summary, _facts(bundle, window, legs, balance))
    summary["verdict"] = {"status": judged.status, "reasons": judged.reasons}
    summary["notes"] = judged.notes
    rounded: JsonObject = _rounded(summary)
    return rounded


def measure_window(spec: RunSpec, warmup_s: float | None = None) -> Window:
    """Return the window that figures are of. Raises SpecError where it is empty."""
    from_ns = spec.measure_from_unix_ns
    if warmup_s is not None:
        from_ns = spec.t0_unix_ns + round(warmup_s * NS_PER_S)
        offer_s = spec.warmup_s + spec.measure_s
        if not 0 <= warmup_s < offer_s:
            raise SpecError(
                f"a warm-up of {warmup_s:g} s leaves nothing to measure; "
                f"allowed: 0 to less than {offer_s:g} s, when the relay stopped offering"
            )
    return Window(from_ns, spec.offer_until_unix_ns)


def evidence_of(bundle: Bundle) -> ledger.Evidence:
    """Collect what the ledger balances; consumers only where every one of them is there."""
    workers = bundle.workers
    results = worker_results(bundle)
    deliveries = [worker.deliveries for _, worker in workers]
    complete = results is not None and all(logs is not None for logs in deliveries)
    partitions = (part.partitions for part in bundle.parts("shuffler"))
    return ledger.Evidence(
        relay=bundle.relay,
        shuffler=bundle.shuffler,
        server=bundle.server_final,
        deliveries=[log for logs in deliveries for log in logs or ()] if complete else None,
        workers=results,
        partitions=next((array for array in partitions if array is not None), None),
    )


def worker_results(bundle: Bundle) -> list[WorkerResult] | None:
    """Return every worker's figures; None unless all of the run's consumers are among them."""
    results = [worker.result for _, worker in bundle.workers if worker.result is not None]
    played = sum(result.count for result in results)
    return results if played == bundle.spec.consumers.count else None


@dataclass
class Legs:
    """Latency legs of the window, by agent, and what each process of an agent saw by itself."""

    merged: dict[str, dict[str, Leg]]
    by_log: dict[str, list[tuple[str, dict[str, Leg]]]]

    @classmethod
    def read(cls, bundle: Bundle, window: Window) -> Legs:
        """Merge all histogram logs of a bundle; a log that is torn is added to its problems."""
        legs = cls({}, {})
        for agent in ("relay", "shuffler", "consumers"):
            logs = legs.by_log[agent] = []
            merged = legs.merged[agent] = {}
            for part in bundle.hosts.values():
                for path in part.histogram_logs(agent):
                    one = _read_log(path, window)
                    if isinstance(one, str):
                        bundle.problems.append(f"{part.host}: {path.name}: {one}")
                        continue
                    logs.append((f"{path.name.removesuffix('.hlog')} on {part.host}", one))
                    _add(merged, one)
        return legs

    def get(self, agent: str, leg: str) -> Leg | None:
        """One leg over all of an agent's processes."""
        return self.merged[agent].get(leg)

    def worst_p99_ms(self, agent: str, leg: str) -> tuple[str, float] | None:
        """Return the process with the highest p99 of a leg, and that p99."""
        found = [
            (value / 1000, name)
            for name, legs in self.by_log[agent]
            if leg in legs and (value := legs[leg].percentile_us(99)) is not None
        ]
        return None if not found else (max(found)[1], max(found)[0])


def _read_log(path: Path, window: Window) -> dict[str, Leg] | str:
    try:
        return histograms.merge_logs(
            [path], from_unix_s=window.from_unix_s, until_unix_s=window.until_unix_s
        )
    except Exception as error:  # noqa: BLE001 - the decoder's errors have no common class
        return f"cannot be decoded: {error}"


def _add(target: dict[str, Leg], source: dict[str, Leg]) -> None:
    for name, leg in source.items():
        into = target.setdefault(name, Leg(histograms.new_histogram(), histograms.new_histogram()))
        into.positive.add(leg.positive)
        into.negative.add(leg.negative)


class _Summary:
    """Builds summary.json section by section."""

    def __init__(self, bundle: Bundle, window: Window, legs: Legs, balance: Ledger) -> None:
        self._bundle = bundle
        self._spec = bundle.spec
        self._window = window
        self._legs = legs
        self._ledger = balance
        self._results = worker_results(bundle)

    def build(self) -> JsonObject:
        """Return everything but the verdict, which is about all of it."""
        spec = self._spec
        t0 = spec.t0_unix_ns
        return {
            "schema": SCHEMA,
            "run_id": spec.run_id,
            "scenario": spec.scenario.name,
            "delivery": spec.consumers.delivery,
            "fetch": spec.consumers.fetch,
            "verdict": None,
            "window": {
                "from_s": (self._window.from_unix_ns - t0) / NS_PER_S,
                "until_s": (self._window.until_unix_ns - t0) / NS_PER_S,
            },
            "throughput": self._throughput(),
            "latency_ms": self._latency(),
            "message_bytes": self._message_bytes(),
            "resources": {"hosts": self._hosts(), "processes": self._processes()},
            "jetstream": self._jetstream(),
            "ledger": self._ledger.figures(),
            "fetches": self._fetches(),
            "connections": self._connections(),
            "fidelity": self._fidelity(),
            "plan": capacity.predict(spec),
            "clock": self._clock(),
        }

    # -- throughput --------------------------------------------------------------------------------

    def _throughput(self) -> JsonObject:
        shufflers = [part.shuffler_samples for part in self._bundle.parts("shuffler")]
        relays = [part.relay_samples for part in self._bundle.parts("relay")]
        workers = [worker.samples for _, worker in self._bundle.workers]
        # Of a foreign relay, what was read is what was offered.
        offered = (
            (shufflers, "read") if self._spec.firehose.rate_per_s is None else (relays, "offered")
        )
        return {
            "offered_per_s": self._rate(*offered),
            "published_per_s": self._rate(shufflers, "published"),
            "processed_per_s": self._rate(workers, "processed") if self._results else None,
            "per_consumer_per_s": self._per_consumer(),
        }

    def _rate(self, sources: Iterable[list[JsonObject]], name: str) -> float | None:
        counters: list[CounterSeries] = [list(cumulative(samples, name)) for samples in sources]
        return figures.rate_per_s(counters, self._window)

    def _per_consumer(self) -> dict[str, float | None]:
        names = ("min", "p50", "p99", "max")
        logs = [worker.deliveries for _, worker in self._bundle.workers]
        if not self._results or any(log is None for log in logs):
            return dict.fromkeys(names)
        since_ms = (self._window.from_unix_ns - self._spec.t0_unix_ns) / 1e6
        until_ms = (self._window.until_unix_ns - self._spec.t0_unix_ns) / 1e6
        rates = [
            sum(count for at_ms, _, _, count in one.runs if since_ms <= at_ms < until_ms)
            / self._window.length_s
            for log in logs
            for one in log or ()
        ]
        return figures.distribution(rates, *names)

    # -- latency -----------------------------------------------------------------------------------

    def _latency(self) -> dict[str, JsonObject]:
        latency = {"publish_ack": figures.NO_LEG, "publish_to_first_fetch": self._first_fetch()}
        for agent, names in (("shuffler", SHUFFLER_LEGS), ("consumers", CONSUMER_LEGS)):
            for name in names:
                leg = self._legs.get(agent, name)
                latency[name] = (
                    figures.leg_ms(leg, self._clock_error_ms(name)) if leg else figures.NO_LEG
                )
        return latency

    def _first_fetch(self) -> JsonObject:
        """Time from stored to the first fetch by anybody, of the fetches in the window."""
        arrays = [worker.first_fetch for _, worker in self._bundle.workers]
        stored_at = self._stored_at()
        if not self._results or stored_at is None or any(array is None for array in arrays):
            return figures.NO_LEG
        earliest: dict[int, int] = {}
        for array in arrays:
            for stream_seq, units in enumerate(array or (), 1):
                if units and units < earliest.get(stream_seq, units + 1):
                    earliest[stream_seq] = units
        ages_ms = {seq: (units - 1) / FIRST_FETCH_UNITS_PER_MS for seq, units in earliest.items()}
        values = [
            age_ms
            for seq, age_ms in ages_ms.items()
            if (stored_ns := figures.value_at(stored_at, seq)) is not None
            and round(stored_ns + age_ms * 1e6) in self._window
        ]
        return {
            "count": len(values),
            **figures.distribution(values, "min", "p50", "p90", "p99", "p999", "max"),
            # The file has no room for a sign.
            "negative_count": None,
            "clock_error_ms": self._clock_error_ms("publish_to_first_fetch"),
        }

    def _stored_at(self) -> list[tuple[int, float]] | None:
        """When a stream sequence was stored, by the shuffler's samples: good enough to cut by."""
        for part in self._bundle.parts("shuffler"):
            times: dict[int, float] = {
                int(seq): unix_ns
                for unix_ns, seq in cumulative(part.shuffler_samples, "last_stream_seq")
            }
            if times:
                return sorted({0: self._spec.t0_unix_ns, **times}.items())
        return None

    def _clock_error_ms(self, leg: str) -> float | None:
        spec = self._spec
        if leg in ("publish_ack", "fetch_call", "fetch_call_intended"):
            return 0.0
        if leg in ("publish_to_fetch", "publish_to_first_fetch"):
            hosts, servers = spec.hosts["consumers"], spec.hosts["nats"]
            if len(servers) > 1:
                return self._worst_sum_ms(hosts, servers)
            return self._worst_offset_ms(hosts)
        # From when the relay's schedule, on its clock, had a frame due.
        relays = spec.hosts.get("relay", [])
        ends = spec.hosts["shuffler" if leg in SHUFFLER_LEGS else "consumers"]
        if set(ends) == set(relays) and len(relays) == 1:
            return 0.0
        return self._worst_sum_ms(relays, ends)

    def _worst_sum_ms(self, hosts: list[str], others: list[str]) -> float | None:
        """How far clocks of hosts can be off those of others, by way of the NATS host's."""
        errors = (self._worst_offset_ms(hosts), self._worst_offset_ms(others))
        return None if None in errors else sum(error for error in errors if error is not None)

    def _worst_offset_ms(self, hosts: list[str]) -> float | None:
        """How far the clocks of hosts can be off the NATS host's; of a cluster, of one server's."""
        clock = self._clock()
        worst = 0.0
        if len({one["server"] for one in clock.values() if one["bound_ms"] is not None}) > 1:
            # Some were compared with one server, some with another.
            return None
        for host in hosts:
            bound_ms = clock[host]["bound_ms"] if host in clock else None
            if bound_ms is None:
                return None
            worst = max(worst, bound_ms + abs(clock[host]["offset_ms"] or 0.0))
        return worst

    def _clock(self) -> dict[str, JsonObject]:
        clock = {}
        reference = self._clock_reference()
        for host, part in self._bundle.hosts.items():
            probe = part.probe or {}
            found = probe.get("clock") or {}
            for one in probe.get("clock_by_server") or ():
                found = one if one["server"] == reference else found
            names = ("bound_ms", "offset_ms", "method", "stepped", "server")
            clock[host] = {name: found.get(name) for name in names}
        return clock

    def _clock_reference(self) -> str | None:
        """Name the server of a cluster that all hosts compared their clocks with."""
        exchanges: Counter[str] = Counter()
        hosts: Counter[str] = Counter()
        for part in self._bundle.hosts.values():
            for one in (part.probe or {}).get("clock_by_server") or ():
                exchanges[one["server"]] += one["exchanges"]
                hosts[one["server"]] += 1
        return max(hosts, key=lambda server: (hosts[server], exchanges[server]), default=None)

    def _message_bytes(self) -> JsonObject:
        shuffler = self._bundle.shuffler
        if shuffler is None:
            return dict.fromkeys(("count", "mean", "p50", "p99", "max"))
        counts: Counter[int] = Counter()
        for sizes in shuffler.message_bytes.values():
            for size, count in sizes.items():
                counts[int(size)] += count
        return figures.weighted(counts)

    # -- resources ---------------------------------------------------------------------------------

    def _hosts(self) -> dict[str, JsonObject]:
        return {host: self._host(part) for host, part in self._bundle.hosts.items()}

    def _host(self, part: HostPart) -> JsonObject:
        def values(name: str) -> list[float]:
            return [value for _, value in in_window(part.host_samples, name, self._window)]

        def grown(name: str) -> int | None:
            change = figures.growth(list(cumulative(part.host_samples, name)), self._window)
            return None if change is None else round(change[0])

        figure: JsonObject = {}
        for name in ("cpu_pct", "mem_mb", "steal_pct", "iowait_pct", "load1"):
            measured = values(name)
            figure[name] = figures.mean(measured)
            figure[f"{name}_max"] = max(measured, default=None)
        figure["mem_total_mb"] = max(values("mem_total_mb"), default=None)
        for name in ("net_rx_bytes", "net_tx_bytes", "disk_read_bytes", "disk_write_bytes"):
            figure[name] = grown(name)
        return figure

    def _processes(self) -> dict[str, JsonObject]:
        return {
            process: {
                name: figures.mean_max(figures.sum_over_processes(self._process(process, name)))
                for name in ("cpu_pct", "rss_mb")
            }
            for process in PROCESSES
        }

    def _process(self, process: str, name: str) -> Iterator[tuple[tuple[str, int], int, float]]:
        for host, part in self._bundle.hosts.items():
            for sample in part.process_samples:
                if sample.get("process") == process:
                    for unix_ns, value in in_window([sample], name, self._window):
                        yield (host, sample.get("pid", 0)), unix_ns, value

    def _jetstream(self) -> JsonObject:
        """Return the server's figures: the last of the window; slow consumers of the whole run."""
        last: JsonObject = {}
        lag: JsonObject = {}
        slow: Counter[str] = Counter()
        parts = self._bundle.parts("nats")
        for part in parts:
            lives = [sample["varz"] for sample in part.nats_samples if "varz" in sample]
            if part.server_final is not None and part.server_final.server is not None:
                lives.append(part.server_final.server)
            for life in lives:
                # A server that is started again counts anew.
                name = str(life.get("server_id"))
                slow[name] = max(slow[name], life.get("slow_consumers", 0))
        samples = [sample for part in parts for sample in part.nats_samples]
        for sample in sorted(samples, key=lambda sample: sample.get("unix_ns", 0)):
            if sample.get("unix_ns", 0) in self._window:
                # Of many consumers a sweep takes several samples' time.
                lag = sample.get("lag") or lag
                last = sample if sample.get("stream") else last
        stream = last.get("stream") or {}
        return {
            "messages": stream.get("messages"),
            "bytes": stream.get("bytes"),
            "consumers": stream.get("consumer_count"),
            "consumer_lag": {name: lag.get(name) for name in ("p50", "p99", "max")},
            "slow_consumers": sum(slow.values()) if slow else None,
        }

    # -- counts ------------------------------------------------------------------------------------

    def _fetches(self) -> JsonObject:
        if self._results is None:
            return dict.fromkeys(("ok", "empty", "by_status", "client_timeout"))
        by_status: Counter[str] = Counter()
        counts: Counter[str] = Counter(ok=0, empty=0, client_timeout=0)
        for result in self._results:
            by_status.update(result.fetches["by_status"])
            for name, count in result.fetches.items():
                if isinstance(count, int):
                    counts[name] += count
        return {**counts, "by_status": dict(sorted(by_status.items()))}

    def _connections(self) -> JsonObject:
        names = ("count", "errors", "reconnects", "slow_consumer_disconnects")
        if self._results is None:
            return dict.fromkeys(names)
        return _sums((result.connections for result in self._results), *names)

    # -- fidelity ----------------------------------------------------------------------------------

    def _fidelity(self) -> JsonObject:
        lags: dict[str, Leg] = {}
        for legs in self._legs.merged.values():
            _add(lags, {name: leg for name, leg in legs.items() if name == "loop_lag"})
        lateness = self._legs.get("consumers", "poll_lateness")
        return {
            "poll_lateness_ms": figures.tail_ms(lateness, "p50", "p99", "max"),
            "poll_lateness_own_ms": self._lateness_own_ms(),
            "start_spread_ms": self._start_spread_ms(),
            "loop_lag_ms": figures.tail_ms(lags.get("loop_lag"), "p99", "max"),
            "relay_lateness_ms": figures.tail_ms(
                self._legs.get("relay", "relay_lateness"), "p50", "p99", "max"
            ),
        }

    def _lateness_own_ms(self) -> dict[str, float | None]:
        """Return the worst worker's lateness of polls whose predecessor had ended in time."""
        own = [result.lateness_own for result in self._results or () if result.lateness_own]
        return {name: max((one[name] for one in own), default=None) for name in ("p99", "max")}

    def _start_spread_ms(self) -> float | None:
        """From the first to the last start of an agent, T0 itself among them."""
        started = [r.started_unix_ns for r in self._results or () if r.started_unix_ns is not None]
        if not started:
            return None
        started.append(self._spec.t0_unix_ns)
        return (max(started) - min(started)) / 1e6


def in_window(
    samples: Iterable[JsonObject], name: str, window: Window
) -> Iterator[tuple[int, float]]:
    """Iterate over (unix_ns, value) of a figure's samples within a window."""
    return (sample for sample in cumulative(samples, name) if sample[0] in window)


def _rounded(value: Any) -> Any:  # noqa: ANN401
    """Round floats in a JSON value: a digit beyond a microsecond or a millipercent is noise."""
    if isinstance(value, float):
        return round(value, DECIMALS)
    if isinstance(value, dict):
        return {key: _rounded(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_rounded(one) for one in value]
    return value


def _sums(objects: Iterable[JsonObject], *names: str) -> JsonObject:
    rows = list(objects)
    return {name: sum(row[name] for row in rows) for name in names}


def _facts(bundle: Bundle, window: Window, legs: Legs, balance: Ledger) -> verdict.Facts:
    """Collect what the verdict needs beside the summary."""
    lags = {}
    for agent in ("relay", "shuffler", "consumers"):
        worst = legs.worst_p99_ms(agent, "loop_lag")
        if worst is not None:
            lags[worst[0]] = worst[1]
    results = worker_results(bundle)
    shuffler = bundle.shuffler
    return verdict.Facts(
        problems=[*bundle.problems],
        invalid_reasons=bundle.invalid_reasons,
        agents=[
            (part.host, status)
            for part in bundle.hosts.values()
            for status in part.statuses.values()
        ],
        server_lives=_server_lives(bundle),
        servers_silent=_servers_silent(bundle),
        disagreements=balance.disagreements,
        never_fetched=None if results is None else sum(r.consumers_never_fetched for r in results),
        loop_lag_p99_ms=lags,
        process_cpu_pct=_agent_cpu_pct(bundle, window),
        frames_offered=bundle.relay.offered if bundle.relay else None,
        shuffler_reconnects=shuffler.nats_connections.get("reconnects", 0) if shuffler else 0,
        stream_began_anew=shuffler is not None and shuffler.stream_began_anew,
    )


def _server_lives(bundle: Bundle) -> dict[str, list[str]]:
    """Return, by NATS host, the lives of the server that were seen, in order."""
    lives: dict[str, list[str]] = {}
    for part in bundle.parts("nats"):
        seen = [sample["varz"] for sample in part.nats_samples if sample.get("varz")]
        if part.server_final is not None and part.server_final.server is not None:
            seen.append(part.server_final.server)
        names = [f"{one.get('server_id')} started {one.get('start')}" for one in seen]
        lives[part.host] = list(dict.fromkeys(names))
    return lives


def _servers_silent(bundle: Bundle) -> dict[str, float]:
    """Return, by NATS host, when after T0 its server fell silent for good, where it did."""
    silent = {}
    for part in bundle.parts("nats"):
        answered = [bool(sample.get("varz")) for sample in part.nats_samples]
        final = part.server_final
        if not answered or (answered[-1] if final is None else final.server is not None):
            continue
        last_answer = len(answered) - 1 - answered[::-1].index(True) if any(answered) else -1
        first_silence = min(last_answer + 1, len(answered) - 1)
        since_ns = part.nats_samples[first_silence]["unix_ns"] - bundle.spec.t0_unix_ns
        silent[part.host] = since_ns / NS_PER_S
    return silent


def _agent_cpu_pct(bundle: Bundle, window: Window) -> dict[str, float]:
    """Return each agent process's mean processor share of one core over the window."""
    values: defaultdict[str, list[float]] = defaultdict(list)
    for host, part in bundle.hosts.items():
        for sample in part.process_samples:
            if sample.get("process") in ("relay", "shuffler", "consumers"):
                name = f"{sample['process']} (pid {sample.get('pid')}) on {host}"
                values[name] += [v for _, v in in_window([sample], "cpu_pct", window)]
    means = {name: figures.mean(shares) for name, shares in values.items()}
    return {name: share for name, share in means.items() if share is not None}
