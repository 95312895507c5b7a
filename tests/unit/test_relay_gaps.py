"""Which events of a relay were never read: what comes late is not missing."""

from __future__ import annotations

from fpaas.records.shuffler import RelayGap
from fpaas.shuffler.relay_gaps import DENSE_EVENTS, GAPS_MAX, SEQ_JUMP, RelayGaps

MANY = 1000


def jump(gaps: RelayGaps, after_seq: int, until_seq: int, events: int = MANY) -> RelayGap:
    gap = RelayGap(after_seq, until_seq - after_seq - 1, 0, SEQ_JUMP)
    gaps.note_jump(gap, until_seq, events)
    return gap


def test_swapped_neighbours_leave_no_gap_and_no_doubt_of_the_numbers() -> None:
    gaps = RelayGaps()
    for seq in range(2, MANY, 2):
        jump(gaps, seq - 1, seq + 1, events=seq)
        gaps.fill(seq)
    assert gaps.found == []
    assert gaps.count == 0
    assert gaps.is_dense(DENSE_EVENTS)


def test_what_a_sparse_relay_leaves_out_is_no_gap_from_its_first_jump_on() -> None:
    gaps = RelayGaps()
    for number in range(1, 20):
        jump(gaps, 20 * number - 1, 20 * number + 1, events=19 * number)
    assert gaps.found == []
    assert (gaps.count, gaps.jumps, gaps.jumped_seqs) == (0, 19, 19)
    assert not gaps.is_dense(MANY)
    # Something much wider is one, of whatever size.
    jump(gaps, 400, 600, events=400)
    assert [gap.missing for gap in gaps.found] == [None]


def test_a_gap_shrinks_by_what_comes_late() -> None:
    gaps = RelayGaps()
    before = jump(gaps, 10, 13)
    jump(gaps, 20, 24)
    after = jump(gaps, 30, 32)
    gaps.fill(22)
    assert gaps.found == [before, RelayGap(20, 2, 0, SEQ_JUMP), after]
    gaps.fill(21)
    gaps.fill(23)
    assert gaps.found == [before, after]
    assert gaps.count == 2


def test_an_event_that_lies_in_no_gap_fills_none() -> None:
    gaps = RelayGaps()
    gap = jump(gaps, 10, 12)
    for seq in (9, 10, 12, 13):
        gaps.fill(seq)
    assert gaps.found == [gap]


def test_a_gap_of_an_earlier_numbering_stays() -> None:
    gaps = RelayGaps()
    gap = jump(gaps, 10, 12)
    gaps.begin_numbering()
    gaps.fill(11)
    assert gaps.found == [gap]


def test_a_gap_without_size_stays_until_all_of_it_came() -> None:
    gaps = RelayGaps()
    jump(gaps, 0, 2, events=1)
    jump(gaps, 3, 20, events=3)
    for seq in range(4, 19):
        gaps.fill(seq)
    assert [gap.missing for gap in gaps.found] == [None]
    gaps.fill(19)
    assert gaps.found == []


def test_a_gap_that_is_counted_only_is_taken_back_too() -> None:
    gaps = RelayGaps(is_dense=True)
    for seq in range(0, 2 * GAPS_MAX + 2, 2):
        jump(gaps, seq, seq + 2)
    assert (gaps.count, len(gaps.found)) == (GAPS_MAX + 1, GAPS_MAX)
    gaps.fill(2 * GAPS_MAX + 1)
    assert (gaps.count, len(gaps.found)) == (GAPS_MAX, GAPS_MAX)


def test_a_relay_that_numbered_densely_for_long_and_then_loses_events_is_no_sparse_one() -> None:
    gaps = RelayGaps()
    for seq in range(500, 1000, 5):
        jump(gaps, seq, seq + 2, events=seq)
    assert gaps.is_dense(1000)
    assert sum(gap.missing or 0 for gap in gaps.found) == gaps.count == 100
