"""How far this host's clock can be off the NATS host's, from two-way exchanges; pure arithmetic.

A message is sent at `sent`, the server stores it at `stored` on its own clock, and the answer is
here at `received`. However long each way took, the server's clock minus ours lies in
[stored - received, stored - sent]. Many exchanges are intersected: the bound is about half the
shortest round trip, and no assumption is made about symmetric paths.
"""

from __future__ import annotations

import calendar
import re
import time
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from fpaas.records.probe import ClockComparison

#: Clocks that NTP disciplines are slewed by at most 500 ppm (the kernel's limit); what two
#: exchanges disagree beyond it was a step.
DRIFT_MAX_PPM = 500
METHOD = "publish and stored timestamp"

_RFC3339 = re.compile(
    r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(?:Z|([+-])(\d\d):(\d\d))", re.ASCII
)


def parse_rfc3339_ns(text: str) -> int:
    """Read an RFC 3339 time as integer Unix nanoseconds: floats lose the last 200 ns.

    Raises ValueError if the text is no such time.

    >>> parse_rfc3339_ns("1970-01-01T00:00:01.00000002Z")
    1000000020
    """
    match = _RFC3339.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not an RFC 3339 time")
    base, fraction, sign, hours, minutes = match.groups()
    unix_s = calendar.timegm(time.strptime(base, "%Y-%m-%dT%H:%M:%S"))
    if sign is not None:
        east_s = int(hours) * 3600 + int(minutes) * 60
        unix_s += east_s if sign == "-" else -east_s
    return unix_s * 1_000_000_000 + int((fraction or "").ljust(9, "0"))


@dataclass(frozen=True)
class Exchange:
    """One exchange; `sent` and `received` on this host's clock, `stored` on the NATS host's.

    `server` is the name of the server that stored, None if there is but one.
    """

    sent_unix_ns: int
    received_unix_ns: int
    stored_unix_ns: int
    server: str | None = None

    def shifted(self, shift_ns: int) -> Exchange:
        """Return it as it had been, had this host's clock been ahead by `shift_ns`."""
        return replace(
            self,
            sent_unix_ns=self.sent_unix_ns + shift_ns,
            received_unix_ns=self.received_unix_ns + shift_ns,
        )

    @property
    def offset_low_ns(self) -> int:
        """Least that the NATS host's clock minus this host's can be."""
        return self.stored_unix_ns - self.received_unix_ns

    @property
    def offset_high_ns(self) -> int:
        """Most that the NATS host's clock minus this host's can be."""
        return self.stored_unix_ns - self.sent_unix_ns

    @property
    def rtt_ns(self) -> int:
        """Round trip."""
        return self.received_unix_ns - self.sent_unix_ns


@dataclass(frozen=True)
class ClockBound:
    """At every exchange, the NATS host's clock minus this host's lay in [low, high] ns.

    `drifting`: no one offset explains all exchanges; `stepped`: not even drift does. `server` is
    the one whose clock it was, None if there is but one.
    """

    offset_low_ns: int
    offset_high_ns: int
    exchanges: int
    drifting: bool
    stepped: bool
    server: str | None = None

    def comparison(self) -> ClockComparison:
        """As in probe.json."""
        method = f"{METHOD}, {self.exchanges} exchanges"
        if self.drifting:
            method += f", clocks that drift by up to {DRIFT_MAX_PPM} ppm"
        if self.server is not None:
            method += f", with {self.server}"
        return ClockComparison(
            bound_ms=(self.offset_high_ns - self.offset_low_ns) / 2e6,
            offset_ms=(self.offset_high_ns + self.offset_low_ns) / 2e6,
            method=method,
            exchanges=self.exchanges,
            drifting=self.drifting,
            stepped=self.stepped,
            server=self.server,
        )


def bounds(exchanges: Iterable[Exchange]) -> list[ClockBound]:
    """Bound the offset from all exchanges of a run, for each server they were made with.

    The server with the most exchanges comes first; none without any exchange.
    """
    by_server: dict[str | None, list[Exchange]] = {}
    for exchange in exchanges:
        by_server.setdefault(exchange.server, []).append(exchange)
    found = [replace(bound(those), server=server) for server, those in by_server.items()]
    return sorted(found, key=lambda one: -one.exchanges)


def bound(exchanges: Iterable[Exchange]) -> ClockBound:
    """Bound the offset from exchanges with one server; there must be one at least.

    If one constant offset explains all exchanges, it lies in their intersection. Otherwise the
    clocks drifted, and the answer is the hull of what each exchange allows, given its neighbours
    and the greatest drift; or a clock was set, and it is the hull of the exchanges as they are.
    """
    ordered = sorted(exchanges, key=lambda exchange: exchange.sent_unix_ns)
    lows = [exchange.offset_low_ns for exchange in ordered]
    highs = [exchange.offset_high_ns for exchange in ordered]
    if max(lows) <= min(highs):
        return ClockBound(max(lows), min(highs), len(ordered), drifting=False, stepped=False)
    times = [exchange.sent_unix_ns for exchange in ordered]
    lows_drifting = _raise_to_neighbours(times, lows)
    highs_drifting = [-low for low in _raise_to_neighbours(times, [-high for high in highs])]
    stepped = any(low > high for low, high in zip(lows_drifting, highs_drifting, strict=True))
    if not stepped:
        lows, highs = lows_drifting, highs_drifting
    return ClockBound(min(lows), max(highs), len(ordered), drifting=True, stepped=stepped)


class OffsetTrack:
    """The offset's range at any time, if clocks drift by DRIFT_MAX_PPM at most.

    `exchanges` are (time, low, high) in ns, in order of time; there must be one at least.
    """

    def __init__(self, exchanges: Sequence[tuple[int, int, int]]) -> None:
        self._times = [time_ns for time_ns, _, _ in exchanges]
        lows = [low for _, low, _ in exchanges]
        self._lows = _raise_to_neighbours(self._times, lows)
        negated = _raise_to_neighbours(self._times, [-high for _, _, high in exchanges])
        self._highs = [-low for low in negated]

    def at(self, unix_ns: int) -> tuple[int, int]:
        """Return the least and the most that the offset can be at a time, in ns."""
        after = bisect_right(self._times, unix_ns)
        near = range(max(0, after - 1), min(len(self._times), after + 1))
        drifts = {i: _drift_max_ns(abs(unix_ns - self._times[i])) for i in near}
        low = max(self._lows[i] - drift for i, drift in drifts.items())
        high = min(self._highs[i] + drift for i, drift in drifts.items())
        return low, high


def _raise_to_neighbours(times_ns: Sequence[int], lows_ns: Sequence[int]) -> list[int]:
    """Raise each lower bound to the most that any other implies there under the greatest drift.

    That is max over j of low[j] - drift * |t[i] - t[j]|, in two passes instead of all pairs.
    """
    raised = list(lows_ns)
    forwards = range(1, len(raised))
    for order, step in ((forwards, -1), (reversed(range(len(raised) - 1)), 1)):
        for i in order:
            apart_ns = abs(times_ns[i] - times_ns[i + step])
            implied = raised[i + step] - _drift_max_ns(apart_ns)
            raised[i] = max(raised[i], implied)
    return raised


def _drift_max_ns(elapsed_ns: int) -> int:
    """Return the most that a clock drifts meanwhile, rounded up: many of them may be added."""
    return -(-elapsed_ns * DRIFT_MAX_PPM // 1_000_000)
