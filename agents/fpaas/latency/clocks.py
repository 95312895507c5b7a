"""Whose clocks a latency leg compares, how far they are apart, and how well that is known.

Agents go by the common time, what their host's clock was off before the run added to it; that is
what is called a host's clock here.

A leg's sample is a time on the clock of the host where it ends minus one on the clock where it
began. Every host's probe bounded the NATS host's clock minus its own (`clock_bounds`), so each
sample is corrected by the offset between the two clocks: by the middle of the bound or, if clocks
drift, by its middle at that second. The remaining error is half the width of the bounds of the two
clocks; it is 0 if both ends are on one host's clock. If a leg begins with the NATS server's stamp,
only the other host's bound counts. In a cluster any server may have stamped a
message, so the worst of theirs, offset and bound, comes on top.

Raw histograms stay as they were recorded. A histogram keeps three significant digits of what was
recorded, which was further from 0 by the correction: its 2048th part is added to the error.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

from fpaas.bundle.bundle import Bundle
from fpaas.bundle.parts import HostPart, JsonObject
from fpaas.latency.leg_kinds import LEGS, OWN_CLOCK, RELAY_CLOCK, SERVER_CLOCK
from fpaas.measures.histograms import INTERVAL_S
from fpaas.probe.clock_bounds import OffsetTrack
from fpaas.spec import NS_PER_S, RunSpec

#: If clocks drift, corrections are made in steps of this size: seconds of the same correction
#: are merged before they are moved.
DRIFT_STEP_US = 10
#: A histogram's buckets are at most this part of their value wide, and samples in their middle.
PRECISION = 2048


@dataclass(frozen=True)
class HostClock:
    """The NATS host's clock minus this host's: `offset_ms` ± `bound_ms`, all None if not known.

    With a `track`, the clocks drifted and the offset depends on the time. `steps` are times when
    this host's clock was set, and by how much.
    """

    bound_ms: float | None = None
    offset_ms: float | None = None
    method: str | None = None
    drifting: bool | None = None
    stepped: bool | None = None
    server: str | None = None
    steps: tuple[tuple[int, float], ...] = ()
    track: OffsetTrack | None = None
    #: What was added to this host's clock all through the run; None if it was not compared
    #: before. All else is of the clock with that added, but for `figures`.
    shift_ms: float | None = None

    def offset_us(self, unix_s: float) -> float:
        """Return the offset at a time; 0 if it is not known."""
        if self.track is None:
            return 1000 * (self.offset_ms or 0.0)
        low_ns, high_ns = self.track.at(round(unix_s * NS_PER_S))
        return (low_ns + high_ns) / 2000

    def error_ms(self, spec: RunSpec) -> float | None:
        """Return how far off the offset can be while frames are under way.

        The samples of an interval are corrected by the offset in its middle.
        """
        if self.track is None:
            return self.bound_ms
        seconds = range(spec.t0_unix_ns, spec.settled_unix_ns, NS_PER_S)
        ranges = [self.track.at(unix_ns) for unix_ns in seconds]
        middles = [(low + high) / 2 for low, high in ranges]
        changes = [abs(after - before) for before, after in pairwise(middles)]
        widest_ns = max(high - low for low, high in ranges)
        return (widest_ns + INTERVAL_S * max(changes, default=0.0)) / 2e6

    def figures(self) -> JsonObject:
        """As in summary.json, of the host's clock as it is."""
        return {
            "bound_ms": self.bound_ms,
            "offset_ms": None
            if self.offset_ms is None
            else self.offset_ms + (self.shift_ms or 0.0),
            "offset_at_start_ms": self.shift_ms,
            "method": self.method,
            "drifting": self.drifting,
            "stepped": self.stepped,
            "server": self.server,
            "steps": [{"unix_ns": unix_ns, "step_ms": step_ms} for unix_ns, step_ms in self.steps],
        }


