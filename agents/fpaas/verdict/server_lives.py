"""How NATS servers fared, by their probes and clients: which lived, and which fell silent. Pure."""

from __future__ import annotations

from fpaas.bundle.bundle import Bundle
from fpaas.bundle.parts import HostPart
from fpaas.records.events import NATS_RESTARTED, NATS_SILENT, PROCESS_ENDED, EventRecord
from fpaas.records.nats import ServerLife
from fpaas.records.probe import AGENT as PROBE
from fpaas.spec import NS_PER_S
from fpaas.spec.faults import NATS

#: A client notices a silence within this time.
NOTICED_AFTER_NS = 2 * NS_PER_S


def lives(bundle: Bundle) -> dict[str, list[str]]:
    """Return, by NATS host, the lives of the server that were seen, in order."""
    found: dict[str, list[str]] = {}
    for part in bundle.parts("nats"):
        seen: list[ServerLife] = [one.varz for one in part.nats_samples if one.varz]
        if part.server_final is not None and part.server_final.server is not None:
            seen.append(part.server_final.server)
        names = [f"{one.server_id} started {one.start}" for one in seen]
        found[part.host] = list(dict.fromkeys(names))
    return found


def silent(bundle: Bundle) -> dict[str, float]:
    """Return, by NATS host, when after T0 its server fell silent for good, if it did."""
    found = {}
    for part in bundle.parts("nats"):
        answers = [sample.varz is not None for sample in part.nats_samples]
        final = part.server_final
        fell_silent_ns = _silent_to_the_end_ns(bundle, part)
        if fell_silent_ns is None and len(bundle.parts("nats")) == 1:
            fell_silent_ns = _silent_for_all_ns(bundle)
        if fell_silent_ns is None:
            fell_silent_ns = _ended_for_good_ns(part)
        if final is None and fell_silent_ns is not None:
            # Its samples are seconds apart: the last may have been answered.
            found[part.host] = _since_t0_s(bundle, fell_silent_ns)
            continue
        if not answers or (answers[-1] if final is None else final.server is not None):
            continue
        last_answer = len(answers) - 1 - answers[::-1].index(True) if any(answers) else -1
        first_silence = min(last_answer + 1, len(answers) - 1)
        since_ns = part.nats_samples[first_silence].unix_ns - bundle.spec.t0_unix_ns
        found[part.host] = since_ns / NS_PER_S
    return found


def is_running(bundle: Bundle, part: HostPart) -> bool:
    """Whether the probe sampled a NATS server's process up to the end, as often as it samples."""
    if _ended_for_good_ns(part) is not None:
        return False
    servers = (one.unix_ns for one in part.process_samples if one.process == NATS)
    return max(servers, default=0) > bundle.spec.end_unix_ns - 2 * NS_PER_S


def _silent_to_the_end_ns(bundle: Bundle, part: HostPart) -> int | None:
    """Return when a host's server fell silent as its probe noticed, if it stayed so."""
    begins = [
        event.begin_unix_ns
        for event in part.events.get(PROBE, ())
        if _is_open(event) and event.begin_unix_ns < bundle.spec.settled_unix_ns
    ]
    return min(begins, default=None)


def _ended_for_good_ns(part: HostPart) -> int | None:
    """Return when a server's process ended, if none answered after it: too late for silence."""
    seen = part.events.get(PROBE, ())
    ended = [
        event.begin_unix_ns
        for event in seen
        if event.kind == PROCESS_ENDED and event.parameters.get("process") == NATS
    ]
    there = [sample.unix_ns for sample in part.nats_samples if sample.varz is not None]
    there += [event.begin_unix_ns for event in seen if event.kind == NATS_RESTARTED]
    return max((at for at in ended if at > max(there, default=0)), default=None)


def _silent_for_all_ns(bundle: Bundle) -> int | None:
    """Return when the only server fell silent for good, if all clients that were left say so."""
    clients = [
        (part.events.get("shuffler", []), list(part.last_samples("shuffler")))
        for part in bundle.parts("shuffler")
    ]
    clients += [
        (worker.events, [sample.unix_ns for sample in worker.samples[-1:]])
        for _, worker in bundle.workers
    ]
    begins = [
        event.begin_unix_ns
        for seen, _ in clients
        for event in seen
        if _is_open(event) and event.begin_unix_ns < bundle.spec.settled_unix_ns
    ]
    if not begins:
        return None
    since_unix_ns = min(begins)
    for seen, last_signs in clients:
        # A client that was gone before it could notice says nothing.
        could_notice = max(last_signs, default=0) >= since_unix_ns + NOTICED_AFTER_NS
        if could_notice and not any(_is_open(event) for event in seen):
            return None
    return since_unix_ns


def _is_open(event: EventRecord) -> bool:
    return event.kind == NATS_SILENT and event.end_unix_ns is None


def answered(bundle: Bundle) -> dict[str, float]:
    """Return, by NATS host, when after T0 the first server that answered there did so last.

    Samples are seconds apart: if the probe saw its process end, and no other took its place, then.
    """
    found: dict[str, float] = {}
    for part in bundle.parts("nats"):
        seen = [(one.unix_ns, one.varz.server_id) for one in part.nats_samples if one.varz]
        first = [unix_ns for unix_ns, life in seen if life == seen[0][1]]
        ended_ns = _ended_for_good_ns(part)
        if first:
            is_only = len(first) == len(seen)
            last_ns = ended_ns if is_only and ended_ns is not None else first[-1]
            found[part.host] = _since_t0_s(bundle, last_ns)
    return found


def _since_t0_s(bundle: Bundle, unix_ns: int) -> float:
    return (unix_ns - bundle.spec.t0_unix_ns) / NS_PER_S
