"""The frames of a capture file just as they were recorded, with the numbers that they had then."""

from __future__ import annotations

from pathlib import Path

from fpaas.firehose.capture import LENGTH, Capture


def frames_in(path: Path) -> list[bytes]:
    data = path.read_bytes()
    frames = []
    at = 0
    while at < len(data):
        (length,) = LENGTH.unpack_from(data, at)
        frames.append(data[at + 4 : at + 4 + length])
        at += 4 + length
    assert Capture(path).frames == len(frames)
    return frames
