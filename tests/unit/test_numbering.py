"""Where a reader is in a relay's stream, whatever the relay does with its numbers."""

from __future__ import annotations

from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from fpaas.firehose.frames import Event
from fpaas.firehose.numbering import ESTABLISHED, LEAP_MAX, Found, Kind, Numbering


def event(seq: int, number: int | None = None) -> Event:
    """Return event `number`, with this seq; its time is in the order of numbers."""
    number = seq if number is None else number
    return Event(
        "commit", seq, f"did:plc:{number}", f"{number}", f"2026-07-04T{number:012d}Z", (), None
    )


class Reading:
    """Reads as the reader does; `positions` are those of the events that were new."""

    def __init__(self, after: int | None = None) -> None:
        self.numbering = Numbering(after)
        self.positions: list[int] = []
        self.events: list[str] = []

    def read(self, one: Event) -> Found | None:
        """Return what was found, None for an event that was due."""
        found = None
        if one.seq == self.numbering.next_seq:
            self.numbering.next_seq = one.seq + 1
            self.numbering.recent.append(one)
        else:
            found = self.numbering.place(one)
            if found.kind is Kind.REREAD:
                return found
        self.positions.append(one.seq + self.numbering.base)
        self.events.append(one.did)
        return found

    def read_all(self, events: Iterable[Event]) -> list[Found]:
        return [found for one in events if (found := self.read(one)) is not None]


def run(first: int, last: int, as_number: int | None = None) -> list[Event]:
    offset = 0 if as_number is None else as_number - first
    return [event(seq, seq + offset) for seq in range(first, last + 1)]


def test_a_relay_that_counts_needs_no_thought() -> None:
    reading = Reading(after=99)
    assert reading.read_all(run(100, 120)) == []
    assert reading.positions == list(range(100, 121))
    assert reading.numbering.last_seq == reading.numbering.last_position == 120


def test_first_event_of_a_live_tail() -> None:
    reading = Reading()
    assert reading.read(event(7)) == (Kind.FIRST, None)
    assert reading.positions == [7]


def test_repeats_are_known() -> None:
    reading = Reading()
    reading.read_all(run(100, 120))
    assert {found.kind for found in reading.read_all(run(110, 120))} == {Kind.REREAD}
    assert reading.read(event(121)) is None


def test_the_cursors_own_event_is_a_repeat() -> None:
    assert Reading(after=100).read(event(100)) == (Kind.REREAD, 0)


def test_events_before_those_remembered_are_told_by_their_time() -> None:
    reading = Reading()
    reading.read_all(run(1, 10_000))
    assert reading.read(event(5)) == (Kind.REREAD, 0)
    assert reading.read(event(5, 20_000)) == (Kind.RESET, 0)
    assert reading.positions[-1] == 10_001


def test_what_was_left_out_may_come_late() -> None:
    reading = Reading()
    reading.read_all([event(1), event(2), event(4)])
    assert reading.read(event(3)) == (Kind.LATE, 0)
    assert reading.read(event(3)) == (Kind.REREAD, 0)
    assert reading.read(event(5)) is None


def test_a_new_numbering_goes_on_with_positions_of_its_own() -> None:
    reading = Reading()
    reading.read_all(run(100, 120))
    found = reading.read_all(run(1, 300, as_number=121))
    assert found == [(Kind.RESET, 0)]
    assert reading.positions == list(range(100, 421))
    assert reading.numbering.last_seq == 300
    assert reading.numbering.seq_before(121) == 0
    assert reading.numbering.seq_before(125) == 4
    assert reading.numbering.seq_before(110) == 0


def test_a_new_numbering_onto_numbers_that_were_there() -> None:
    reading = Reading()
    reading.read_all(run(1, 100))
    assert reading.read_all(run(1, 100, as_number=101)) == [(Kind.RESET, 0)]
    assert reading.positions == list(range(1, 201))


def test_one_seq_far_ahead_is_forgotten() -> None:
    for ahead in (5_000, LEAP_MAX * 100):
        reading = Reading()
        reading.read_all(run(1, 100))
        (leap,) = reading.read_all([event(101 + ahead, 101)])
        assert leap.kind is (Kind.AHEAD if ahead < LEAP_MAX else Kind.LEAP)
        assert reading.read(event(102)) != (Kind.REREAD, 0)
        assert reading.read_all(run(103, 8_000)) == []
        assert len(set(reading.positions)) == len(reading.positions) == 8_000
        assert reading.numbering.last_seq == 8_000


def test_future_cursor_tries_the_numbering_before_a_leap() -> None:
    reading = Reading()
    reading.read_all([*run(1, 100), event(10**9, 101)])
    assert reading.numbering.start_over()
    assert reading.numbering.last_seq == 100
    assert reading.read(event(100)) == (Kind.REREAD, 0)
    assert reading.read(event(101)) is None
    assert not reading.numbering.start_over()
    assert reading.numbering.last_seq is None
    assert reading.read(event(5, 102)) == (Kind.AHEAD, None)
    assert len(set(reading.positions)) == len(reading.positions)


def test_another_reader_goes_on_in_a_new_numbering() -> None:
    first = Reading(0)
    first.read_all([*run(1, 100), *run(1, 70, 101)])
    kept, position = first.numbering.kept, first.numbering.last_position
    assert kept is not None
    assert position == 170
    second = Numbering(position)
    second.go_on(kept, position)
    assert (second.last_seq, second.last_position) == (70, 170)
    assert second.seq_before(150) == 49
    # What is before the new numbering cannot be asked for.
    second.go_on(kept, 90)
    assert (second.last_seq, second.last_position) == (0, 100)


def numberings(count: st.SearchStrategy[int]) -> st.SearchStrategy[list[tuple[int, int, int]]]:
    """Return stretches as (first seq, how many events, step)."""
    stretch = st.tuples(st.integers(1, 2**40), count, st.integers(1, 5))
    return st.lists(stretch, min_size=1, max_size=6)


def read_through(
    stretches: list[tuple[int, int, int]], data: st.DataObject
) -> tuple[Reading, list[str]]:
    """Read stretches that number from anywhere and repeat some of what was before."""
    reading = Reading()
    sent: list[Event] = []
    for first, count, step in stretches:
        stretch = [event(first + step * at, len(sent) + at) for at in range(count)]
        sent += stretch
        reading.read_all(stretch)
        repeated = data.draw(st.integers(0, count))
        reading.read_all(stretch[count - repeated :])
    return reading, [one.did for one in sent]


@given(numberings(st.integers(1, 50)), st.data())
def test_no_event_is_missed_through_any_numberings(
    stretches: list[tuple[int, int, int]], data: st.DataObject
) -> None:
    """In doubt one is taken for new: the stream's duplicate window settles it."""
    reading, sent = read_through(stretches, data)
    assert list(dict.fromkeys(reading.events)) == sent
    assert len(set(reading.positions)) == len(reading.events)


@given(numberings(st.integers(ESTABLISHED, 2 * ESTABLISHED)), st.data())
def test_every_event_is_read_once_through_established_numberings(
    stretches: list[tuple[int, int, int]], data: st.DataObject
) -> None:
    reading, sent = read_through(stretches, data)
    assert reading.events == sent
    assert len(set(reading.positions)) == len(sent)
