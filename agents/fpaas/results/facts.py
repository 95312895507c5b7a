"""What the verdict needs to know beside summary.json, out of a bundle."""

from __future__ import annotations

from fpaas.results import resources
from fpaas.results.bundle import Bundle, WorkerResult
from fpaas.results.figures import Window
from fpaas.results.ledger import Ledger
from fpaas.results.legs import Legs
from fpaas.results.verdict import Facts
from fpaas.spec import NS_PER_S


def collect(
    bundle: Bundle,
    window: Window,
    legs: Legs,
    balance: Ledger,
    results: list[WorkerResult] | None,
) -> Facts:
    """Collect facts; `results` are the workers' figures, None where one is missing."""
    lags = {}
    for agent in ("relay", "shuffler", "consumers"):
        worst = legs.worst_p99_ms(agent, "loop_lag")
        if worst is not None:
            lags[worst[0]] = worst[1]
    shuffler = bundle.shuffler
    return Facts(
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
        tolerated=balance.tolerated,
        never_fetched=None if results is None else sum(r.consumers_never_fetched for r in results),
        loop_lag_p99_ms=lags,
        process_cpu_pct=resources.agent_cpu_pct(bundle, window),
        frames_offered=bundle.relay.offered if bundle.relay else None,
        shuffler_reconnects=shuffler.nats_connections.get("reconnects", 0) if shuffler else 0,
        publish_failures=shuffler.failures_by_reason if shuffler else {},
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
