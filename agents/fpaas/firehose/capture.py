"""Capture files: frames as a relay sent them, replayed once or in a loop.

A capture is repeated `[u32 little-endian length][frame]`. Everything wrong with one is found before
a run starts and named by file and byte offset.

The first loop sends the capture's bytes as they are, except that gaps in its seq are closed: frame
i has seq `first_seq + i`. Later loops must not look like repeats to whoever tells events apart by
did + rev, so loop k adds k times a fixed number of seconds, longer than the capture, to the rev of
a frame, or to the time of one that has no rev. Nothing else changes: blocks and CIDs stay as
signed.
"""

from __future__ import annotations

import mmap
import struct
from array import array
from bisect import bisect_right
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from fpaas.errors import BadInput
from fpaas.firehose import dag_cbor, tid
from fpaas.firehose.dag_cbor import DagCborError

LENGTH = struct.Struct("<I")
#: The kinds that are events to us; others are passed by, as the specification asks.
KINDS = frozenset(("#commit", "#identity", "#account", "#sync"))

_OP_MESSAGE = 1
_SECONDS_TEXT = len("2026-01-01T00:00:00")
_UNIX_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Layout(NamedTuple):
    """Where in a frame the values lie that a replay changes; offsets are 0 where there is none."""

    kind: str
    seq: int
    did: str
    time: str
    seq_at: int
    seq_end: int
    rev_at: int
    time_at: int


def layout(frame: bytes) -> Layout:
    """Find a frame's seq, rev and time. Raises DagCborError where it is no event with a seq.

    Strict about DAG-CBOR and about the fields that identify an event of a known kind; a frame of an
    unknown kind only needs a seq.
    """
    header = {key: at for key, at, _ in dag_cbor.map_entries(frame, 0)}
    if b"op" not in header or dag_cbor.read_integer(frame, header[b"op"]) != _OP_MESSAGE:
        raise DagCborError("header is not that of a message (op 1)")
    if b"t" not in header:
        raise DagCborError("header has no type t")
    kind = dag_cbor.read_text(frame, header[b"t"])
    body_at = dag_cbor.item_end(frame, 0)
    body: dict[bytes, tuple[int, int]] = {}
    end = body_at
    for key, at, end in dag_cbor.map_entries(frame, body_at):
        body[key] = (at, end)
    if end != len(frame):
        raise DagCborError(f"{len(frame) - end} bytes follow the body")
    if b"seq" not in body:
        raise DagCborError(f"{kind} has no seq")
    seq_at, seq_end = body[b"seq"]
    seq = dag_cbor.read_integer(frame, seq_at)
    if seq < 0:
        raise DagCborError(f"seq is {seq}")
    texts = {
        key: dag_cbor.read_text(frame, body[key][0])
        for key in (b"repo", b"did", b"rev", b"time")
        if key in body
    }
    did = texts.get(b"repo" if kind == "#commit" else b"did", "")
    if kind in KINDS:
        needs_rev = kind in ("#commit", "#sync")
        if not did or not texts.get(b"time") or (needs_rev and not texts.get(b"rev")):
            raise DagCborError(f"{kind} lacks one of did, time{' and rev' * needs_rev}")
    rev_at = _text_start(frame, body, b"rev") if _is_tid(texts.get(b"rev", "")) else 0
    time_at = _text_start(frame, body, b"time") if _unix_us(texts.get(b"time", "")) else 0
    return Layout(kind, seq, did, texts.get(b"time", ""), seq_at, seq_end, rev_at, time_at)


def first_seq(path: Path) -> int:
    """Return the seq of a capture's first frame, which is what its replay begins with.

    Raises BadInput that names the file and what is wrong with it.
    """
    with _opened(path) as data:
        for at, frame in _frames(path, data):
            return _layout_at(path, at, frame).seq
    raise BadInput(f"{path}: is empty; record one with `fpaas record`")


def check(path: Path) -> int:
    """Read a capture from end to end; returns how many frames it has.

    Raises BadInput that names the file, the offset and what is wrong there.
    """
    return Capture(path).frames


