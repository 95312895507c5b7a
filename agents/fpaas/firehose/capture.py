"""Capture files: frames as a relay sent them, replayed once or in a loop.

A capture is repeated `[u32 little-endian length][frame]`. Everything wrong with one is found before
a run starts and named by file and byte offset; what is malformed, `frames.decode` judges.

The first loop sends the capture's bytes as they are, except that gaps in its seq are closed: frame
i has seq `first_seq + i`. Later loops change the rev of a frame, or the time of one that has no
rev, see `loops`. Nothing else changes: blocks and CIDs stay as signed.
"""

from __future__ import annotations

import mmap
import shlex
import stat
import struct
from array import array
from bisect import bisect_right
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from fpaas.errors import BadInput
from fpaas.firehose import dag_cbor
from fpaas.firehose.frames import (
    MAX_FRAME_BYTES,
    SEQ_MAX,
    TEXT_CHARACTERS_MAX,
    ErrorFrame,
    Event,
    FrameError,
    decode,
)
from fpaas.firehose.loops import LoopTexts, unix_us

LENGTH = struct.Struct("<I")

#: A replay numbers its frames on from the first one's seq; it is to have room for this many.
_FRAMES_TO_SEND = 2**40
#: Times that are further from a capture's middle are of clocks that are off.
_CLOCK_OFF_US = 30 * 86_400 * 1_000_000
_NO_TIME = -(2**63)


class Layout(NamedTuple):
    """A frame that has a seq, and where in it the items lie that a replay changes.

    `event` is None if it is of a kind that is no event to us. The text is the rev, or the time
    of a kind that has no rev; its offsets are 0 if there is no event.
    """

    event: Event | None
    seq: int
    seq_at: int
    seq_end: int
    text_at: int
    text_end: int


def layout(frame: bytes) -> Layout:
    """Find a frame's seq, and its rev or time. Raises FrameError if it has no seq."""
    decoded = decode(frame)
    if isinstance(decoded, ErrorFrame) or decoded.seq is None:
        raise FrameError("is not an event: it has no seq")
    body = {
        key: (at, end) for key, at, end in dag_cbor.map_entries(frame, dag_cbor.item_end(frame, 0))
    }
    event = decoded if isinstance(decoded, Event) else None
    text = (0, 0) if event is None else body[b"time" if event.rev is None else b"rev"]
    return Layout(event, decoded.seq, *body[b"seq"], *text)


