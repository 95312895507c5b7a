"""When the lab's processes end: the kernel tells at once, where samples are a second apart."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Iterable

from fpaas import common_time
from fpaas.records.events import PROCESS_ENDED, EventLog, Value
from fpaas.records.probe import ProcessSample

log = logging.getLogger(__name__)


class ProcessEnds:
    """Waits for processes to end, and writes an event for each that did."""

    def __init__(self, events: EventLog) -> None:
        self._events = events
        self._loop = asyncio.get_running_loop()
        #: By pid, its pidfd; None if the kernel gives none.
        self._fds: dict[int, int | None] = {}
        #: By process, when one of that name ended last.
        self.last_unix_ns: dict[str, int] = {}

    def watch(self, alive: Iterable[ProcessSample]) -> None:
        """Wait for processes that were just sampled, too."""
        for one in alive:
            if one.pid in self._fds or one.pid == os.getpid():
                continue
            try:
                fd = os.pidfd_open(one.pid)
            except OSError as error:
                # It has ended since, or the kernel is an old one: its last sample has to do.
                log.info("cannot wait for the end of pid %d: %s", one.pid, error)
                self._fds[one.pid] = None
                continue
            self._fds[one.pid] = fd
            self._loop.add_reader(fd, self._ended, one.process, one.pid, fd)

    def close(self) -> None:
        """Wait no longer."""
        for fd in self._fds.values():
            if fd is not None:
                self._let_go(fd)
        self._fds.clear()

    def _ended(self, process: str, pid: int, fd: int) -> None:
        now_unix_ns = common_time.now_ns()
        self._let_go(fd)
        self._fds[pid] = None
        self.last_unix_ns[process] = now_unix_ns
        parameters: dict[str, Value] = {"process": process, "pid": pid}
        self._events.begin(PROCESS_ENDED, now_unix_ns, parameters, end_unix_ns=now_unix_ns)

    def _let_go(self, fd: int) -> None:
        self._loop.remove_reader(fd)
        os.close(fd)
