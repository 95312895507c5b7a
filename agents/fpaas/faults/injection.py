"""A fault on this host: what is found out before, what is done, how it is undone."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from typing import Protocol

from fpaas.faults.processes import Process, Services, await_end
from fpaas.faults.undo import Continue, Start, Undo, UndoError, run
from fpaas.records.events import Value
from fpaas.spec.faults import CONSUMERS, Fault, Target

#: Agents write what they measured when they are asked to end.
END_S = 15.0


class InjectionError(Exception):
    """The fault could not be injected; the message says why."""


class Injection(Protocol):
    """One fault on this host, ready to be injected."""

    #: How to undo it; known before it is done, and the dead man's timer must be able to do it.
    undo: list[Undo]

    def begin(self) -> None:
        """Inject it. Raises InjectionError."""

    def parameters(self) -> dict[str, Value]:
        """Return what an event should say of it beside what the fault says."""


@dataclass(frozen=True)
class ServiceCommands:
    """How services of this host are kept, as its service manager has it; `{}` is the service."""

    start: list[str]
    #: Keeps a service that was killed from being started by the manager itself; may be empty.
    hold: list[str]

    def starting(self, service: str) -> list[str]:
        """Return the command that starts a service."""
        return [word.replace("{}", service) for word in self.start]

    def holding(self, service: str) -> list[str]:
        """Return the command that holds one; empty if there is no need."""
        return [word.replace("{}", service) for word in self.hold]


class Pause:
    """Processes are stopped where they are."""

    def __init__(self, processes: list[Process]) -> None:
        self._processes = processes
        self.undo: list[Undo] = [Continue(processes)]

    def begin(self) -> None:
        """Stop them, the last first: a head that stands still starts nobody."""
        for process in self._processes:
            process.signal(signal.SIGSTOP)

    def parameters(self) -> dict[str, Value]:
        """Return how many they are."""
        return {"processes": len(self._processes)}


class Kill:
    """Services end at once, or are asked to, and are started again.

    Without `commands` they are workers whose agent starts them again by itself.
    """

    def __init__(
        self, services: dict[str, list[Process]], commands: ServiceCommands | None, *, asks: bool
    ) -> None:
        self._services = services
        self._commands = commands
        self._asks = asks
        self.undo: list[Undo] = []
        if commands is not None:
            self.undo += [
                Start(processes, commands.starting(service))
                for service, processes in services.items()
            ]

    def begin(self) -> None:
        """End them; returns when they have."""
        everybody = [process for processes in self._services.values() for process in processes]
        if self._asks:
            # The head asks the others.
            for head, *_ in self._services.values():
                head.signal(signal.SIGTERM)
            everybody = await_end(everybody, END_S)
        for process in everybody:
            process.signal(signal.SIGKILL)
        if self._commands is not None and not self._asks:
            self._hold(self._commands)
        left = await_end(everybody, END_S)
        if left:
            raise InjectionError(f"did not end: process {', '.join(str(p.pid) for p in left)}")

    def _hold(self, commands: ServiceCommands) -> None:
        for service in self._services:
            command = commands.holding(service)
            if command:
                try:
                    run(command)
                except UndoError as error:
                    raise InjectionError(str(error)) from error

    def parameters(self) -> dict[str, Value]:
        """Return how many processes they are."""
        return {"processes": sum(map(len, self._services.values()))}


def on_processes(
    fault: Fault, targets: list[Target], services: Services, commands: ServiceCommands
) -> Injection:
    """Prepare a kill, restart or pause. Raises NoProcessError if there is nothing to hit."""
    found = {target.group: services.processes(target.group, fault.worker) for target in targets}
    if fault.do == "pause":
        return Pause([process for processes in found.values() for process in processes])
    is_child = fault.worker is not None and found[CONSUMERS] != [services.head(CONSUMERS)]
    return Kill(found, None if is_child else commands, asks=fault.do == "restart")
