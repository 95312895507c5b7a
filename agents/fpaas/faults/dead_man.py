"""The dead man's timer: a separate process that undoes faults if its agent does not.

It is told of each fault before that begins, and that it was undone. If the agent is gone, or a
fault is overdue, it undoes by itself, says so in the agent's event log, and ends with the last.

`python -m fpaas.faults.dead_man EVENTS` reads messages as JSON lines from standard input, and
answers each with a line. The agent's end closes that.
"""

from __future__ import annotations

import logging
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import IO

import msgspec

from fpaas.faults.undo import Undo, UndoError, perform_all
from fpaas.records import events
from fpaas.records.events import FAULT, EventLog

log = logging.getLogger(__name__)

#: The agent has this long to undo a fault that is due to end.
GRACE_S = 5.0
RETRY_S = 1.0
TRIES_MAX = 30
ANSWER = b"ok\n"


class Begun(msgspec.Struct, frozen=True, tag=True):
    """A fault is about to begin; `until_s` is of the monotonic clock.

    Times of events are that clock's plus `monotonic_to_unix_ns`.
    """

    number: int
    until_s: float
    monotonic_to_unix_ns: int
    undo: list[Undo]


class Ended(msgspec.Struct, frozen=True, tag=True):
    """A fault was undone."""

    number: int


class TimerGoneError(Exception):
    """The dead man's process does not answer: nobody would undo what is not undone."""


class DeadMan:
    """The agent's side: starts the process, and tells it. Methods raise TimerGoneError."""

    def __init__(self, events_path: Path, apart: list[str]) -> None:
        """Start it; `apart` is the command that takes it out of the agent's own service."""
        argv = [*apart, sys.executable, "-m", "fpaas.faults.dead_man", str(events_path)]
        self._process = subprocess.Popen(  # noqa: S603  (ours)
            argv,
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        self._hear()

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid

    def release(self) -> None:
        """Let it end; it undoes what it was told of and not told the end of."""
        _pipe(self._process.stdin).close()
        self._process.wait()

    def tell(self, message: Begun | Ended) -> None:
        """Tell of a fault that is about to begin, or was undone; returns when it knows."""
        pipe = _pipe(self._process.stdin)
        try:
            pipe.write(_ENCODER.encode(message) + b"\n")
        except OSError as error:
            raise TimerGoneError(f"the dead man's timer is gone: {error.strerror}") from error
        self._hear()

    def _hear(self) -> None:
        if _pipe(self._process.stdout).readline() != ANSWER:
            raise TimerGoneError("the dead man's timer has gone: it does not answer")


def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
    assert pipe is not None  # noqa: S101
    return pipe


class _Timer:
    """The process's side."""

    def __init__(self, events_path: Path) -> None:
        self._events_path = events_path
        self._active: dict[int, Begun] = {}
        self._tries: dict[int, int] = {}
        self._agent_is_gone = False
        self._is_ending = False
        self._unread = b""
        # A signal wakes `select`.
        self._woken, waker = os.pipe()
        os.set_blocking(waker, False)
        signal.set_wakeup_fd(waker)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda _number, _frame: None)

    def run(self) -> None:
        """Go on until the agent is gone and nothing is left to undo."""
        os.write(1, ANSWER)
        while self._active or not self._agent_is_gone:
            self._wait()
            for begun in [one for one in self._active.values() if self._is_due(one)]:
                self._undo(begun)

    def _is_due(self, begun: Begun) -> bool:
        return self._agent_is_gone or time.monotonic() > begun.until_s + GRACE_S

    def _wait(self) -> None:
        untils_s = [begun.until_s + GRACE_S for begun in self._active.values()]
        left_s = max(0.0, min(untils_s) - time.monotonic()) if untils_s else None
        if self._tries:
            left_s = RETRY_S
        elif self._agent_is_gone:
            left_s = 0.0
        sources = [self._woken] if self._agent_is_gone else [self._woken, 0]
        readable, _, _ = select.select(sources, [], [], left_s)
        if self._woken in readable:
            os.read(self._woken, 1)
            # If the lab is ended, everything must be as it was.
            self._agent_is_gone = self._is_ending = True
        elif readable:
            self._read()

    def _read(self) -> None:
        content = os.read(0, 1 << 20)
        if not content:
            self._agent_is_gone = True
            return
        *lines, self._unread = (self._unread + content).split(b"\n")
        for line in lines:
            message = _DECODER.decode(line)
            if isinstance(message, Begun):
                self._active[message.number] = message
            else:
                self._active.pop(message.number, None)
            os.write(1, ANSWER)

    def _undo(self, begun: Begun) -> None:
        number = begun.number
        try:
            perform_all(begun.undo, is_ending=self._is_ending)
        except UndoError as error:
            self._tries[number] = self._tries.get(number, 0) + 1
            log.error("bench_faults[%d] could not be undone: %s", number, error)  # noqa: TRY400
            if self._tries[number] < TRIES_MAX:
                return
        else:
            why = "the agent is gone" if self._agent_is_gone else "it is overdue"
            log.warning("undid bench_faults[%d]: %s", number, why)
            self._note(begun)
        del self._active[number]
        self._tries.pop(number, None)

    def _note(self, begun: Begun) -> None:
        """Write the end of a fault's event, if the agent came to write its begin."""
        try:
            found, _ = events.read(self._events_path)
        except OSError:
            return
        for event in found:
            is_open = event.kind == FAULT and event.end_unix_ns is None
            if is_open and event.parameters.get("number") == begun.number:
                with EventLog(self._events_path) as event_log:
                    now_unix_ns = time.monotonic_ns() + begun.monotonic_to_unix_ns
                    end_unix_ns = max(now_unix_ns, event.begin_unix_ns)
                    parameters = {**event.parameters, "undone_by": "dead_man"}
                    event_log.end(event, end_unix_ns, parameters)


_ENCODER = msgspec.json.Encoder()
_DECODER: msgspec.json.Decoder[Begun | Ended] = msgspec.json.Decoder(Begun | Ended)

if __name__ == "__main__":
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    _Timer(Path(sys.argv[1])).run()
