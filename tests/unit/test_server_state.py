"""The probe's reading of the NATS server's answers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fpaas.probe import server_state
from fpaas.probe.server_state import AnswerError
from fpaas.records.nats import Connz, Lag, StreamState

STATE = {
    "messages": 100,
    "bytes": 13400,
    "first_seq": 1,
    "first_ts": "2026-11-23T16:18:27.726209845Z",
    "last_seq": 100,
    "num_subjects": 1,
    "consumer_count": 3,
}
JSZ = {
    "streams": 2,
    "account_details": [
        {"name": "EMPTY"},
        {
            "name": "$G",
            "stream_detail": [
                {"name": "OTHER", "state": {**STATE, "messages": 7}},
                {"name": "ATPROTO_FIREHOSE", "state": {**STATE, "num_deleted": 4}},
            ],
        },
    ],
}


def test_stream_is_found_in_whatever_account() -> None:
    found = server_state.stream_in_jsz(JSZ, "ATPROTO_FIREHOSE")
    assert found == StreamState(
        messages=100,
        bytes=13400,
        first_seq=1,
        last_seq=100,
        consumer_count=3,
        num_deleted=4,
    )


def test_a_stream_that_is_gone_is_none_and_not_empty() -> None:
    assert server_state.stream_in_jsz(JSZ, "GONE") is None
    assert server_state.stream_in_jsz({"streams": 0}, "GONE") is None


def test_num_deleted_is_left_out_by_the_server_where_it_is_none() -> None:
    assert server_state.stream_state(STATE).num_deleted == 0


def test_connections() -> None:
    answer = {"total": 1000, "connections": [{"cid": 5, "pending_bytes": 4096}]}
    assert server_state.connz(answer) == Connz(count=1000, pending_bytes_max=4096)
    assert server_state.connz({"total": 0, "connections": []}) == Connz(
        count=0, pending_bytes_max=0
    )


def test_an_answer_without_what_it_must_state_is_refused() -> None:
    with pytest.raises(AnswerError, match="has no 'server_id'"):
        server_state.varz({})


def test_an_answer_that_makes_no_sense_is_refused() -> None:
    state = {"messages": 1, "bytes": -5, "first_seq": 1, "last_seq": 1, "consumer_count": 0}
    for read, answer in (
        (server_state.stream_state, state),
        (server_state.stream_state, None),
        (server_state.connz, {"total": 1, "connections": [5]}),
        (server_state.connz, {"total": "1"}),
    ):
        with pytest.raises(AnswerError, match="makes no sense"):
            read(answer)


def test_lag_without_consumers_has_no_percentiles() -> None:
    assert server_state.lag([]) == Lag(consumers=0, p50=None, p99=None, max=None, sum=0)


@given(st.lists(st.integers(0, 2**62), min_size=1))
def test_lag_is_made_of_values_that_were_seen(num_pending: list[int]) -> None:
    found = server_state.lag(num_pending)
    assert found.max == max(num_pending)
    assert found.sum == sum(num_pending)
    p50, p99 = found.p50, found.p99
    assert p50 is not None
    assert p99 is not None
    assert p50 in num_pending
    assert p50 <= p99
    assert sum(value <= p50 for value in num_pending) >= len(num_pending) / 2
    assert sum(value <= p99 for value in num_pending) >= len(num_pending) * 0.99
