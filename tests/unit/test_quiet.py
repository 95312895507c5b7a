"""Stretches without an event."""

from __future__ import annotations

from fpaas.measures import quiet
from fpaas.measures.quiet import Quiet

S = 1_000_000_000
#: The wall clock, where the monotonic one shows 0.
WALL = 1_790_000_000 * S


def heard(subject: Quiet, *at_s: float) -> None:
    for at in at_s:
        subject.heard(round(at * S), WALL + round(at * S))


def stretches(subject: Quiet, now_s: float) -> list[tuple[float, float]]:
    found = subject.stretches(round(now_s * S), WALL + round(now_s * S))
    return [((begin - WALL) / S, (end - WALL) / S) for begin, end in found]


def test_events_close_together_leave_none() -> None:
    subject = Quiet()
    subject.listen(0)
    heard(subject, *(at / 10 for at in range(100)))
    assert stretches(subject, 10) == []


def test_before_the_first_between_and_after_the_last() -> None:
    subject = Quiet()
    subject.listen(0)
    heard(subject, 2, 2.5, 7)
    assert stretches(subject, 7.5) == [(0, 2), (2.5, 7)]
    assert stretches(subject, 9) == [(0, 2), (2.5, 7), (7, 9)]


def test_who_does_not_listen_hears_nothing() -> None:
    subject = Quiet()
    heard(subject, 5)
    assert stretches(subject, 9) == []
    subject.listen(10 * S)
    subject.look_away(13 * S, WALL + 13 * S)
    subject.listen(20 * S)
    heard(subject, 20.5)
    assert stretches(subject, 21) == [(10, 13)]


def test_of_very_many_the_longest_are_kept() -> None:
    subject = Quiet()
    subject.listen(0)
    at = 0.0
    for _ in range(2 * quiet.STRETCHES_MAX):
        at += 1.5
        heard(subject, at)
    at += 60
    heard(subject, at)
    assert (at - 60, at) in stretches(subject, at)
    assert len(stretches(subject, at)) <= quiet.STRETCHES_MAX
