"""How often each NATS server ended in a run, and how often no fault was to end it. Pure.

A probe sees its server's process end, if it knows its process id; notes that another one answers;
and samples who answers. Each of these may miss what another has seen.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import NamedTuple

from fpaas.bundle.bundle import Bundle
from fpaas.bundle.fault_claims import SEEN_WITHIN_NS, FaultClaims, Part
from fpaas.bundle.found_event import SAMPLES_APART_NS
from fpaas.bundle.parts import HostPart
from fpaas.bundle.restarts import PartEnds
from fpaas.records.events import NATS_RESTARTED, PROCESS_ENDED
from fpaas.records.probe import AGENT as PROBE
from fpaas.spec import NS_PER_S
from fpaas.spec.faults import NATS


class _End(NamedTuple):
    """A server ended between two times, Unix ns."""

    since: int
    until: int


class _Life(NamedTuple):
    """A server, and when it answered first and last, Unix ns."""

    server_id: str
    since: int
    until: int


def find(bundle: Bundle, silent_since_s: Mapping[str, float]) -> Iterator[PartEnds]:
    """Iterate over the NATS hosts whose server ended after T0.

    `silent_since_s`: by host, when after T0 its server fell silent for good, if it did.
    """
    claims = FaultClaims(bundle)
    for part in bundle.parts(NATS):
        silent_s = silent_since_s.get(part.host)
        silent_unix_ns = (
            None if silent_s is None else bundle.spec.t0_unix_ns + round(silent_s * NS_PER_S)
        )
        ends = [
            end
            for end in _ends(part, silent_unix_ns)
            if bundle.spec.t0_unix_ns <= end.until and end.since < bundle.spec.settled_unix_ns
        ]
        by_itself = [end for end in ends if claims.claim(Part(part.host, NATS), *end) is None]
        if ends:
            yield PartEnds(part.host, NATS, len(ends), len(by_itself))


def _ends(part: HostPart, silent_unix_ns: int | None) -> list[_End]:
    """Return the ends of a host's servers in the order of time, each once."""
    ends = [
        _End(record.begin_unix_ns, record.begin_unix_ns)
        for record in part.events.get(PROBE, ())
        if record.kind == PROCESS_ENDED and record.parameters.get("process") == NATS
    ]
    lives = _lives(part)
    changes = [_End(last.until, first.since) for last, first in pairwise(lives)]
    if silent_unix_ns is not None:
        last_seen_unix_ns = lives[-1].until if lives else 0
        changes.append(_End(last_seen_unix_ns, max(silent_unix_ns, last_seen_unix_ns)))
    for others, late_ns in ((_restarts(part), SEEN_WITHIN_NS), (changes, SAMPLES_APART_NS)):
        # Those that nobody saw more closely.
        ends += [
            other
            for other in others
            if not any(other.since < end.until <= other.until + late_ns for end in ends)
        ]
    return sorted(ends, key=lambda end: end.until)


def _restarts(part: HostPart) -> list[_End]:
    """Return the ends of servers in whose place the probe found others, and when these began."""
    found: list[_End] = []
    for record in part.events.get(PROBE, ()):
        if record.kind == NATS_RESTARTED:
            up_unix_ns = record.end_unix_ns or record.begin_unix_ns
            answered = [one.unix_ns for one in part.nats_samples if one.varz]
            before = [unix_ns for unix_ns in answered if unix_ns < up_unix_ns]
            since_unix_ns = max([0, *before[-1:], *(end.until for end in found)])
            found.append(_End(since_unix_ns, up_unix_ns))
    return found


def _lives(part: HostPart) -> list[_Life]:
    """Return the servers that answered, in the order of time."""
    seen = [(one.varz.server_id, one.unix_ns) for one in part.nats_samples if one.varz]
    final = part.server_final
    if final is not None and final.server is not None:
        seen.append((final.server.server_id, final.unix_ns))
    lives: list[_Life] = []
    for server_id, unix_ns in seen:
        if lives and lives[-1].server_id == server_id:
            lives[-1] = lives[-1]._replace(until=unix_ns)
        else:
            lives.append(_Life(server_id, unix_ns, unix_ns))
    return lives
