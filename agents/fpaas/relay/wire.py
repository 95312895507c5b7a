"""The bytes on the wire: offered frames, renumbered or damaged as the run's faults say.

All of it follows from the schedule: a relay that is started again in a run goes on as it would
have, and a frame is the same bytes every time it is replayed.
"""

from __future__ import annotations

import random
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from fpaas.firehose import dag_cbor
from fpaas.firehose.dag_cbor import head, text
from fpaas.firehose.renumbering import numberings
from fpaas.relay.cursors import Backlog
from fpaas.relay.source import Pace, Source
from fpaas.spec import NS_PER_S, Fault

GARBAGE, HALF_FRAME = "garbage", "half_frame"


class Damage(NamedTuple):
    """Frames `indices` are not what they should be, until `until_ns` (None: for good)."""

    indices: range
    do: str
    until_ns: int | None


class Wire:
    """Frame i as it is sent, and the seq that it bears.

    Faults begin with the frame that is the next to fall due at that time.
    """

    def __init__(self, source: Source, pace: Pace, faults: Sequence[Fault] = ()) -> None:
        self._source = source
        self._damages = list(_damages(pace, faults))
        self._numberings = list(numberings(pace.due_count, faults, source.first_seq))
        self._first_indices = [numbering.first_index for numbering in self._numberings]

    @property
    def is_plain(self) -> bool:
        """Whether frames go out as the source has them."""
        return not self._damages and len(self._numberings) == 1

    @property
    def source(self) -> Source:
        """The source of the frames."""
        return self._source

    def frame(self, index: int, elapsed_ns: int) -> bytes:
        """Return frame `index` as it is sent `elapsed_ns` after T0."""
        numbering = self._numberings[bisect_right(self._first_indices, index) - 1]
        frame = self._source.frame(index, numbering.shift - self._source.first_seq)
        for damage in self._damages:
            if index in damage.indices and not _is_undone(damage, elapsed_ns):
                return damaged(frame, damage.do, index)
        return frame

    def backlog(self, offered: int, window_frames: int) -> Backlog:
        """Return what can be replayed: frames of the last one's numbering, within the window."""
        latest = max(0, offered - 1)
        numbering = self._numberings[bisect_right(self._first_indices, latest) - 1]
        return Backlog(
            max(numbering.first_index, offered - window_frames), offered, numbering.shift
        )

    def numberings(self, offered: int) -> Iterator[tuple[int, int]]:
        """Iterate over the numberings of the first `offered` frames: (first seq, frames)."""
        ends = [*self._first_indices[1:], offered]
        for numbering, end in zip(self._numberings, ends, strict=True):
            count = min(end, offered) - numbering.first_index
            if count > 0:
                yield numbering.first_index + numbering.shift, count

    def damaged_indices(self, offered: int) -> set[int]:
        """Return which of the first `offered` frames are damaged, or were."""
        indices = {index for damage in self._damages for index in damage.indices}
        return {index for index in indices if index < offered}

    def ignored(self, offered: int) -> int:
        """Tell how many of the first `offered` frames, damaged ones left out, are no events."""
        ignored = self._source.ignored
        hidden = (ignored(index + 1) - ignored(index) for index in self.damaged_indices(offered))
        return ignored(offered) - sum(hidden)


def _ns(seconds: float) -> int:
    return round(seconds * NS_PER_S)


def _is_undone(damage: Damage, elapsed_ns: int) -> bool:
    return damage.until_ns is not None and elapsed_ns >= damage.until_ns


def _damages(pace: Pace, faults: Sequence[Fault]) -> Iterator[Damage]:
    for fault in faults:
        if fault.do in (GARBAGE, HALF_FRAME):
            first = pace.due_count(_ns(fault.at_s))
            until_ns = _ns(fault.until_s) if fault.for_s else None
            yield Damage(range(first, first + (fault.frames or 0)), fault.do, until_ns)


# -- damage --------------------------------------------------------------------------------------


def damaged(frame: bytes, do: str, index: int) -> bytes:
    """Return what is sent in a frame's place: its first half, or garbage of one kind or another."""
    if do == HALF_FRAME:
        return frame[: len(frame) // 2]
    return _GARBAGE[index % len(_GARBAGE)](frame, index)


def _noise(frame: bytes, index: int) -> bytes:
    # 0xff begins nothing in DAG-CBOR.
    return b"\xff" + random.Random(index).randbytes(min(len(frame), 1000))


def _nothing(_frame: bytes, _index: int) -> bytes:
    return b""


def _more_behind(frame: bytes, _index: int) -> bytes:
    return frame + b"\x00"


def _no_map(_frame: bytes, index: int) -> bytes:
    header = head(dag_cbor.MAP, 2) + text("t") + text("#commit") + text("op") + b"\x01"
    return header + head(dag_cbor.UINT, index)


def _cyclic_tags(_frame: bytes, _index: int) -> bytes:
    return bytes.fromhex(
        "a2617469236964656e74697479626f7001a46178d81c81d81d0063646964616463736571016474696d656174"
    )


_GARBAGE: tuple[Callable[[bytes, int], bytes], ...] = (
    _noise,
    _more_behind,
    _no_map,
    _nothing,
    _cyclic_tags,
)
