"""What the run was told to do, and what it ran on."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from fpaas.agreement import agreeing, count_of
from fpaas.bundle.bundle import Bundle
from fpaas.bundle.parts import JsonObject
from fpaas.records.paths import pick
from fpaas.records.probe import MachineFacts
from fpaas.records.seal import HostFacts
from fpaas.report.written import NOT_MEASURED, flatten, number, with_unit
from fpaas.spec import Fault, RunSpec, kinds
from fpaas.summary.manifest import network_ages_s
from fpaas.text.load_words import delivery, pushed, rate_of


def parameters(spec: RunSpec, trimmed: str = "") -> dict[str, str]:
    """Return what the run was told to do; `trimmed` says which stretch the report covers."""
    c = spec.consumers
    rate = "as the relay sends"
    if spec.firehose.rate_per_s is not None:
        rate = f"{rate_of(spec.firehose)}, seed {spec.firehose.seed}"
    return {
        "consumers": f"{c.count:,}",
        "delivery": delivery(spec),
        **(
            {"kind": f"{c.kind}: {kinds.WORDS[c.kind]}; {pushed(spec)}"}
            if c.is_pushed
            else {"polls": f"in {len(c.classes)} classes, see there"}
            if c.classes
            else {
                "poll interval": f"{c.poll_interval_s:g} s ± {c.poll_jitter_pct:g} %",
                "batch": count_of(c.batch_size, "message|messages"),
                "fetch": "until empty, each poll" if c.fetch == "drain" else "one batch a poll",
            }
        ),
        "connections": {"auto": "shared by consumers", "per_consumer": "one a consumer"}.get(
            c.connections, c.connections
        ),
        "firehose": f"{spec.firehose.source}, {rate}",
        "time": (
            f"{spec.warmup_s:g} s warm-up, {spec.measure_s:g} s measured, "
            f"{spec.drain_s:g} s draining{f'; this report is {trimmed}' if trimmed else ''}"
        ),
        "stream": (
            f"{spec.stream.storage}, max age {spec.stream.max_age_s:g} s, "
            f"{spec.stream.max_bytes / 1e6:,.0f} MB, duplicates for "
            f"{spec.stream.duplicate_window_s:g} s, {spec.stream.replicas} replica"
            + ("" if spec.stream.replicas == 1 else "s")
            + (f"; shared by {spec.stream.count} streams" if spec.stream.is_split else "")
        ),
        **({"faults": "; ".join(map(_fault, spec.faults))} if spec.faults else {}),
    }


def _fault(fault: Fault) -> str:
    lasting = f" for {fault.for_s:g} s" if fault.for_s else ""
    return f"{fault.do} on {fault.on} at {fault.at_s:g} s{lasting}"


@dataclass(frozen=True)
class Machine:
    """One host, the NATS server or the control node: a line that says what it is, and all facts."""

    name: str
    line: str
    facts: dict[str, str]


def machines(bundle: Bundle) -> list[Machine]:
    """Return what the run ran on."""
    found = []
    for part in bundle.hosts.values():
        known = part.seal.facts if part.seal else part.probe
        groups = [group for group, names in bundle.spec.hosts.items() if part.host in names]
        facts = {} if known is None else msgspec.to_builtins(known)
        facts.pop("own", None)
        line = NOT_MEASURED if known is None else _line(known)
        found.append(Machine(part.host, line, {"plays": ", ".join(groups), **flatten(facts)}))
    if bundle.server_final is not None:
        server = bundle.server_final.server
        facts = {name: getattr(server, name, None) for name in ("version", "server_id", "start")}
        found.append(Machine("NATS server", f"version {facts['version']}", flatten(facts)))
    if bundle.control is not None:
        facts = msgspec.to_builtins(bundle.control)
        del facts["problems"]
        found.append(Machine("Control node", "started the run", flatten(facts)))
    return found


def _line(facts: MachineFacts) -> str:
    """Return what a host is in a few words; its distribution, if that is known."""
    words = [facts.os] if isinstance(facts, HostFacts) and facts.os else []
    words.append(f"kernel {facts.kernel or 'not known'}")
    words.append(f"{number(facts.cpu_count)} {agreeing(facts.cpu_count, 'core|cores')}")
    words.append(with_unit(facts.mem_total_mb, "MB"))
    return ", ".join(words)


def clock_rows(summary: JsonObject) -> dict[str, str]:
    """Return the bound of each host's clock against the NATS host's, and what it was off."""
    return {host: _clock(clock) for host, clock in (summary.get("clock") or {}).items()}


def _clock(clock: JsonObject) -> str:
    bound_ms, start_ms = pick(clock, "bound_ms"), pick(clock, "offset_at_start_ms")
    if bound_ms is None:
        return NOT_MEASURED
    bound = f"± {number(bound_ms)} ms ({pick(clock, 'method') or 'not known'})"
    if not start_ms:
        return bound
    # The host's minus the NATS host's, as people say it.
    return f"{-start_ms:+,.1f} ms before the run, allowed for; {bound}"


def network_rows(bundle: Bundle) -> list[dict[str, str]]:
    """Return round trips and throughput between hosts; nothing if there was only one."""
    ages_s = network_ages_s(bundle)
    return [
        {
            "name": f"{link.from_host} → {link.to}",
            "error": link.error or "",
            "rtt_min": number(link.rtt_ms and link.rtt_ms.min),
            "rtt_p50": number(link.rtt_ms and link.rtt_ms.p50),
            "rtt_p99": number(link.rtt_ms and link.rtt_ms.p99),
            "sent": number(link.sent_mbit_per_s),
            "received": number(link.received_mbit_per_s),
            "before_t0_s": number(ages_s.get(host)),
        }
        for host, part in bundle.hosts.items()
        for link in part.links
    ]
