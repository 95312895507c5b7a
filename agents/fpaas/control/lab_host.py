"""Hosts of a lab, as what plays runs on them sees them: commands and files, many hosts at once."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Protocol, TypeVar

Answer = TypeVar("Answer")

#: How click begins a message.
ERROR_PREFIX = "Error: "
MEANWHILE_EVERY_S = 0.2


class HostError(Exception):
    """A host did not do what it was asked; says why."""


class HostSilentError(HostError):
    """A host did not answer."""


@dataclass(frozen=True)
class Ended:
    """How a command ended on a host, and what it printed."""

    code: int
    stdout: str
    stderr: str

    @property
    def said(self) -> str:
        """Its last words, as somebody is to read them."""
        said = self.stderr.strip() or self.stdout.strip() or f"ended with {self.code}"
        return said.removeprefix(ERROR_PREFIX)


class Host(Protocol):
    """A way to one host. Calls raise HostSilentError if it does not answer."""

    def call(self, script: str, stdin: str = "") -> Ended:
        """Have a shell there run a script."""

    def fetch(self, path: str, into: Path) -> None:
        """Bring a file from there."""

    def reset(self) -> None:
        """Forget a connection that is broken."""


def checked(host: Host, script: str, stdin: str = "") -> Ended:
    """Have a host run a script; raises HostError with its last words if that fails."""
    ended = host.call(script, stdin)
    if ended.code:
        raise HostError(ended.said)
    return ended


@dataclass(frozen=True)
class Answers(Generic[Answer]):
    """What hosts answered to a call that all of them got, and why others did not."""

    of: dict[str, Answer]
    errors: dict[str, HostError]


def everywhere(hosts: Mapping[str, Host], call: Callable[[str, Host], Answer]) -> Answers[Answer]:
    """Call all hosts at the same time, and wait for all of them.

    Whatever is no HostError is raised again here.
    """
    return Calls(hosts, call).wait()


class Calls(Generic[Answer]):
    """Calls that are on their way."""

    def __init__(self, hosts: Mapping[str, Host], call: Callable[[str, Host], Answer]) -> None:
        self._call = call
        self._names = list(hosts)
        self._answers: dict[str, Answer] = {}
        self._errors: dict[str, HostError] = {}
        self._unexpected: list[BaseException] = []
        # Nobody waits for them if we are interrupted.
        self._threads = [
            threading.Thread(
                target=contextvars.copy_context().run, args=(self._one, name, host), daemon=True
            )
            for name, host in hosts.items()
        ]
        for thread in self._threads:
            thread.start()

    def wait(self, meanwhile: Callable[[], object] = lambda: None) -> Answers[Answer]:
        """Return what became of them once all have ended; calls `meanwhile` now and then."""
        for thread in self._threads:
            while thread.is_alive():
                thread.join(MEANWHILE_EVERY_S)
                meanwhile()
        for error in self._unexpected:
            raise error
        names = self._names
        return Answers(
            {name: self._answers[name] for name in names if name in self._answers},
            {name: self._errors[name] for name in names if name in self._errors},
        )

    def _one(self, name: str, host: Host) -> None:
        try:
            self._answers[name] = self._call(name, host)
        except HostError as error:
            self._errors[name] = error
        except BaseException as error:  # noqa: BLE001  (it is raised where they are waited for)
            self._unexpected.append(error)
