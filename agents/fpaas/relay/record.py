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

from websockets.frames import CloseCode

from fpaas import agent
from fpaas.errors import BadInput, RunInvalid
from fpaas.firehose import frames
from fpaas.firehose.bad_frames import LOGGED_MAX, BadFrames
from fpaas.firehose.capture import LENGTH
from fpaas.firehose.numbering import Kind, Numbering
from fpaas.firehose.relay_client import RelayConnection, subscription_url
from fpaas.firehose.relay_errors import RelayError
from fpaas.firehose.subscription import STUCK_S, Patience, Subscription
from fpaas.firehose.unreceivable import Unreceivable

log = logging.getLogger(__name__)

FLUSH_INTERVAL_S = 1.0
PROGRESS_INTERVAL_S = 5.0
#: Somebody waits for the recording.
BACKOFF_MAX_S = 10.0


@dataclass(frozen=True)
class Options:
    """The recording to make and when to stop; None: no bound of that kind."""

    relay: str
    output: Path
    force: bool
    max_seconds: float | None
    max_frames: int | None
    max_bytes: int | None
    stuck_s: float = STUCK_S


class CaptureWriter:
    """Appends frames to a new file. Raises BadInput if that cannot be made."""

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
        """Write what was appended. Raises RunInvalid and leaves whole frames if that fails."""
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
    """Frames on their way from a relay to a file, until a bound is reached (`full`).

    `broken_off` says why going on would meet the same end again; then it is full, too.
    """

    def __init__(self, writer: CaptureWriter, options: Options) -> None:
        self.full = asyncio.Event()
        self.first_seq: int | None = None
        self.undecodable = 0
        self.resets = 0
        self.broken_off = ""
        self.subscription = Subscription(
            subscription_url(options.relay),
            cursor=lambda: self._unreceivable.cursor(self.last_seq),
            events=lambda: writer.frames,
            on_frames=self.take,
            on_lost=self._lost,
            patience=Patience(BACKOFF_MAX_S, options.stuck_s),
        )
        self._writer = writer
        self._options = options
        self._numbering = Numbering(None)
        self._bad_frames = BadFrames(is_dense=False)
        self._unreceivable = Unreceivable(None)

    @property
    def last_seq(self) -> int | None:
        """The seq of the frame kept last."""
        return self._numbering.last_seq

    def take(self, received: list[bytes]) -> None:
        """Keep those frames that are events and new."""
        for frame in received:
            if self.full.is_set():
                return
            if not self._take_one(frame):
                return
        self._unreceivable.left_behind(self.last_seq)
        self._left_out(self._bad_frames.left_behind(self.last_seq))

    def end(self) -> None:
        """Take in that nothing more comes."""
        self._unreceivable.passed(0)
        self._left_out(self._bad_frames.ended(self.last_seq))

    def _lost(self, connection: RelayConnection) -> None:
        self._bad_frames.connection_lost()
        wrong = self._unreceivable.connection_lost(
            self.last_seq, oversized=connection.oversized, broken=connection.broken
        )
        if wrong:
            log.warning("the frame after seq %s is left out: it %s", self.last_seq, wrong)

    def _take_one(self, frame: bytes) -> bool:
        """Take in a frame; returns whether to read on."""
        decoded = frames.received(frame)
        if isinstance(decoded, frames.FrameError):
            return self._take_bad(decoded)
        if isinstance(decoded, frames.ErrorFrame):
            log.warning("the relay says %s: %s", decoded.name, decoded.message)
            is_renumbered = decoded.name == "FutureCursor"
            if is_renumbered and not self._unreceivable.is_beyond_last(self.last_seq):
                self._break_off(f"it renumbers its events ({decoded.message})")
        elif isinstance(decoded, frames.Event):
            if self._is_new(decoded):
                self._keep(frame, decoded.seq)
        elif decoded.seq is None:
            log.info("the relay says %s", decoded.detail)
        else:
            self._keep_unknown(frame, decoded.seq)
        return True

    def _is_new(self, event: frames.Event) -> bool:
        numbering = self._numbering
        if event.seq == numbering.next_seq:
            numbering.next_seq = event.seq + 1
            numbering.recent.append(event)
            return True
        last_seq = self.last_seq
        kind, missing = numbering.place(event)
        self.undecodable += self._unreceivable.passed(missing) if missing else 0
        if kind is Kind.REREAD:
            self._unreceivable.reread(event.seq)
            self._left_out(self._bad_frames.reread()[1])
            return False
        if kind is Kind.RESET:
            self.resets += 1
            log.warning("the relay's seqs went back from %s to %d", last_seq, event.seq)
        return True

    def _keep_unknown(self, frame: bytes, seq: int) -> None:
        """Keep a frame of an unknown kind, which is not trusted to say where to go on."""
        next_seq = self._numbering.next_seq
        if next_seq is None or seq >= next_seq:
            self._keep(frame, seq)
        if seq == next_seq:
            self._numbering.next_seq = seq + 1

    def _keep(self, frame: bytes, seq: int) -> None:
        options, writer = self._options, self._writer
        bytes_after = writer.bytes + LENGTH.size + len(frame)
        if options.max_bytes is not None and bytes_after > options.max_bytes:
            self.full.set()
            return
        writer.append(frame)
        if self.first_seq is None:
            self.first_seq = seq
        if writer.frames == options.max_frames:
            self.full.set()

    def _take_bad(self, error: frames.FrameError) -> bool:
        self._left_out(self._bad_frames.left_behind(self.last_seq))
        is_stepped_over = self._bad_frames.is_stepped_over(self.last_seq, None)
        log.log(
            logging.DEBUG if self._bad_frames.in_a_row > LOGGED_MAX else logging.WARNING,
            "a frame after seq %s is left out: it %s",
            *(self.last_seq, error),
        )
        if is_stepped_over:
            if self.last_seq is None:
                self._left_out(self._bad_frames.passed(None, None))
            return True
        self.subscription.close(CloseCode.INVALID_DATA, "a frame that cannot be decoded")
        return False

    def _left_out(self, given_up: list[int | None]) -> None:
        self.undecodable += len(given_up) + self._unreceivable.once
        self._unreceivable.once = 0

    def _break_off(self, why: str) -> None:
        self.broken_off = why
        self.full.set()


