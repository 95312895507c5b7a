from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode

from fpaas.relay.incoming import Incoming

CONTROL = (Opcode.PING, Opcode.PONG, Opcode.CLOSE)
DATA = (Opcode.TEXT, Opcode.BINARY, Opcode.CONT)

frames = st.lists(
    st.one_of(
        st.builds(Frame, st.sampled_from(DATA), st.binary(max_size=300), st.booleans()),
        st.builds(Frame, st.just(Opcode.BINARY), st.integers(65_000, 66_000).map(bytes)),
        st.builds(Frame, st.sampled_from(CONTROL), st.binary(max_size=125)),
    ),
    max_size=8,
)


@given(sent=frames, mask=st.booleans(), cuts=st.lists(st.integers(0, 150_000), max_size=20))
def test_control_frames_come_through_and_data_does_not(
    *, sent: list[Frame], mask: bool, cuts: list[int]
) -> None:
    wires = [frame.serialize(mask=mask) for frame in sent]
    stream = b"".join(wires)
    incoming = Incoming()
    places = sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})
    kept = b"".join(incoming.feed(stream[first:last]) for first, last in itertools.pairwise(places))
    expected = [wire for frame, wire in zip(sent, wires, strict=True) if frame.opcode in CONTROL]
    assert kept == b"".join(expected)
    assert incoming.skipped == sum(frame.opcode in DATA for frame in sent)


@given(frames)
def test_bytes_may_come_one_by_one(sent: list[Frame]) -> None:
    stream = b"".join(frame.serialize(mask=True)[:400] for frame in sent[:2])
    whole, by_bytes = Incoming(), Incoming()
    kept = whole.feed(stream)
    assert b"".join(by_bytes.feed(bytes((byte,))) for byte in stream) == kept
    assert whole.skipped == by_bytes.skipped


def test_a_frame_without_end_is_skipped_without_being_kept() -> None:
    incoming = Incoming()
    assert incoming.feed(b"\x82\xff" + (2**63 - 1).to_bytes(8, "big") + b"mask") == b""
    for _ in range(100):
        assert incoming.feed(bytes(2**20)) == b""
    assert incoming.skipped == 1


@pytest.mark.parametrize("opcode", [3, 7, 11, 15])
def test_what_is_neither_is_left_to_the_protocol(opcode: int) -> None:
    wire = bytes((0x80 | opcode, 0x81)) + b"maskx"
    assert Incoming().feed(wire) == wire
