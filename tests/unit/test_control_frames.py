from __future__ import annotations

from fpaas.firehose.frames import ErrorFrame, Ignored, decode
from fpaas.relay.control_frames import error_frame, info_frame


def test_control_frames_are_read_as_what_they_are() -> None:
    assert decode(error_frame("FutureCursor", "why")) == ErrorFrame("FutureCursor", "why")
    info = decode(info_frame("OutdatedCursor", "too old"))
    assert isinstance(info, Ignored)
    assert info.seq is None
    assert info.detail.startswith("#info OutdatedCursor")
