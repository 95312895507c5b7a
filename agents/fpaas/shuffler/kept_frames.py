"""Keeps what could not be decoded: an event for each such frame, and the bytes of the first few."""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path

from fpaas import common_time
from fpaas.firehose.frames import FrameError
from fpaas.records.events import FRAME_UNDECODABLE, EventLog, Value
from fpaas.records.shuffler import UNDECODABLE_FRAME

log = logging.getLogger(__name__)

#: How many frames' bytes are kept, and how many of each.
FILES_MAX = 16
BYTES_MAX = 64 * 1024
#: Later frames are counted like all others, but have no event.
EVENTS_MAX = 1000
_CAUSE_CHARACTERS_MAX = 300


class KeptFrames:
    """Writes into a run's directory. A disk that is full costs the evidence, not the run."""

    def __init__(self, directory: Path, events: EventLog) -> None:
        self._directory = directory
        self._events = events
        self._seen: set[tuple[bytes, int | None]] = set()
        self._file_of: dict[bytes, str | None] = {}
        # A shuffler that was started again goes on behind the files that there are.
        self._files = len(list(directory.glob(UNDECODABLE_FRAME.format("*"))))

    def keep(self, error: FrameError, frame: bytes | None, *, after_seq: int | None) -> None:
        """Note a frame, None for one that was too large to be received.

        `after_seq` is the seq of the frame before it. The same bytes at the same place are one
        frame: the relay sends it again after a reconnect.
        """
        digest = hashlib.sha256(frame or b"").digest()
        if (digest, after_seq) in self._seen or len(self._seen) == EVENTS_MAX:
            return
        self._seen.add((digest, after_seq))
        if digest not in self._file_of:
            self._file_of[digest] = None if frame is None else self._write(frame)
        parameters: dict[str, Value] = {
            "cause": str(error)[:_CAUSE_CHARACTERS_MAX],
            "seq": error.seq,
            "after_seq": after_seq,
            "bytes": None if frame is None else len(frame),
            "file": self._file_of[digest],
        }
        now_ns = common_time.now_ns()
        self._events.begin(FRAME_UNDECODABLE, now_ns, parameters, end_unix_ns=now_ns)

    def close(self) -> None:
        """Close the log of events."""
        self._events.close()

    def _write(self, frame: bytes) -> str | None:
        if self._files == FILES_MAX:
            return None
        self._files += 1
        path = self._directory / UNDECODABLE_FRAME.format(f"{self._files:02d}")
        try:
            path.write_bytes(frame[:BYTES_MAX])
        except OSError as error:
            log.error("%s: cannot be written: %s", path, error.strerror)  # noqa: TRY400
            return None
        return path.name
