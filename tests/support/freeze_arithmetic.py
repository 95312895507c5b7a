"""What a freeze must do to each leg, by arithmetic from its begin, its end and the schedules."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from fpaas.consumers.polling import PULL_TIMEOUT_NS
from fpaas.consumers.schedule import PollSchedule
from fpaas.measures.wake_ups import WAKE_UP_INTERVAL_NS
from fpaas.spec import NS_PER_S, RunSpec

#: Of the freeze's length: how far figures may be from what the recorder says.
TOLERANCE = 0.1
PERCENTILES = {"p50": 50.0, "p90": 90.0, "p99": 99.0, "p999": 99.9, "max": 100.0}

RELAY, SHUFFLER, WORKER, NATS = "relay", "shuffler", "worker", "nats"


@dataclass(frozen=True)
class Calls:
    """What is known of a leg's calls in the window: the least and the most that each took, in s.

    `due_count` is None if the schedule alone does not tell it. About `edge` calls may have begun on
    the other side of the window's edges.
    """

    least_s: list[float]
    most_s: list[float]
    due_count: int | None
    edge: int = 0

    def wrong(self, found: dict[str, Any]) -> Iterator[str]:
        """Say what of a leg's figures is outside of it."""
        total = found["count"] + found["open_count"]
        if found["due_count"] != total:
            yield f"due {found['due_count']}, counted {found['count']} + {found['open_count']}"
        if self.due_count is not None and abs(total - self.due_count) > self.edge:
            yield f"{total} calls, {self.due_count} by the schedule (± {self.edge})"
        if found["at_least"] and not found["open_count"]:
            yield "percentiles are uncertain though nothing is open"
        for name, percentile in PERCENTILES.items():
            if name not in found:
                continue
            least_ms = found[name]
            most_ms = found["at_least"].get(name, least_ms)
            lowest_ms = 1000 * _at(self.least_s, percentile, -self.edge)
            highest_ms = 1000 * _at(self.most_s, percentile, self.edge)
            if least_ms > highest_ms:
                yield f"{name} {least_ms:.0f} ms, at most {highest_ms:.0f}"
            if most_ms is not None and most_ms < lowest_ms:
                yield f"{name} {most_ms:.0f} ms, at least {lowest_ms:.0f}"


def _at(values: list[float], percentile: float, ranks: int) -> float:
    """Return a percentile by nearest rank, some ranks further."""
    rank = math.ceil(percentile / 100 * len(values) - 1e-9)
    if percentile == 100.0:
        ranks = 0
    return sorted(values)[min(max(rank + ranks, 1), len(values)) - 1]


@dataclass(frozen=True)
class Freeze:
    """A part did nothing from begin to end, in Unix s; anything else came up to `slack_s` late."""

    part: str
    begin_s: float
    end_s: float
    slack_s: float

    @property
    def length_s(self) -> float:
        return self.end_s - self.begin_s

    @property
    def _late_s(self) -> float:
        return TOLERANCE * self.length_s + self.slack_s

    def least(self, due_s: float) -> float:
        """Return the least that a call took which waits for the part and is due then."""
        if not self.begin_s + self.slack_s <= due_s < self.end_s:
            return 0.0
        return max(0.0, self.end_s - due_s - self._late_s)

    def most(self, due_s: float) -> float:
        """Return the most that a call took which waits for the part and is due then."""
        # Still in flight when it began, or due while it caught up.
        if self.begin_s - self.slack_s <= due_s < self.end_s + self._late_s:
            return max(self.slack_s, self.end_s - due_s + self._late_s)
        return self.slack_s

    def waiting(self, dues_s: list[float]) -> Calls:
        """Return calls by due time that wait for the part."""
        return Calls(
            [self.least(due) for due in dues_s], [self.most(due) for due in dues_s], len(dues_s)
        )

    def perhaps_waiting(self, dues_s: list[float]) -> Calls:
        """Return calls by due time that the part may hold up, by what it does not take."""
        return Calls([0.0] * len(dues_s), [self.most(due) for due in dues_s], len(dues_s))

    def not_waiting(self, dues_s: list[float]) -> Calls:
        """Return calls by due time that the part has nothing to do with."""
        return Calls([0.0] * len(dues_s), [self.slack_s] * len(dues_s), len(dues_s))


