"""What JetStream's answers mean."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fpaas.shuffler.publish_answers import Ack, AnswerReader, Refusal


def test_acks() -> None:
    reader = AnswerReader()
    assert reader.read(b"", b'{"stream":"S","seq":12}') == Ack(12, duplicate=False)
    assert reader.read(b"", b'{"stream":"S","seq":13}') == Ack(13, duplicate=False)
    assert reader.read(b"", b'{"stream":"S","seq":3,"duplicate": true}') == Ack(3, duplicate=True)
    assert reader.read(b"", b'{"stream":"S","domain":"d","seq":14}') == Ack(14, duplicate=False)
    assert reader.read(b"", b'{"stream":"T","seq":15}') == Ack(15, duplicate=False)


@given(st.integers(1, 2**63), st.booleans(), st.sampled_from(["S", "ATPROTO_FIREHOSE"]))
def test_cheap_and_full_reading_agree(seq: int, duplicate: bool, stream: str) -> None:  # noqa: FBT001
    more = ', "duplicate": true' if duplicate else ""
    payload = f'{{"stream":"{stream}","seq":{seq}{more}}}'.encode()
    reader = AnswerReader()
    reader.read(b"", b'{"stream":"S","seq":1}')
    assert reader.read(b"", payload) == AnswerReader().read(b"", payload) == Ack(seq, duplicate)


@pytest.mark.parametrize(
    ("code", "err_code", "permanent"),
    [
        (400, 10054, True),  # message size exceeds maximum allowed
        (400, 10060, True),  # expected stream does not match
        (404, 10059, False),  # stream not found
        (408, 10001, False),
        (429, 10167, False),
        (500, 10047, False),  # memory resources exceeded
        (503, 10077, False),  # maximum bytes exceeded, discard new
    ],
)
def test_refusals(code: int, err_code: int, *, permanent: bool) -> None:
    payload = b'{"error":{"code":%d,"err_code":%d,"description":"why"},"stream":"S","seq":0}' % (
        code,
        err_code,
    )
    assert AnswerReader().read(b"", payload) == Refusal(f"{err_code} why", permanent)


@pytest.mark.parametrize(
    "error",
    [
        b'{"code":409,"err_code":10158,"description":"duplicate message id is in process"}',
        b'{"code":503,"err_code":10077,"description":"raft: not leader"}',
    ],
)
def test_what_a_cluster_has_not_agreed_on_yet_is_in_doubt(error: bytes) -> None:
    answer = AnswerReader().read(b"", b'{"error":%s,"stream":"S","seq":0}' % error)
    assert isinstance(answer, Refusal)
    assert answer.in_doubt
    assert not answer.permanent


def test_no_responders() -> None:
    answer = AnswerReader().read(b"NATS/1.0 503\r\n\r\n", b"")
    assert answer == Refusal("503 no stream takes the subject", permanent=False)


@given(st.binary(max_size=60))
def test_nonsense_is_no_ack(payload: bytes) -> None:
    reader = AnswerReader()
    reader.read(b"", b'{"stream":"S","seq":1}')
    assert isinstance(reader.read(b"", payload), Refusal)


@pytest.mark.parametrize(
    "seq", ["0", "-1", "18446744073709551616", "9" * 5000, "1e400", "NaN", '"1"', "[" * 5000]
)
def test_a_number_that_is_no_stream_sequence_is_no_ack(seq: str) -> None:
    reader = AnswerReader()
    for _ in range(2):
        answer = reader.read(b"", b'{"stream":"S","seq":%s}' % seq.encode())
        assert isinstance(answer, Refusal)
        assert len(answer.reason) < 300
        reader.read(b"", b'{"stream":"S","seq":1}')


def test_reasons_are_short() -> None:
    long = "x" * 100_000
    for header, payload in (
        (b"NATS/1.0 503" + long.encode() + b"\r\n", b""),
        (b"NATS/1.0 409 " + long.encode() + b"\r\n", b""),
        (b"", b'{"error":{"code":400,"err_code":7,"description":"%s"}}' % long.encode()),
        (b"", b'{"error":{"code":400,"err_code":%s}}' % (b"9" * 4000)),
    ):
        answer = AnswerReader().read(header, payload)
        assert isinstance(answer, Refusal)
        assert len(answer.reason) < 300