class Capture:
    """A capture as a source of frames, `frame(i)` for any i ≥ 0.

    Holds 45 bytes a frame; the frames themselves stay in the file, which must not change.
    """

    def __init__(self, path: Path, *, loop: bool = True) -> None:
        self._data = _opened(path)
        self._starts = array("Q")
        self._layouts = array("I")  # length, seq_at, seq_end, text_at, text_end
        self._seqs = array("q")
        self._times_us = array("q")
        self._unknown: list[int] = []
        self._texts = LoopTexts()
        for at, frame in _frames(path, self._data):
            self._add(path, at, len(frame), _layout_at(path, at, frame))
        self.frames = len(self._starts)
        if not self.frames:
            raise BadInput(f"{path}: is empty; record one with `fpaas record`")
        self.first_seq = self._seqs[0]
        if self.first_seq > SEQ_MAX - _FRAMES_TO_SEND:
            raise BadInput(
                f"{path}: the frame at byte {self._starts[0]} has seq {self.first_seq}, and a "
                f"replay counts on from there, to {SEQ_MAX} at most; leave out the frame"
            )
        self._texts.settle()
        #: How many frames there are to send; None if it loops.
        self.count = None if loop else self.frames

    def frame(self, index: int, shift: int = 0) -> bytes:
        """Return frame `index`, the same bytes every time, with seq first_seq + index + shift."""
        loop, position = divmod(index, self.frames)
        start = self._starts[position]
        length, seq_at, seq_end, text_at, text_end = self._layouts[5 * position : 5 * position + 5]
        seq = self.first_seq + index + shift
        frame = self._data[start : start + length]
        if not loop and seq == self._seqs[position]:
            return frame
        seq_item = dag_cbor.head(dag_cbor.UINT, seq)
        if not loop or not text_at:
            return frame[:seq_at] + seq_item + frame[seq_end:]
        text = dag_cbor.read_text(frame, text_at)
        text_item = dag_cbor.text(self._texts.text(position, text, loop))
        if text_at < seq_at:
            changed = frame[:text_at] + text_item + frame[text_end:seq_at] + seq_item
            return changed + frame[seq_end:]
        changed = frame[:seq_at] + seq_item + frame[seq_end:text_at] + text_item
        return changed + frame[text_end:]

    def ignored(self, count: int) -> int:
        """Tell how many of the first `count` frames are of kinds that are no events to us."""
        loops, rest = divmod(count, self.frames)
        return loops * len(self._unknown) + bisect_right(self._unknown, rest - 1)

    def offsets_ns(self) -> list[int]:
        """When each frame came after the first, by the frames' own time; never falls.

        A frame without a readable time, or of a clock that is off, counts as sent with the one
        before it.
        """
        known = sorted(us for us in self._times_us if us != _NO_TIME)
        middle = known[len(known) // 2] if known else 0
        first: int | None = None
        latest = 0
        offsets_ns = []
        for time_us in self._times_us:
            if abs(time_us - middle) <= _CLOCK_OFF_US:
                first = time_us if first is None else first
                latest = max(latest, time_us - first)
            offsets_ns.append(1000 * latest)
        return offsets_ns

    def _add(self, path: Path, at: int, length: int, found: Layout) -> None:
        event = found.event
        time_us = None
        text = event and (event.rev or event.time)
        if text and len(text) > TEXT_CHARACTERS_MAX // 2:
            raise BadInput(
                f"{path}: the frame at byte {at} has a rev or time of {len(text)} characters, "
                "which leaves no room for a replay's; leave out the frame"
            )
        if event is None:
            self._unknown.append(len(self._starts))
            self._texts.add_other()
        else:
            self._texts.add(event.did, event.rev, event.time)
            time_us = unix_us(event.time)
        self._starts.append(at)
        self._layouts.extend((length, found.seq_at, found.seq_end, found.text_at, found.text_end))
        self._seqs.append(found.seq)
        self._times_us.append(_NO_TIME if time_us is None else time_us)


def _opened(path: Path) -> mmap.mmap:
    try:
        # A pipe would be waited for.
        if not stat.S_ISREG(path.stat().st_mode):
            raise BadInput(f"{path}: cannot be read: it is not a file")
        with path.open("rb") as file:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except ValueError:
        raise BadInput(f"{path}: is empty; record one with `fpaas record`") from None
    except OSError as error:
        raise BadInput(f"{path}: cannot be read: {error.strerror}") from error


def _frames(path: Path, data: mmap.mmap) -> Iterator[tuple[int, bytes]]:
    """Iterate over (offset of the frame, frame). Raises BadInput if the file is cut short."""
    at = 0
    end = len(data)
    while at < end:
        start = at + LENGTH.size
        length = LENGTH.unpack_from(data, at)[0] if start <= end else 0
        if length > MAX_FRAME_BYTES:
            raise BadInput(
                f"{path}: the record at byte {at} is said to be {length} bytes long, but a frame "
                f"has {MAX_FRAME_BYTES} at most; {_remedy(path, at)}"
            )
        if start + length > end:
            raise BadInput(
                f"{path}: is truncated: the record at byte {at} of {end} is not whole; "
                f"{_remedy(path, at)}"
            )
        yield start, data[start : start + length]
        at = start + length


def _remedy(path: Path, at: int) -> str:
    if not at:
        return "it may be no capture at all; record one with `fpaas record`"
    return f"`truncate -s {at} {shlex.quote(str(path))}` keeps the frames before it"


def _layout_at(path: Path, at: int, frame: bytes) -> Layout:
    try:
        return layout(frame)
    except FrameError as error:
        raise BadInput(f"{path}: the frame at byte {at} {error}") from error
