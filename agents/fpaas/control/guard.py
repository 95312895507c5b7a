"""Keeps the embedded lab from outliving the playbook that runs it.

The playbook's own clean-up does not run when it is killed or interrupted. So one process, in a
session of its own, holds the lab while a playbook runs, and when that is gone it stops the agents,
has what they measured collected, and ends whatever is left.

A process belongs to a lab when its environment says so: `LAB_VARIABLE` is the lab's directory.
Agents inherit it from the supervisor, and their workers from them; nobody else's process has it.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TextIO

import psutil

from fpaas.errors import BadInput
from fpaas.records import files, seal
from fpaas.records.files import UnreadableError
from fpaas.records.seal import Seal
from fpaas.spec import RunSpec, SpecError

log = logging.getLogger(__name__)

LAB_VARIABLE = "FPAAS_LAB"
#: Set by supervisor in the environment of what it starts.
PROCESS_NAME_VARIABLE = "SUPERVISOR_PROCESS_NAME"
#: These end last: agents need NATS to end well.
NATS = "nats"
#: What it has seen is asked for when agents have ended.
PROMETHEUS = "prometheus"
GRAFANA = "grafana"
SUPERVISOR = "supervisor"
SERVERS = (GRAFANA, PROMETHEUS, NATS, SUPERVISOR)
#: What broke something makes it good before that is ended.
DATA_WAY = ("faults", "relay", "shuffler", "consumers", "probe")
WATCH_INTERVAL_S = 0.5
#: Agents write what they measured when they are asked to end.
AGENTS_END_S = 8.0
SERVERS_END_S = 4.0
#: A guard that cleans up after an earlier run is waited for this long.
LAB_BUSY_S = 40.0
COLLECT_S = 60.0
COLLECT_LOG = "collect.log"
#: In the lab: what the guard does.
LOG = "guard.log"
PLAYBOOK = "ansible-playbook"
#: In the lab: a link to the directory of the run that is on.
CURRENT = "current"


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


def playbook_above() -> psutil.Process:
    """Return the ansible-playbook that this process was started by: the main one, not a worker.

    A worker is a fork and has its command line; one with another command line is a sweep's, which
    started this one as a run of its own. Raises BadInput if there is none.
    """
    playbook = None
    for parent in psutil.Process().parents():
        command = _cmdline(parent)
        is_playbook = any(Path(part).name == PLAYBOOK for part in command[:3])
        if is_playbook and (playbook is None or command == _cmdline(playbook)):
            playbook = parent
        elif playbook is not None:
            break
    if playbook is None:
        raise BadInput("`fpaas guard start` is for playbooks: no ansible-playbook started it")
    return playbook


def _cmdline(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def runs(process: psutil.Process) -> bool:
    """Whether this very process (not another with its pid) is alive."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


@dataclass(frozen=True)
class Holder:
    """Who holds a lab: the guard, and the playbook that it watches."""

    guard_pid: int
    playbook_pid: int
    playbook_started: float
    since: str

    @classmethod
    def now(cls, guard_pid: int, playbook: psutil.Process) -> Holder:
        """Describe a guard that starts."""
        since = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime())
        return cls(guard_pid, playbook.pid, playbook.create_time(), since)

    @property
    def playbook_runs(self) -> bool:
        """Whether the playbook is still the same process, and alive."""
        try:
            process = psutil.Process(self.playbook_pid)
            same = abs(process.create_time() - self.playbook_started) < 1.0
        except psutil.Error:
            return False
        return same and runs(process)


