"""How a durable fares in a run: messages as a fluid, polls as they are due.

A durable is owed messages at a steady rate or by a schedule, its polls take at most a batch each,
and what is older than the stream's retention is gone. The model follows the run's own timeline
(offering, draining, the final look at the server).
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

from fpaas.spec import NS_PER_S
from fpaas.spec.rates import RateSchedule

#: Polls of a durable followed one by one; of more, neighbours are taken as one larger poll.
POLLS_FOLLOWED = 10_000
#: Phases of the schedule to average over: many polls average by themselves.
PHASES_MIN, PHASES_MAX = 4, 40
PHASES_X_POLLS = 40_000
#: When, and for how many messages at most.
Poll = tuple[float, float]


@dataclass(frozen=True)
class Durable:
    """One durable's side of a run; a shared durable is polled by all consumers in turn."""

    owed_per_s: float
    poll_interval_s: float
    batch_size: float  # infinite: fetches until empty
    max_age_s: float
    max_messages: float
    #: Away for the last part of every period; the first poll after that fetches until empty.
    away_s: float = 0.0
    away_every_s: float = 0.0
    #: At what rates it is owed; None: always at the mean.
    schedule: RateSchedule | None = None
    offered_per_s: float = 0.0
    #: When it joins, and from when on it is served what was published; None: what is there then.
    joins_at_s: float = 0.0
    served_from_s: float | None = None

    def owed_by(self, at_s: float) -> float:
        """How many messages it was owed by a time."""
        if self.schedule is None:
            return self.owed_per_s * at_s
        offered = self.schedule.due_count(round(at_s * NS_PER_S) - 1)
        return offered * self.owed_per_s / self.offered_per_s

    def published_s(self, position: float) -> float:
        """When the message at a position was published."""
        if self.schedule is None:
            return position / self.owed_per_s
        index = int(position * self.offered_per_s / self.owed_per_s)
        return self.schedule.due_ns(index) / NS_PER_S

    def polls(self, interval_s: float, phase: float, batch_size: float, end_s: float) -> list[Poll]:
        """Return its polls: when, and for how much at most."""
        found: list[Poll] = []
        here_s = self.away_every_s - self.away_s
        absences = 0
        for number in itertools.count():
            at_s = interval_s * (number + phase)
            before = absences
            if self.away_s:
                absences = int(at_s / here_s)
                at_s += absences * self.away_s
            at_s += self.joins_at_s
            if at_s >= end_s:
                return found
            found.append((at_s, math.inf if absences > before else batch_size))
        return found


@dataclass
class Course:
    """How a durable fares, in messages; the mean over all phases of its schedule.

    `age_sum_s` adds up how old each delivered message was.
    """

    delivered: float = 0.0
    delivered_while_measuring: float = 0.0
    expired: float = 0.0
    pending: float = 0.0
    lag_at_offer_end: float = 0.0
    age_sum_s: float = 0.0
    first_expiry_s: float | None = None


def follow(
    durable: Durable, *, warmup_s: float, offer_s: float, end_s: float, settled_s: float
) -> Course:
    """Follow a durable through a run and average over the phases of its schedule.

    `delivered + expired + pending` is what it was owed. Times are seconds since T0; jitter is left
    out, for it moves polls without changing how many there are. Ages are a lower bound for a shared
    durable, whose many pollers do not come as evenly.
    """
    polls = end_s / durable.poll_interval_s
    # Taken together, they must still come several times before a message expires.
    together_max = durable.max_age_s / 4 / durable.poll_interval_s
    together = max(1, int(min(math.ceil(polls / POLLS_FOLLOWED), together_max)))
    interval_s = durable.poll_interval_s * together
    batch_size = durable.batch_size * together
    phases = max(PHASES_MIN, min(PHASES_MAX, int(PHASES_X_POLLS / max(polls / together, 1))))
    mean = Course()
    for phase in range(phases):
        course = _follow_phase(
            durable,
            durable.polls(interval_s, (phase + 0.5) / phases, batch_size, end_s),
            warmup_s=warmup_s,
            offer_s=offer_s,
            settled_s=settled_s,
        )
        mean.delivered += course.delivered / phases
        mean.delivered_while_measuring += course.delivered_while_measuring / phases
        mean.expired += course.expired / phases
        mean.pending += course.pending / phases
        mean.lag_at_offer_end += course.lag_at_offer_end / phases
        mean.age_sum_s += course.age_sum_s / phases
        if course.first_expiry_s is not None:
            earlier = mean.first_expiry_s
            mean.first_expiry_s = min(course.first_expiry_s, earlier or math.inf)
    return mean


def _follow_phase(
    durable: Durable,
    polls: list[Poll],
    *,
    warmup_s: float,
    offer_s: float,
    settled_s: float,
) -> Course:
    course = Course()
    if not durable.owed_per_s:
        return course
    # Messages before it are delivered or expired, or it was not there.
    position = first_served(durable, offer_s)

    def skip_expired(now_s: float) -> float:
        nonlocal position
        oldest = _oldest_stored(durable, now_s, offer_s)
        if oldest > position:
            if course.first_expiry_s is None:
                course.first_expiry_s = _first_expiry_s(durable, position)
            course.expired += oldest - position
            position = oldest
        return position

    lag_known = False
    for now_s, batch_size in polls:
        if now_s >= offer_s and not lag_known:
            lag_known = True
            course.lag_at_offer_end = durable.owed_by(offer_s) - skip_expired(offer_s)
        available = durable.owed_by(min(now_s, offer_s)) - skip_expired(now_s)
        taken = min(batch_size, available)
        course.age_sum_s += taken * (now_s - durable.published_s(position + taken / 2))
        position += taken
        course.delivered += taken
        if warmup_s <= now_s < offer_s:
            course.delivered_while_measuring += taken
    if not lag_known:
        course.lag_at_offer_end = durable.owed_by(offer_s) - skip_expired(offer_s)
    course.pending = durable.owed_by(offer_s) - skip_expired(settled_s)
    return course


def push(durable: Durable, warmup_s: float, offer_s: float) -> Course:
    """Let a durable deliver all that is published, as it is published."""
    owed = durable.owed_by(offer_s)
    return Course(delivered=owed, delivered_while_measuring=owed - durable.owed_by(warmup_s))


def first_served(durable: Durable, offer_s: float) -> float:
    """Return how many messages come before the first that a durable is served."""
    if not durable.joins_at_s:
        return 0.0
    stored = _oldest_stored(durable, durable.joins_at_s, offer_s)
    if durable.served_from_s is None:
        return stored
    return max(stored, durable.owed_by(min(durable.served_from_s, offer_s)))


def _oldest_stored(durable: Durable, now_s: float, offer_s: float) -> float:
    """How many messages the stream has let go by a time."""
    offered = durable.owed_by(min(now_s, offer_s))
    too_old = min(durable.owed_by(max(0.0, now_s - durable.max_age_s)), offered)
    return max(0.0, too_old, offered - durable.max_messages)


def _first_expiry_s(durable: Durable, position: float) -> float:
    """When the message at a position left the stream."""
    return durable.published_s(position) + min(
        durable.max_age_s, durable.max_messages / durable.owed_per_s
    )