class Capture:
    """A capture as a source of frames, `frame(i)` for any i ≥ 0.

    Holds 44 bytes a frame; the frames themselves stay in the file, which must not change meanwhile.
    """

    def __init__(self, path: Path, *, loop: bool = True) -> None:
        self._data = _opened(path)
        self._starts = array("Q")
        self._layouts = array("I")  # length, seq_at, seq_end, rev_at, time_at
        self._seqs = array("q")
        self._offsets_us = array("q")
        self._unknown: list[int] = []
        stretch = _Stretch()
        for at, frame in _frames(path, self._data):
            found = _layout_at(path, at, frame)
            if found.kind not in KINDS:
                self._unknown.append(len(self._starts))
            self._starts.append(at)
            self._layouts.extend(
                (len(frame), found.seq_at, found.seq_end, found.rev_at, found.time_at)
            )
            self._seqs.append(found.seq)
            self._offsets_us.append(stretch.add(frame, found))
        self.frames = len(self._starts)
        if not self.frames:
            raise BadInput(f"{path}: is empty; record one with `fpaas record`")
        self.first_seq = self._seqs[0]
        #: How many frames there are to send; None where it loops.
        self.count = None if loop else self.frames
        self.loop_seconds = stretch.seconds()

    def frame(self, index: int) -> bytes:
        """Return frame `index`, the same bytes every time."""
        loop, position = divmod(index, self.frames)
        start = self._starts[position]
        length, seq_at, seq_end, rev_at, time_at = self._layouts[5 * position : 5 * position + 5]
        seq = self.first_seq + index
        original = self._data[start : start + length]
        if not loop and seq == self._seqs[position]:
            return original
        frame = bytearray(original)
        if loop:
            self._shift(frame, rev_at, time_at, loop * self.loop_seconds)
        frame[seq_at:seq_end] = dag_cbor.head(dag_cbor.UINT, seq)
        return bytes(frame)

    def ignored(self, count: int) -> int:
        """Tell how many of the first `count` frames are of kinds that are no events to us."""
        loops, rest = divmod(count, self.frames)
        return loops * len(self._unknown) + bisect_right(self._unknown, rest - 1)

    def offsets_ns(self) -> list[int]:
        """When each frame came after the first, by the frames' own time; never falls.

        A frame without a readable time counts as sent with the one before it.
        """
        return [1000 * offset_us for offset_us in self._offsets_us]

    @staticmethod
    def _shift(frame: bytearray, rev_at: int, time_at: int, seconds: int) -> None:
        if rev_at:
            rev = tid.decode(frame[rev_at : rev_at + tid.LENGTH].decode())
            shifted = rev + tid.from_unix_us(seconds * 1_000_000) & tid.MAX
            frame[rev_at : rev_at + tid.LENGTH] = tid.encode(shifted).encode()
        elif time_at:
            end = time_at + _SECONDS_TEXT
            moment = datetime.fromisoformat(frame[time_at:end].decode())
            frame[time_at:end] = (
                (moment + timedelta(seconds=seconds)).isoformat(timespec="seconds").encode()
            )


class _Stretch:
    """How long a capture lasts, by its own rev and time, as it is read."""

    def __init__(self) -> None:
        # Taken per account: one whose clock is years off does not stretch the others'.
        self._revs: dict[str, tuple[int, int]] = {}
        self._first_us: int | None = None
        self._lowest_us = self._highest_us = 0

    def add(self, frame: bytes, found: Layout) -> int:
        """Take in the next frame; returns its offset in µs from the first, which never falls."""
        if found.rev_at:
            rev = tid.decode(frame[found.rev_at : found.rev_at + tid.LENGTH].decode())
            low, high = self._revs.get(found.did, (rev, rev))
            self._revs[found.did] = (min(low, rev), max(high, rev))
        unix_us = _unix_us(found.time)
        if unix_us is not None:
            if self._first_us is None:
                self._first_us = unix_us
            self._lowest_us = min(self._lowest_us, unix_us - self._first_us)
            self._highest_us = max(self._highest_us, unix_us - self._first_us)
        return self._highest_us

    def seconds(self) -> int:
        """Whole seconds that set a loop's revs and times apart from those of the loop before."""
        spans_us = [(high - low) >> tid.CLOCK_ID_BITS for low, high in self._revs.values()]
        longest_us = max([self._highest_us - self._lowest_us, *spans_us])
        return longest_us // 1_000_000 + 2


def _opened(path: Path) -> mmap.mmap:
    try:
        with path.open("rb") as file:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except ValueError:
        raise BadInput(f"{path}: is empty; record one with `fpaas record`") from None
    except OSError as error:
        raise BadInput(f"{path}: cannot be read: {error.strerror}") from error


def _frames(path: Path, data: mmap.mmap) -> Iterator[tuple[int, bytes]]:
    """Iterate over (offset of the frame, frame). Raises BadInput where the file is cut short."""
    at = 0
    end = len(data)
    while at < end:
        start = at + LENGTH.size
        length = LENGTH.unpack_from(data, at)[0] if start <= end else 0
        if start + length > end:
            remedy = f"`truncate -s {at} {path}` keeps the frames before it"
            if not at:
                remedy = "it may be no capture at all; record one with `fpaas record`"
            raise BadInput(
                f"{path}: is truncated: the record at byte {at} of {end} is not whole; {remedy}"
            )
        yield start, data[start : start + length]
        at = start + length


def _layout_at(path: Path, at: int, frame: bytes) -> Layout:
    try:
        return layout(frame)
    except DagCborError as error:
        raise BadInput(f"{path}: the frame at byte {at} is no firehose event: {error}") from error


def _text_start(frame: bytes, body: dict[bytes, tuple[int, int]], key: bytes) -> int:
    return dag_cbor.read_head(frame, body[key][0])[2]


def _is_tid(value: str) -> bool:
    try:
        tid.decode(value)
    except ValueError:
        return False
    return True


def _unix_us(value: str) -> int | None:
    with suppress(ValueError):
        moment = datetime.fromisoformat(value)
        if len(value) > _SECONDS_TEXT and value[10] == "T" and moment.tzinfo is not None:
            return (moment - _UNIX_EPOCH) // timedelta(microseconds=1)
    return None
