"""Records a relay's firehose into a capture file that `fpaas relay` replays.

Whatever ends a recording, the file holds whole frames only, each once. A connection that is lost is
taken up again from the last frame's cursor. #info and error frames have no seq and are not kept.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fpaas import agent
from fpaas.errors import BadInput, RunInvalid
from fpaas.firehose import frames
from fpaas.firehose.capture import LENGTH
from fpaas.firehose.relay_client import RelayConnection, RelayError, subscription_url

log = logging.getLogger(__name__)

FLUSH_INTERVAL_S = 1.0
PROGRESS_INTERVAL_S = 5.0
BACKOFF_FIRST_S = 0.5
BACKOFF_MAX_S = 10.0


@dataclass(frozen=True)
class Options:
    """What to record and when to stop; None: no bound of that kind."""

    relay: str
    output: Path
    force: bool
    max_seconds: float | None
    max_frames: int | None
    max_bytes: int | None


class CaptureWriter:
    """Appends frames to a new file. Raises BadInput where that cannot be made."""

    def __init__(self, path: Path, *, force: bool) -> None:
        try:
            # Unbuffered: what `flush` wrote is in the file, and nothing else is.
            self._file = path.open("wb" if force else "xb", buffering=0)
        except FileExistsError:
            raise BadInput(f"{path}: exists; choose another file, or --force") from None
        except OSError as error:
            raise BadInput(f"{path}: cannot be written: {error.strerror}") from error
        self.path = path
        self.frames = 0
        self.bytes = 0
        self._pending = bytearray()
        self._pending_frames = 0
        self._flushed_bytes = 0

    def append(self, frame: bytes) -> None:
        """Take a frame; it is in the file after `flush`."""
        self._pending += LENGTH.pack(len(frame)) + frame
        self._pending_frames += 1
        self.frames += 1
        self.bytes += LENGTH.size + len(frame)

    def flush(self) -> None:
        """Write what was appended. Raises RunInvalid and leaves whole frames where that fails."""
        if not self._pending:
            return
        left = memoryview(self._pending)
        try:
            while left:
                left = left[self._file.write(left) :]
        except OSError as error:
            self._file.truncate(self._flushed_bytes)
            self.frames -= self._pending_frames
            self.bytes = self._flushed_bytes
            raise RunInvalid(
                f"{self.path}: cannot write: {error.strerror}; the {self.frames} frames before are "
                "kept and replay"
            ) from error
        finally:
            left.release()
            self._pending.clear()
            self._pending_frames = 0
        self._flushed_bytes = self.bytes

    def close(self) -> None:
        """Close the file; one without frames is removed."""
        self._file.close()
        if not self.frames:
            self.path.unlink(missing_ok=True)


class Recording:
    """Frames on their way from a relay to a file, until a bound is reached (`full`)."""

    def __init__(self, writer: CaptureWriter, options: Options) -> None:
        self.full = asyncio.Event()
        self.first_seq: int | None = None
        self.last_seq: int | None = None
        self.undecodable = 0
        self.refusal: frames.ErrorFrame | None = None
        self._writer = writer
        self._options = options

    def take(self, received: list[bytes]) -> None:
        """Keep those frames that are events and new."""
        for frame in received:
            if self.full.is_set():
                return
            try:
                decoded = frames.decode(frame)
            except frames.FrameError as error:
                self.undecodable += 1
                log.warning("a frame that cannot be decoded is left out: %s", error)
                continue
            if isinstance(decoded, frames.ErrorFrame):
                self.refusal = decoded
                log.warning("the relay says %s: %s", decoded.name, decoded.message)
            elif isinstance(decoded, frames.Ignored) and decoded.seq is None:
                log.info("the relay says %s", decoded.detail)
            # Relays replay from or after the cursor; the first may come twice.
            elif decoded.seq is not None and (self.last_seq is None or decoded.seq > self.last_seq):
                self._keep(frame, decoded.seq)

    def _keep(self, frame: bytes, seq: int) -> None:
        options, writer = self._options, self._writer
        bytes_after = writer.bytes + LENGTH.size + len(frame)
        if options.max_bytes is not None and bytes_after > options.max_bytes:
            self.full.set()
            return
        writer.append(frame)
        if self.first_seq is None:
            self.first_seq = seq
        self.last_seq = seq
        if writer.frames == options.max_frames:
            self.full.set()


async def run(options: Options, report: Callable[[str], None]) -> None:
    """Record until a bound is reached or SIGINT or SIGTERM comes; `report` gets progress lines.

    Raises BadInput where the relay cannot be subscribed to, RunInvalid where a recording had to be
    broken off or has no frame.
    """
    url = subscription_url(options.relay)
    stop = agent.stop_event()
    writer = CaptureWriter(options.output, force=options.force)
    recording = Recording(writer, options)
    progress = _Progress(writer, recording, report)
    try:
        await _record(url, options, recording, stop, progress)
    finally:
        try:
            writer.flush()
        finally:
            writer.close()
    progress.report_end()
    if not writer.frames:
        raise RunInvalid(f"relay {url}: no frame came; {options.output} was not made")


async def _record(
    url: str,
    options: Options,
    recording: Recording,
    stop: asyncio.Event,
    progress: _Progress,
) -> None:
    loop = asyncio.get_running_loop()
    deadline_s = None if options.max_seconds is None else loop.time() + options.max_seconds
    ends: list[asyncio.Future[bool]] = [
        asyncio.ensure_future(stop.wait()),
        asyncio.ensure_future(recording.full.wait()),
    ]
    connected = False
    backoff_s = BACKOFF_FIRST_S
    try:
        while not any(end.done() for end in ends):
            if deadline_s is not None and loop.time() >= deadline_s:
                return
            connection = RelayConnection(url, cursor=recording.last_seq, on_frames=recording.take)
            try:
                await connection.open()
            except RelayError as error:
                if not connected or error.wrong_url:
                    raise BadInput(str(error)) from error
                log.warning("%s", error)
            else:
                connected = True
                backoff_s = BACKOFF_FIRST_S
                await _follow(connection, ends, deadline_s, progress)
                _check(url, connection, recording)
                if not connection.closed.done():
                    connection.close()
                    return
                log.warning("%s", connection.closed.result())
            await asyncio.wait(ends, timeout=backoff_s, return_when=asyncio.FIRST_COMPLETED)
            backoff_s = min(2 * backoff_s, BACKOFF_MAX_S)
    finally:
        for end in ends:
            end.cancel()


async def _follow(
    connection: RelayConnection,
    ends: list[asyncio.Future[bool]],
    deadline_s: float | None,
    progress: _Progress,
) -> None:
    """Return when the connection is gone or the recording ends; write to the file meanwhile."""
    loop = asyncio.get_running_loop()
    waiting: list[asyncio.Future[Any]] = [connection.closed, *ends]
    while not any(future.done() for future in waiting):
        timeout_s = FLUSH_INTERVAL_S
        if deadline_s is not None:
            timeout_s = min(timeout_s, deadline_s - loop.time())
            if timeout_s <= 0:
                return
        await asyncio.wait(waiting, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        progress.flush()


def _check(url: str, connection: RelayConnection, recording: Recording) -> None:
    """Raise RunInvalid where going on from the cursor would meet the same end again."""
    if connection.oversized:
        raise RunInvalid(
            f"relay {url}: after seq {recording.last_seq} came a frame larger than the "
            f"{frames.MAX_FRAME_BYTES} bytes that are allowed; what came before is kept"
        )
    if recording.refusal is not None and recording.refusal.name == "FutureCursor":
        raise RunInvalid(
            f"relay {url}: it numbers its events anew ({recording.refusal.message}); what came "
            "before is kept"
        )


class _Progress:
    """Writes to the file, and says every few seconds how far the recording is."""

    def __init__(
        self, writer: CaptureWriter, recording: Recording, report: Callable[[str], None]
    ) -> None:
        self._writer = writer
        self._recording = recording
        self._report = report
        self._began_s = self._reported_s = time.monotonic()
        self._reported_frames = 0

    def flush(self) -> None:
        self._writer.flush()
        now_s = time.monotonic()
        since_s = now_s - self._reported_s
        if since_s >= PROGRESS_INTERVAL_S:
            rate_per_s = (self._writer.frames - self._reported_frames) / since_s
            self._report(f"{self._line(now_s)}, {rate_per_s:.0f} frames/s")
            self._reported_s = now_s
            self._reported_frames = self._writer.frames

    def report_end(self) -> None:
        self._report(f"{self._writer.path}: {self._line(time.monotonic())}")

    def _line(self, now_s: float) -> str:
        recording, writer = self._recording, self._writer
        line = (
            f"{writer.frames} frames, {writer.bytes / 1e6:.1f} MB in {now_s - self._began_s:.0f} s"
        )
        if recording.first_seq is not None:
            line += f", seq {recording.first_seq} to {recording.last_seq}"
        if recording.undecodable:
            line += f", {recording.undecodable} undecodable left out"
        return line
