"""Several labs at once, each with a NATS server of its own: runs mostly wait."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from tests.support.nats_servers import NatsServer
from tests.support.processes_lab import LOAD_HOST, ProcessesLab

UP_WITHIN_S = 300

T = TypeVar("T")
L = TypeVar("L", bound="OwnLab")


class OwnLab(ProcessesLab):
    """A lab on one host, NATS server included."""

    def __init__(
        self, directory: Path, hosts: dict[str, str] | None = None, /, **variables: object
    ) -> None:
        directory.mkdir(parents=True)
        self.server = NatsServer(directory)
        super().__init__(directory, {LOAD_HOST: self.server}, hosts, **variables)

    def finish(self) -> dict[str, Any]:
        """Wait for its end, and report it."""
        self.wait()
        return self.report()


def play_all(labs: list[L], play: Callable[[L], T]) -> list[T]:
    """Start all labs, arm them at the same time, and play each; all have ended when it returns."""
    all_are_up = threading.Barrier(len(labs))

    def play_one(lab: L) -> T:
        try:
            lab.server.start()
            lab.launch()
            all_are_up.wait(UP_WITHIN_S)
            lab.arm()
            return play(lab)
        except BaseException:
            all_are_up.abort()
            raise
        finally:
            lab.end()
            lab.server.stop()

    with ThreadPoolExecutor(len(labs)) as pool:
        return list(pool.map(play_one, labs))