@dataclass(frozen=True)
class Expected:
    """All legs of a run with a freeze."""

    spec: RunSpec
    freeze: Freeze

    def legs(self) -> dict[str, Calls]:
        """Return what is known of each leg of calls in summary.json, by its name there."""
        freeze, part = self.freeze, self.freeze.part
        frames = self._in_window(self._frames())
        polls = self._in_window(self._polls())
        if part == RELAY:
            sent = read = acked = freeze.waiting(frames)
        elif part == SHUFFLER:
            sent = freeze.perhaps_waiting(frames)
            read = acked = freeze.waiting(frames)
        else:
            sent, read = freeze.not_waiting(frames), freeze.not_waiting(frames)
            if part == NATS:
                read = freeze.perhaps_waiting(frames)
            acked = freeze.waiting(frames) if part == NATS else freeze.not_waiting(frames)
        if part == WORKER:
            lateness = intended = freeze.waiting(polls)
        elif part == NATS:
            lateness, intended = self._behind_others(polls), freeze.waiting(polls)
        else:
            lateness = intended = freeze.not_waiting(polls)
        return {
            "due_to_sent": sent,
            "due_to_read": read,
            "due_to_ack": acked,
            "publish_ack": self._publishes(),
            "fetch_call": self._pulls(),
            "fetch_call_intended": intended,
            "poll_lateness_ms": lateness,
            "loop_lag_ms": self._wake_ups(),
        }

    # -- what falls due ----------------------------------------------------------------------------

    def _in_window(self, dues_s: Iterable[float]) -> list[float]:
        from_s = self.spec.measure_from_unix_ns / NS_PER_S
        until_s = self.spec.offer_until_unix_ns / NS_PER_S
        # A due time in whole ns is exact; seconds in floats are not.
        return [due for due in dues_s if from_s - 2e-7 <= due < until_s - 2e-7]

    def _frames(self) -> Iterator[float]:
        rate_per_s = self.spec.firehose.rate_per_s or 0
        for index in range(self.spec.frames_due() or 0):
            yield self.spec.t0_unix_ns / NS_PER_S + index / rate_per_s

    def _polls(self) -> Iterator[float]:
        for dues in self._polls_by_consumer().values():
            yield from dues

    def _polls_by_consumer(self) -> dict[int, list[float]]:
        schedule = PollSchedule.of(self.spec)
        found = defaultdict(list)
        for consumer in range(self.spec.consumers.count):
            due, poll = schedule.first_due(consumer), 0
            while due < self.spec.end_unix_ns:
                found[consumer].append(due / NS_PER_S)
                poll += 1
                due = schedule.next_due(consumer, poll, due)
        return found

    # -- legs that the schedule alone does not tell ------------------------------------------------

    def _behind_others(self, polls_s: list[float]) -> Calls:
        """Return the lateness of polls that wait for their consumer's last pull."""
        freeze = self.freeze
        # The first of a consumer goes out in time; whatever gives that up lets the next one go.
        first = 2 if freeze.length_s + freeze.slack_s > PULL_TIMEOUT_NS / NS_PER_S else 1
        behind = {
            due
            for dues in self._polls_by_consumer().values()
            for due in [due for due in dues if self._is_frozen(due)][first:]
        }
        least = [freeze.least(due) if due in behind else 0.0 for due in polls_s]
        return Calls(least, [freeze.most(due) for due in polls_s], len(polls_s))

    def _publishes(self) -> Calls:
        """Return publishes, by when they were written: once their frame was read."""
        freeze = self.freeze
        until = freeze.end_s if freeze.part in (RELAY, SHUFFLER) else 0.0
        written = self._in_window(
            until if self._is_frozen(due) and until else due for due in self._frames()
        )
        return self._by_sending(written, freeze.least if freeze.part == NATS else None)

    def _pulls(self) -> Calls:
        """Return pulls: of each consumer, the first of a freeze waits, the others behind it."""
        freeze = self.freeze
        polls = self._in_window(self._polls())
        firsts = {
            next((due for due in dues if self._is_frozen(due)), None)
            for dues in self._polls_by_consumer().values()
        }
        least = [
            freeze.least(due) if freeze.part == NATS and due in firsts else 0.0 for due in polls
        ]
        most = [freeze.most(due) for due in polls]
        # When later ones were sent is not told by the schedule, only that none is in the window
        # twice.
        behind = sum(freeze.begin_s <= due < freeze.end_s + freeze.slack_s for due in polls)
        across = freeze.end_s + 2 * freeze.slack_s > self.spec.measure_from_unix_ns / NS_PER_S
        held_up = freeze.part in (NATS, WORKER) and across
        extra = self.spec.consumers.count * math.ceil(freeze.length_s + 1) if held_up else 0
        return Calls(least, most, len(polls), self._edge() + (behind + extra if held_up else 0))

    def _by_sending(self, begun_s: list[float], least: Callable[[float], float] | None) -> Calls:
        return Calls(
            [least(one) if least else 0.0 for one in begun_s],
            [self.freeze.most(one) for one in begun_s],
            len(begun_s),
            self._edge(),
        )

    def _edge(self) -> int:
        per_s = (self.spec.firehose.rate_per_s or 0) + self.spec.consumers.count
        return 1 + math.ceil(2 * self.freeze.slack_s * per_s)

    def _wake_ups(self) -> Calls:
        spec, freeze = self.spec, self.freeze
        dues = self._in_window(
            due / NS_PER_S for due in range(spec.t0_unix_ns, spec.end_unix_ns, WAKE_UP_INTERVAL_NS)
        )
        others = freeze.not_waiting(dues)
        frozen = others if freeze.part == NATS else freeze.waiting(dues)
        processes = [frozen, others, others]
        return Calls(
            [value for one in processes for value in one.least_s],
            [value for one in processes for value in one.most_s],
            len(processes) * len(dues),
        )

    def _is_frozen(self, due_s: float) -> bool:
        return self.freeze.begin_s <= due_s < self.freeze.end_s