class Lab:
    """The lab's directory, and the lock on it that the guard holds."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._lock_path = directory / "guard.json"

    def acquire(self) -> TextIO:
        """Take the lab; the caller holds it for as long as the file stays open.

        Waits while a guard still cleans up. Raises BadInput if another playbook uses the lab.
        """
        self.directory.mkdir(parents=True, exist_ok=True)
        lock = self._lock_path.open("a+", encoding="utf-8")
        deadline = time.monotonic() + LAB_BUSY_S
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                holder = self.holder()
                if holder is not None and holder.playbook_runs:
                    lock.close()
                    raise BadInput(
                        f"{self.directory}: a run is in progress here (ansible-playbook, pid "
                        f"{holder.playbook_pid}, since {holder.since}); wait for it, or interrupt "
                        "it: what it measured is kept"
                    ) from None
                if time.monotonic() > deadline:
                    lock.close()
                    raise BadInput(
                        f"{self.directory}: still being cleaned up after an interrupted run; see "
                        f"{self.directory}/guard.log, or end it with `make teardown`"
                    ) from None
                time.sleep(0.2)
            else:
                lock.truncate(0)  # the former holder's pid may be anybody's by now
                return lock

    def holder(self) -> Holder | None:
        """Return who holds the lab, or held it last."""
        try:
            return Holder(**json.loads(self._lock_path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None

    def release(self) -> None:
        """End the guard without its doing anything, and wait until it has let go."""
        if not self._lock_path.exists():
            return
        with self._lock_path.open("a+", encoding="utf-8") as lock:
            deadline = time.monotonic() + SERVERS_END_S
            while time.monotonic() < deadline:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    self._signal_guard()
                    time.sleep(0.05)
                else:
                    return

    def _signal_guard(self) -> None:
        holder = self.holder()
        if holder is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(holder.guard_pid, signal.SIGTERM)


class Teller:
    """Tells whoever interrupted a playbook, at the terminal that it had, what becomes of its run.

    `terminal` is open for writing; None if there was none.
    """

    def __init__(self, terminal: int | None) -> None:
        self._terminal = terminal

    def collecting(self, bundle: Path, guard_log: Path) -> None:
        """Say that there will be a report."""
        self._say(
            f"The playbook is gone. Its run is ended, and reported into {bundle}; that takes up to "
            f"a minute ({guard_log})."
        )

    def collected(self, bundle: Path) -> None:
        """Say that there is one, or that there is none."""
        report = bundle / "report.html"
        missing = f"There is no report; {bundle / COLLECT_LOG} says why."
        self._say(f"The report is there: {report}" if report.exists() else missing)

    def _say(self, text: str) -> None:
        if self._terminal is not None:
            # The terminal may have been closed.
            with contextlib.suppress(OSError):
                os.write(self._terminal, f"\r\n{text}\r\n".encode())


def watch(
    lab: Path, playbook: psutil.Process, results: Path, collect: list[str], teller: Teller
) -> None:
    """Wait until the playbook is gone, then clean up after it.

    `collect` is a command that collects and reports a run; the run's id is added to it.
    """
    while runs(playbook):
        time.sleep(WATCH_INTERVAL_S)
    log.warning("ansible-playbook (pid %d) is gone: ending its run", playbook.pid)
    run_id = current_run(lab)
    if run_id is not None:
        teller.collecting(results / run_id, lab / LOG)
    for agent in end_agents(lab):
        log.info("ended %s", agent)
    if run_id is not None:
        _collect(results / run_id, [*collect, "--extra-vars", json.dumps({"run_id": run_id})])
        teller.collected(results / run_id)
    # A task that the playbook's end left behind may have started something meanwhile.
    for _ in range(2):
        for process in sweep(lab):
            log.info("ended %s", process)
    log.info("nothing of the lab is left running")


def prune(lab: Path, results: Path) -> None:
    """Remove runs' directories that were brought into a bundle, all of it, and reported."""
    for run in (lab / "runs").glob("*"):
        bundle = results / run.name
        if (bundle / "summary.json").exists() and is_brought(run, bundle):
            shutil.rmtree(run, ignore_errors=True)


def is_brought(run: Path, bundle: Path) -> bool:
    """Whether all that a run's seal names is in its bundle: a full disk may have cut it short."""
    try:
        sealed = files.read(run / seal.NAME, Seal)
        part = bundle / "hosts" / sealed.host
        return all(
            (part / name).stat().st_size == entry.bytes for name, entry in sealed.files.items()
        )
    except (OSError, UnreadableError):
        return False


def current_run(lab: Path) -> str | None:
    """Return the id of the run that is on: armed, and not yet reported."""
    link = lab / CURRENT
    try:
        return link.readlink().name if RunSpec.load(link / "run.json").is_armed else None
    except (OSError, SpecError):
        return None


def _collect(bundle: Path, command: list[str]) -> None:
    log.info("collecting into %s", bundle)
    with _logged_failure():
        bundle.mkdir(parents=True, exist_ok=True)
        with (bundle / COLLECT_LOG).open("a", encoding="utf-8") as output:
            result = subprocess.run(  # noqa: S603  (our playbook's)
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                timeout=COLLECT_S,
                check=False,
            )
        log.info("collecting ended with %d", result.returncode)


@contextlib.contextmanager
def _logged_failure() -> Iterator[None]:
    try:
        yield
    except (OSError, subprocess.SubprocessError):
        log.exception("collecting failed")


def write_holder(lock: TextIO, holder: Holder) -> None:
    """Write into a lab's lock who holds it."""
    json.dump(asdict(holder), lock)
    lock.flush()


def detach(lock: TextIO, playbook: psutil.Process, log_path: Path) -> bool:
    """Fork a process with a session and a log of its own that holds the lab; whether this is it."""
    pid = os.fork()
    if pid:
        write_holder(lock, Holder.now(pid, playbook))
        return False
    os.setsid()
    with log_path.open("a", encoding="utf-8") as output:
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
    with Path(os.devnull).open(encoding="utf-8") as nothing:
        os.dup2(nothing.fileno(), 0)
    return True