async def run(options: Options, report: Callable[[str], None]) -> None:
    """Record until a bound is reached or SIGINT or SIGTERM comes; `report` gets progress lines.

    Raises BadInput if the relay cannot be subscribed to, RunInvalid if a recording had to be
    broken off or has no frame.
    """
    stop = agent.stop_event()
    subscription_url(options.relay)
    writer = CaptureWriter(options.output, force=options.force)
    recording = Recording(writer, options)
    progress = _Progress(writer, recording, report)
    try:
        await _record(options, recording, stop, progress)
    finally:
        try:
            writer.flush()
        finally:
            writer.close()
    progress.report_end()
    url = recording.subscription.url
    if recording.broken_off:
        raise RunInvalid(f"relay {url}: {recording.broken_off}; what came before is kept")
    if not writer.frames:
        raise RunInvalid(f"relay {url}: no frame came; {options.output} was not made")


async def _record(
    options: Options, recording: Recording, stop: asyncio.Event, progress: _Progress
) -> None:
    loop = asyncio.get_running_loop()
    deadline_s = None if options.max_seconds is None else loop.time() + options.max_seconds
    try:
        # If nothing can be read at all, say so at once.
        await recording.subscription.connect_once()
    except RelayError as error:
        raise BadInput(str(error)) from error
    reading = asyncio.ensure_future(recording.subscription.run())
    ends: list[asyncio.Future[Any]] = [
        reading,
        asyncio.ensure_future(stop.wait()),
        asyncio.ensure_future(recording.full.wait()),
    ]
    try:
        while not any(end.done() for end in ends):
            timeout_s = FLUSH_INTERVAL_S
            if deadline_s is not None:
                timeout_s = min(timeout_s, deadline_s - loop.time())
                if timeout_s <= 0:
                    break
            await asyncio.wait(ends, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
            progress.flush()
        if reading.done():
            reading.result()
    except RelayError as error:
        raise BadInput(str(error)) from error
    finally:
        for end in ends:
            end.cancel()
        await asyncio.gather(*ends, return_exceptions=True)
        recording.end()


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
        if recording.resets:
            line += f", renumbered {recording.resets} times"
        if recording.undecodable:
            line += f", {recording.undecodable} undecodable left out"
        return line