class Clocks:
    """All hosts' clocks of a run, and what they mean for its legs."""

    def __init__(self, bundle: Bundle) -> None:
        self._spec = bundle.spec
        reference = _reference(bundle)
        self.hosts = {
            host: _host_clock(part, reference, bundle.spec) for host, part in bundle.hosts.items()
        }

    def shift_us(self, host: str) -> Callable[[str, float], int]:
        """Return what to add to samples that a host recorded, by leg and time."""

        def shift(leg: str, unix_s: float) -> int:
            begin = self._begin(leg, host)
            if begin is None or not self._is_known(host, begin):
                return 0
            shift_us = self.hosts[host].offset_us(unix_s)
            if begin:
                shift_us -= self.hosts[begin].offset_us(unix_s)
            step_us = DRIFT_STEP_US if self._drifts(host, begin) else 1
            return round(shift_us / step_us) * step_us

        return shift

    def error_ms(self, leg: str) -> float | None:
        """Return how far a leg's corrected samples can be off; None if that is not known."""
        spec = self._spec
        ends = spec.hosts[LEGS[leg].agent]
        errors = [self._error_of(leg, host) for host in ends]
        worst_ms = max((error for error in errors if error is not None), default=None)
        return None if None in errors else worst_ms

    def offset_ns(self, host: str, unix_ns: int) -> int:
        """Return the NATS host's clock minus a host's, at a time; 0 if it is not known."""
        clock = self.hosts.get(host)
        return round(1000 * clock.offset_us(unix_ns / NS_PER_S)) if clock else 0

    def is_drifting(self, leg: str, host: str) -> bool:
        """Whether what a host records of a leg is corrected by the time."""
        begin = self._begin(leg, host)
        return begin is not None and self._is_known(host, begin) and self._drifts(host, begin)

    def is_known(self, host: str) -> bool:
        """Whether a host's clock was compared with the NATS host's."""
        clock = self.hosts.get(host)
        return clock is not None and clock.bound_ms is not None

    def _error_of(self, leg: str, host: str) -> float | None:
        begin = self._begin(leg, host)
        if begin is None:
            return 0.0
        if not self._is_known(host, begin):
            return None
        clocks = [self.hosts[host], *([self.hosts[begin]] if begin else [])]
        error_ms = sum(clock.error_ms(self._spec) or 0.0 for clock in clocks)
        middle_s = self._spec.measure_from_unix_ns / NS_PER_S
        error_ms += abs(self.shift_us(host)(leg, middle_s)) / 1000 / PRECISION
        if self._drifts(host, begin):
            error_ms += DRIFT_STEP_US / 2000
        servers = self._spec.hosts["nats"]
        if not begin and len(servers) > 1:
            worst_ms = self._worst_server_ms(servers)
            return None if worst_ms is None else error_ms + worst_ms
        return error_ms

    def _begin(self, leg: str, host: str) -> str | None:
        """Return the host where a leg begins: "" for the NATS server, None for this very clock."""
        begins_on = LEGS[leg].begins_on if leg in LEGS else OWN_CLOCK
        if begins_on == SERVER_CLOCK:
            return ""
        relays = self._spec.hosts.get("relay", [])
        if begins_on == RELAY_CLOCK and relays and relays[0] != host:
            return relays[0]
        return None

    def _is_known(self, host: str, begin: str) -> bool:
        """Whether hosts' clocks were compared, and with the same server."""
        clocks = [self.hosts.get(one) for one in (host, begin) if one]
        known = [clock for clock in clocks if clock is not None and clock.bound_ms is not None]
        return len(known) == len(clocks) and len({clock.server for clock in known}) == 1

    def _drifts(self, host: str, begin: str) -> bool:
        return any(self.hosts[one].track is not None for one in (host, begin) if one)

    def _worst_server_ms(self, servers: list[str]) -> float | None:
        clocks = [self.hosts.get(server) for server in servers]
        if any(clock is None or clock.bound_ms is None for clock in clocks):
            return None
        if len({clock.server for clock in clocks if clock}) > 1:
            return None
        # The server goes by its host's clock as it is.
        return max(
            abs((clock.offset_ms or 0.0) + (clock.shift_ms or 0.0)) + (clock.bound_ms or 0.0)
            for clock in clocks
            if clock
        )


def _host_clock(part: HostPart, reference: str | None, spec: RunSpec) -> HostClock:
    shift_ns = spec.clock_shifts_ns.get(part.host)
    shift_ms = None if shift_ns is None else shift_ns / 1e6
    steps = tuple(one for one in part.clock_steps if one[0] >= spec.t0_unix_ns)
    if part.probe is None:
        return HostClock(stepped=True if steps else None, steps=steps)
    found = part.probe.clock
    for one in part.probe.clock_by_server or ():
        found = one if one.server == reference else found
    if found is None:
        return HostClock(stepped=True if steps else None, steps=steps, shift_ms=shift_ms)
    return HostClock(
        bound_ms=found.bound_ms,
        offset_ms=found.offset_ms,
        method=found.method,
        drifting=found.drifting,
        stepped=bool(steps) or found.stepped,
        server=found.server,
        steps=steps,
        track=_track(part, found.server) if found.drifting and not found.stepped else None,
        shift_ms=shift_ms,
    )


def _track(part: HostPart, server: str | None) -> OffsetTrack | None:
    exchanges = sorted(
        (one.unix_ns, one.offset_low_ns, one.offset_high_ns)
        for one in part.clock_samples
        if one.server == server
    )
    return OffsetTrack(exchanges) if exchanges else None


def _reference(bundle: Bundle) -> str | None:
    """Name the server of a cluster that all hosts compared their clocks with."""
    exchanges: Counter[str] = Counter()
    hosts: Counter[str] = Counter()
    for part in bundle.hosts.values():
        for one in (part.probe.clock_by_server if part.probe else None) or ():
            server = one.server or ""
            exchanges[server] += one.exchanges
            hosts[server] += 1
    return max(hosts, key=lambda server: (hosts[server], exchanges[server]), default=None)
