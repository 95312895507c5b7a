"""How a reader counts what our relay renumbers, against the reader's own numbering."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fpaas.firehose.frames import Event
from fpaas.firehose.numbering import ESTABLISHED, Numbering
from fpaas.firehose.pace import AtRate
from fpaas.firehose.renumbering import index_of, numberings, positions
from fpaas.spec import Fault

RATE_PER_S = 200
PACE = AtRate(RATE_PER_S)
FIRST_SEQ = 7

faults = st.lists(
    st.builds(
        lambda do, at, lasts, number: Fault(
            do,
            "relay",
            float(at),
            float(lasts),
            frames=number if do == "rewind" else None,
            first_seq=number if do == "renumber" else None,
        ),
        st.sampled_from(["rewind", "renumber"]),
        st.integers(1, 8),
        st.sampled_from([0, 1, 2]),
        st.sampled_from([1, 30, 150, 900, 5000, 10**9]),
    ),
    max_size=3,
)


def test_positions_go_on_if_seqs_go_back_or_leap_and_keep_gaps() -> None:
    assert list(positions([(1, 10), (5, 4), (9, 3), (100, 2), (10**9, 5)])) == [
        (1, 10),
        (11, 4),
        (15, 3),
        (106, 2),
        (108, 5),
    ]


def _fills_a_gap(runs: list[tuple[int, int]]) -> bool:
    """Whether seqs go back to such as were left out: the reader takes them for late events."""
    latest = 0
    gaps: list[range] = []
    for (first_seq, length), (first, _) in zip(runs, positions(runs), strict=True):
        shift = first - first_seq
        if any(gap.start < first_seq + length and first_seq < gap.stop for gap in gaps):
            return True
        if latest and first > latest:
            gaps.append(range(latest - shift, first_seq))
        latest = first + length
    return False


@given(faults=faults, count=st.integers(0, 2200))
def test_positions_are_those_that_the_reader_finds(faults: list[Fault], count: int) -> None:
    numbered = list(numberings(PACE.due_count, faults, FIRST_SEQ))
    ends = [*(one.first_index for one in numbered[1:]), count]
    runs = [
        (one.first_index + one.shift, min(end, count) - one.first_index)
        for one, end in zip(numbered, ends, strict=True)
    ]
    runs = [(first, length) for first, length in runs if length > 0]
    # A numbering of a few events is taken for one bad seq, and the one before it goes on.
    if any(length < ESTABLISHED for _, length in runs) or _fills_a_gap(runs):
        return
    expected = [first + offset for first, length in positions(runs) for offset in range(length)]
    reader = Numbering(None)
    read = []
    seqs = [first + offset for first, length in runs for offset in range(length)]
    for index, seq in enumerate(seqs):
        event = Event("commit", seq, f"did:{index}", f"{index:013d}", f"{index:09d}", (), None)
        if seq == reader.next_seq:
            reader.next_seq = seq + 1
            reader.recent.append(event)
        else:
            reader.place(event)
        read.append(seq + reader.base)
    assert read == expected
    find = index_of(numbered)
    assert [find(position) for position in expected] == list(range(count))
