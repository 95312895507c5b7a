"""Numbers and damage as a run's faults have them, over a source that says who it was asked for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fpaas.firehose.frames import Event, FrameError, decode
from fpaas.firehose.pace import AtRate
from fpaas.firehose.synthetic import Synthetic
from fpaas.relay.cursors import Refused, start_of
from fpaas.relay.wire import Wire
from fpaas.spec import NS_PER_S, Fault

RATE_PER_S = 100
FOR_GOOD_NS = 10**18
PACE = AtRate(RATE_PER_S)
SOURCE = Synthetic(3)

numbering_faults = st.lists(
    st.builds(
        lambda do, at_s, for_s, number: Fault(
            do,
            "relay",
            at_s,
            for_s,
            frames=number if do == "rewind" else None,
            first_seq=number if do == "renumber" else None,
        ),
        st.sampled_from(["rewind", "renumber"]),
        st.floats(0, 20),
        st.one_of(st.just(0.0), st.floats(0.1, 10)),
        st.integers(1, 5000),
    ),
    max_size=4,
)


def seq_of(wire: Wire, index: int) -> int:
    event = decode(wire.frame(index, FOR_GOOD_NS))
    assert isinstance(event, Event)
    return event.seq


def wire_of(*faults: Fault) -> Wire:
    return Wire(SOURCE, PACE, faults)


def test_without_faults_frames_are_the_sources() -> None:
    wire = wire_of()
    assert wire.is_plain
    assert wire.frame(7, 0) == SOURCE.frame(7)
    assert list(wire.numberings(50)) == [(1, 50)]


def test_rewind_goes_back_by_so_many_and_is_undone() -> None:
    # Frames 0 … 100 are due by then, and 101 is the next.
    wire = wire_of(Fault("rewind", "relay", 1.0, frames=40))
    assert [seq_of(wire, index) for index in (100, 101, 102, 500)] == [101, 62, 63, 461]
    assert list(wire.numberings(500)) == [(1, 101), (62, 399)]
    undone = wire_of(Fault("rewind", "relay", 1.0, for_s=1.0, frames=40))
    assert [seq_of(undone, index) for index in (101, 200, 201)] == [62, 161, 202]
    assert list(undone.numberings(300)) == [(1, 101), (62, 100), (202, 99)]


def test_there_is_no_seq_below_1() -> None:
    wire = wire_of(Fault("rewind", "relay", 0.1, frames=4000))
    assert seq_of(wire, 11) == 1


def test_renumber_begins_where_it_is_told() -> None:
    wire = wire_of(Fault("renumber", "relay", 1.0, first_seq=9_000_000))
    assert [seq_of(wire, index) for index in (100, 101, 102)] == [101, 9_000_000, 9_000_001]


def test_only_the_last_numbering_can_be_replayed() -> None:
    wire = wire_of(Fault("renumber", "relay", 1.0, first_seq=5))
    assert start_of(80, wire.backlog(101, 1000)).index == 79
    backlog = wire.backlog(110, 1000)  # nine frames: 5 … 13
    assert start_of(0, backlog).index == 101
    assert start_of(7, backlog).index == 103
    assert start_of(3, backlog).outdated
    with pytest.raises(Refused, match="FutureCursor"):
        start_of(101, backlog)


@given(faults=numbering_faults, offered=st.integers(0, 4000))
def test_numberings_are_what_the_frames_bear(faults: list[Fault], offered: int) -> None:
    wire = wire_of(*faults)
    numberings = list(wire.numberings(offered))
    assert sum(count for _, count in numberings) == offered
    index = 0
    for first_seq, count in numberings:
        assert first_seq >= 1
        assert seq_of(wire, index) == first_seq
        assert seq_of(wire, index + count - 1) == first_seq + count - 1
        index += count


@given(faults=numbering_faults, offered=st.integers(1, 4000), back=st.integers(0, 200))
def test_a_cursor_of_the_last_numbering_finds_its_frame(
    faults: list[Fault], offered: int, back: int
) -> None:
    wire = wire_of(*faults)
    backlog = wire.backlog(offered, 1000)
    index = max(backlog.oldest, offered - 1 - back)
    assert start_of(seq_of(wire, index), backlog).index == index


@pytest.mark.parametrize("do", ["garbage", "half_frame"])
def test_damaged_frames_are_malformed_every_time(do: str) -> None:
    wire = wire_of(Fault(do, "relay", 1.0, frames=25))
    for index in range(101, 126):
        with pytest.raises(FrameError):
            decode(wire.frame(index, 0))
        assert wire.frame(index, 0) == wire.frame(index, FOR_GOOD_NS) != SOURCE.frame(index)
    for index in (0, 100, 126, 1000):
        assert wire.frame(index, 0) == SOURCE.frame(index)
    assert len(wire.damaged_indices(110)) == 9


def test_damage_is_undone() -> None:
    wire = wire_of(Fault("garbage", "relay", 1.0, for_s=2.0, frames=3))
    assert wire.frame(102, 3 * NS_PER_S - 1) != SOURCE.frame(102)
    assert wire.frame(102, 3 * NS_PER_S) == SOURCE.frame(102)


def test_damaged_frames_that_would_have_been_ignored_are_not() -> None:
    class Unknown(Synthetic):
        def ignored(self, count: int) -> int:
            return count // 2  # every second frame is no event

    wire = Wire(Unknown(3), PACE, [Fault("garbage", "relay", 1.0, frames=10)])
    assert wire.ignored(101) == 50
    assert wire.ignored(200) == 100 - 5
