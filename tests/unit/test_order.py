"""Order of one DID's events, in the stream and at each consumer."""

from __future__ import annotations

import random
import time
from array import array
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fpaas.ledger.order import violations_at_consumers, violations_in_stream
from fpaas.measures.delivery_log import ConsumerDeliveries, DeliveryLog


def runs_of(relay_seqs: list[int]) -> list[tuple[int, int, int]]:
    """Return runs (relay, stream, count) of relay seqs in the order in which they were stored."""
    runs: list[tuple[int, int, int]] = []
    for stream_seq, relay_seq in enumerate(relay_seqs, 1):
        if runs and relay_seq == runs[-1][0] + runs[-1][2]:
            relay, stream, count = runs[-1]
            runs[-1] = (relay, stream, count + 1)
        else:
            runs.append((relay_seq, stream_seq, 1))
    return runs


@given(st.permutations(range(1, 13)), st.lists(st.integers(1, 3), min_size=12, max_size=12))
def test_every_pair_of_the_stream_is_looked_at(order: list[int], did_of: list[int]) -> None:
    dids = [did_of[relay_seq - 1] for relay_seq in order]
    late = sum(
        any(earlier > seq and did_of[earlier - 1] == did_of[seq - 1] for earlier in order[:place])
        for place, seq in enumerate(order)
    )
    assert violations_in_stream(runs_of(order), dids) == late


def delivered(arrivals: list[tuple[int, bool]]) -> ConsumerDeliveries:
    log = DeliveryLog(0, "d")
    for consumer_seq, (stream_seq, is_repeat) in enumerate(arrivals, 1):
        log.record(stream_seq, consumer_seq, 0)
        if is_repeat:
            log.repeats.append(consumer_seq)
    log.end_run()
    columns = [log.runs[column::4] for column in range(4)]
    return ConsumerDeliveries(0, "d", list(zip(*columns, strict=True)), list(log.repeats))


@given(
    st.lists(st.tuples(st.integers(1, 10), st.booleans()), max_size=20),
    st.lists(st.integers(1, 3), min_size=10, max_size=10),
)
def test_every_delivery_is_looked_at(arrivals: list[tuple[int, bool]], dids: list[int]) -> None:
    late, firsts = 0, list[int]()
    for seq, is_repeat in arrivals:
        if is_repeat or seq in firsts:
            continue
        late += any(before > seq and dids[before - 1] == dids[seq - 1] for before in firsts)
        firsts.append(seq)
    assert violations_at_consumers([delivered(arrivals)], dids) == late


def test_a_redelivery_is_none() -> None:
    dids = [1] * 5
    assert violations_at_consumers([delivered([(1, False), (3, False), (2, True)])], dids) == 0
    assert violations_at_consumers([delivered([(1, False), (3, False), (1, False)])], dids) == 0
    assert violations_at_consumers([delivered([(1, False), (3, False), (2, False)])], dids) == 1


def test_dids_are_asked_for_only_where_they_tell() -> None:
    assert violations_in_stream([(1, 1, 10)], None) == 0
    assert violations_in_stream(runs_of([1, 3, 2]), None) is None
    assert violations_at_consumers([delivered([(1, False), (2, False)])], None) == 0
    assert violations_at_consumers([delivered([(2, False), (1, False)])], None) is None
    # A DID that is not known is nobody's.
    assert violations_in_stream(runs_of([1, 3, 2]), array("I", [0, 0, 0])) == 0


@pytest.mark.parametrize("late", [False, True])
def test_an_hour_takes_seconds(late: bool) -> None:  # noqa: FBT001
    count = 450 * 3600
    dids = array("I", (random.Random(1).randrange(1, 2**20) for _ in range(1))) * count
    runs = [(1, 1, count)]
    if late:
        cuts = [1, *range(2000, count, 20_000), count + 1]
        pieces = [(first, last - first) for first, last in pairwise(cuts)]
        # Every tenth piece comes after the one that follows it.
        for number in range(0, len(pieces) - 1, 10):
            pieces[number : number + 2] = reversed(pieces[number : number + 2])
        runs, stream = [], 1
        for relay, length in pieces:
            runs.append((relay, stream, length))
            stream += length
    began = time.process_time()
    found = violations_in_stream(runs, dids)
    assert time.process_time() - began < 10
    assert (found != 0) == late
