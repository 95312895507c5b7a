"""Disagreements in a run's account, added up: codes and figures, no prose."""

from __future__ import annotations

import enum
from collections import defaultdict
from dataclasses import dataclass

Figure = int | str | None


class About(enum.StrEnum):
    """Subjects of disagreements; `verdict.codes_ledger` puts them into words."""

    #: The agents' accounts of frames and deliveries.
    READ_WITHOUT_OUTCOME = "read_without_outcome"
    OUTCOME_UNREAD = "outcome_unread"
    READ_NOT_OFFERED = "read_not_offered"
    SIZES_COUNTED = "sizes_counted"
    DIDS_UNKNOWN = "dids_unknown"
    OFFERED_OUTCOMES = "offered_outcomes"
    DELIVERIES_COUNTED = "deliveries_counted"
    NEVER_FETCHED_COUNTED = "never_fetched_counted"
    COUNTED_LESS = "counted_less"
    PULLS_ENDED = "pulls_ended"
    ACKS_COUNTED = "acks_counted"
    ANSWERS_COUNTED = "answers_counted"
    RECEIVED_TWICE = "received_twice"
    PARTITION_UNKNOWN = "partition_unknown"
    FILTERS_UNKNOWN = "filters_unknown"
    STREAM_PLACES = "stream_places"
    #: The server's figures of the stream.
    STORED_AFTER_END = "stored_after_end"
    STREAM_MESSAGES = "stream_messages"
    STREAM_CONSUMERS = "stream_consumers"
    STREAM_SEEN_BY_JSZ = "stream_seen_by_jsz"
    STORED_PUBLISHED = "stored_published"
    ACKED_BEYOND_END = "acked_beyond_end"
    #: The server's figures of durables.
    DURABLE_MISSING = "durable_missing"
    DELIVERED = "delivered"
    NUM_PENDING = "num_pending"
    ACK_FLOOR = "ack_floor"
    NUM_ACK_PENDING = "num_ack_pending"
    FAILED_NOT_WAITING = "failed_not_waiting"
    PASSED_OVER = "passed_over"
    DELIVERIES_UNSEEN = "deliveries_unseen"
    OWED_OUTCOMES = "owed_outcomes"
    REPEAT_WITHOUT_FIRST = "repeat_without_first"


@dataclass(frozen=True)
class Disagreement:
    """By how many events two accounts differ about something, in how many cases.

    `example` has the figures of the worst case.
    """

    about: About
    amount: int
    cases: int
    example: dict[str, Figure]


class Disagreements:
    """Adds up disagreements by subject, with an example of each."""

    def __init__(self) -> None:
        self.total = 0
        self._noted: _Cases = defaultdict(list)
        self._tolerated: _Cases = defaultdict(list)

    def note(self, amount: int, about: About, **figures: Figure) -> None:
        """Note a disagreement about `amount` events; 0 is none."""
        if amount:
            self.total += abs(amount)
            self._noted[about].append((abs(amount), figures))

    def tolerate(self, amount: int, about: About, **figures: Figure) -> None:
        """Note what does not fit and is known not to: it is told, and no part of the total."""
        if amount:
            self._tolerated[about].append((abs(amount), figures))

    def noted(self) -> list[Disagreement]:
        """Return what does not fit."""
        return _added_up(self._noted)

    def tolerated(self) -> list[Disagreement]:
        """Return what is tolerated."""
        return _added_up(self._tolerated)


_Cases = defaultdict[About, list[tuple[int, dict[str, Figure]]]]


def _added_up(noted: _Cases) -> list[Disagreement]:
    return [
        Disagreement(
            about,
            sum(amount for amount, _ in cases),
            len(cases),
            max(cases, key=lambda case: case[0])[1],
        )
        for about, cases in noted.items()
    ]


def distance(value: int, at_least: int, at_most: int) -> int:
    """How far a value lies outside a range."""
    return max(at_least - value, value - at_most, 0)
