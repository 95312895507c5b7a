"""The processes of an embedded lab, found and ended.

A process belongs to a lab when its environment says so: `LAB_VARIABLE` is the lab's directory.
Agents inherit it from the supervisor, and their workers from them; nobody else's process has it.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

log = logging.getLogger(__name__)


LAB_VARIABLE = "FPAAS_LAB"
#: Set by supervisor in the environment of its services.
PROCESS_NAME_VARIABLE = "SUPERVISOR_PROCESS_NAME"
#: These end last: agents need NATS to end well.
NATS = "nats"
#: It is asked for what it has seen when agents have ended.
PROMETHEUS = "prometheus"
GRAFANA = "grafana"
SUPERVISOR = "supervisor"
SERVERS = (GRAFANA, PROMETHEUS, NATS, SUPERVISOR)
#: A process that broke something repairs it before that is ended.
DATA_WAY = ("faults", "relay", "shuffler", "consumers", "probe")
#: Agents write what they measured when they are asked to end.
AGENTS_END_S = 8.0
SERVERS_END_S = 4.0


@dataclass(frozen=True)
class LabProcess:
    """A process of a lab, by the name that supervisor knows it by."""

    name: str
    process: psutil.Process

    def __str__(self) -> str:
        return f"{self.name} (pid {self.process.pid})"


def lab_processes(lab: Path) -> list[LabProcess]:
    """Return all processes of a lab but this one and its ancestors."""
    own = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    directory = lab.resolve()
    found = []
    for process in psutil.process_iter():
        if process.pid in own:
            continue
        try:
            environment = process.environ()
        except (psutil.Error, OSError):
            continue
        if LAB_VARIABLE in environment and Path(environment[LAB_VARIABLE]).resolve() == directory:
            name = environment.get(PROCESS_NAME_VARIABLE, SUPERVISOR)
            found.append(LabProcess(name, process))
    return found


def end_agents(lab: Path, patience_s: float = AGENTS_END_S) -> list[LabProcess]:
    """End a lab's agents, so that they write what they measured; returns those there were.

    They end along the data's way, the probe last: each one's account then covers what the one
    before it did. An agent's workers are asked by the agent, not by us.
    """
    agents = [p for p in lab_processes(lab) if p.name not in SERVERS]
    pids = {agent.process.pid for agent in agents}
    heads = [agent for agent in agents if _parent_pid(agent.process) not in pids]
    heads.sort(key=lambda head: DATA_WAY.index(head.name) if head.name in DATA_WAY else -1)
    deadline = time.monotonic() + patience_s
    for name in dict.fromkeys(head.name for head in heads):
        left_s = max(deadline - time.monotonic(), 0.5)
        _end([head.process for head in heads if head.name == name], left_s)
    _end([agent.process for agent in agents], 1.0)
    return heads


def sweep(lab: Path) -> list[LabProcess]:
    """End everything of a lab, agents first; returns what there was."""
    ended = end_agents(lab)
    servers = {name: [p for p in lab_processes(lab) if p.name == name] for name in SERVERS}
    _end([one.process for name in SERVERS[:-1] for one in servers[name]], SERVERS_END_S)
    # With nothing left to look after, there is nothing that supervisor had to do before it ends.
    _kill([supervisor.process for supervisor in servers[SUPERVISOR]])
    return ended + [server for name in SERVERS for server in servers[name]]


def _parent_pid(process: psutil.Process) -> int | None:
    try:
        return process.ppid()
    except psutil.Error:
        return None


def _end(processes: list[psutil.Process], patience_s: float) -> None:
    """SIGTERM, and SIGKILL for those who have not ended in time."""
    _signal(processes, signal.SIGTERM)
    stubborn = _still_running(processes, patience_s)
    for process in stubborn:
        log.warning("pid %d did not end in %g s and is killed", process.pid, patience_s)
    _kill(stubborn)


def _kill(processes: list[psutil.Process]) -> None:
    _signal(processes, signal.SIGKILL)
    _still_running(processes, 1.0)


def _signal(processes: list[psutil.Process], number: signal.Signals) -> None:
    for process in processes:
        with contextlib.suppress(psutil.Error):
            process.send_signal(number)


def _still_running(processes: list[psutil.Process], patience_s: float) -> list[psutil.Process]:
    """Wait for processes to end; returns those who have not. A zombie has."""
    deadline = time.monotonic() + patience_s
    while True:
        running = [process for process in processes if runs(process)]
        if not running or time.monotonic() > deadline:
            return running
        time.sleep(0.02)


def runs(process: psutil.Process) -> bool:
    """Whether this very process (not another with its pid) is alive."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False
