"""Nothing that the faults agent began outlives it, or its host's time for it: each is killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from fpaas.faults import dead_man
from fpaas.records import events
from fpaas.records.events import FAULT, EventRecord
from fpaas.spec import NS_PER_S
from tests.support.arming import arm_once_up
from tests.support.checkout import SCRIPTS
from tests.support.patience import PATIENCE_S
from tests.support.run_specs import build

pytestmark = pytest.mark.integration

HOST = "a"
PAUSE = {"do": "pause", "on": "shuffler", "at_s": 0.5, "for_s": 4}


class Host:
    """A host of a run whose shuffler is a process that counts its steps into a file."""

    def __init__(self, directory: Path, *faults: dict[str, Any]) -> None:
        self.directory = directory
        self._steps = directory / "steps"
        self._faults = list(faults)
        self.agent: subprocess.Popen[bytes] | None = None
        self.shuffler = subprocess.Popen(self._command())
        self.note_shuffler(self.shuffler.pid)

    def _command(self) -> list[str]:
        code = (
            "import sys, time, os\n"
            "while True:\n open(sys.argv[1], 'a').write('.'); time.sleep(0.01)"
        )
        return [sys.executable, "-c", code, str(self._steps)]

    def note_shuffler(self, pid: int) -> None:
        content = {"agent": "shuffler", "state": "running", "pid": pid, "pids": [pid], "unix_ns": 0}
        (self.directory / "shuffler.status.json").write_text(json.dumps(content))

    def start(self) -> None:
        """Start the faults agent, and set T0 once it is up."""
        path = self.directory / "run.json"
        path.write_text(replace(build(bench_faults=self._faults), t0_unix_ns=0).to_json())
        script = self.directory / "start"
        script.write_text(
            f"#!{sys.executable}\nimport subprocess, sys\n"
            f"p = subprocess.Popen({self._command()!r}, stdout=-3, stderr=-3)\n"
            f"open({str(self.directory / 'started')!r}, 'w').write(str(p.pid))\n"
        )
        script.chmod(0o755)
        self.agent = subprocess.Popen(
            [
                *(SCRIPTS / "fpaas", "faults", "--run", path, "--out", self.directory),
                *("--host", HOST, "--services", json.dumps({"start": [str(script), "{}"]})),
            ],
            stderr=(self.directory / "log").open("ab"),
        )
        self.t0_unix_ns = arm_once_up(path, "faults", lead_s=1).t0_unix_ns

    def events(self) -> list[EventRecord]:
        try:
            found, wrong = events.read(self.directory / f"faults.{events.SUFFIX}")
        except FileNotFoundError:
            return []
        assert wrong is None
        return [event for event in found if event.kind == FAULT]

    @property
    def status(self) -> dict[str, Any]:
        content: dict[str, Any] = json.loads((self.directory / "faults.status.json").read_text())
        return content

    def moves(self) -> bool:
        before = self._steps.stat().st_size
        time.sleep(0.2)
        return self._steps.stat().st_size > before

    def stands_still(self) -> bool:
        """Tell whether the shuffler is stopped: one that waits for a processor is not."""
        return psutil.Process(self.shuffler.pid).status() == psutil.STATUS_STOPPED

    def kill(self, pid: int) -> None:
        os.kill(pid, signal.SIGKILL)

    def end(self) -> None:
        started = self.directory / "started"
        pids = [int(started.read_text())] if started.exists() else []
        if self.agent is not None and (self.directory / "faults.status.json").exists():
            pids += self.status["pids"]
        for pid in (*pids, self.shuffler.pid):
            try:
                psutil.Process(pid).kill()
            except psutil.Error:
                continue
        self.shuffler.wait()
        if self.agent is not None:
            self.agent.wait()


@pytest.fixture
def hosts(tmp_path: Path) -> Iterator[Callable[..., Host]]:
    made: list[Host] = []

    def make(*faults: dict[str, Any], has_shuffler: bool = True) -> Host:
        made.append(Host(tmp_path, *faults))
        if not has_shuffler:
            made[-1].shuffler.kill()
            made[-1].shuffler.wait()
        made[-1].start()
        return made[-1]

    yield make
    for host in made:
        host.end()


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def seconds(host: Host, unix_ns: int | None) -> float:
    assert unix_ns is not None
    return (unix_ns - host.t0_unix_ns) / NS_PER_S


def test_a_pause_begins_and_ends_on_time_and_is_an_event(hosts: Callable[..., Host]) -> None:
    host = hosts(PAUSE)
    until(host.stands_still)
    assert host.agent is not None
    assert host.agent.wait(timeout=PATIENCE_S) == 0
    until(host.moves)
    [event] = host.events()
    assert event.parameters.items() >= {**PAUSE, "number": 0, "undone_by": "faults"}.items()
    # A busy machine may be late, however much, and says so; a sleep and a wall clock that is slewed
    # may differ by some microseconds.
    late_ms = [float(str(event.parameters[name])) for name in ("begin_late_ms", "end_late_ms")]
    assert min(late_ms) > -1
    at_s = [seconds(host, at_ns) for at_ns in (event.begin_unix_ns, event.end_unix_ns)]
    assert at_s == pytest.approx([0.5 + late_ms[0] / 1_000, 4.5 + late_ms[1] / 1_000], abs=0.001)
    assert host.status["state"] == "done"


def test_what_is_paused_goes_on_if_the_agent_is_killed(hosts: Callable[..., Host]) -> None:
    host = hosts({**PAUSE, "for_s": 300})
    until(host.stands_still)
    until(host.events)
    host.kill(host.status["pid"])
    until(host.moves)
    # Whoever undid it says so.
    until(lambda: host.events()[0].end_unix_ns)
    assert host.events()[0].parameters["undone_by"] == "dead_man"
    until(lambda: not psutil.pid_exists(host.status["pids"][1]))


def test_what_is_paused_goes_on_if_the_agent_is_stuck(hosts: Callable[..., Host]) -> None:
    host = hosts({**PAUSE, "for_s": 1})
    until(host.stands_still)
    until(host.events)
    os.kill(host.status["pid"], signal.SIGSTOP)
    until(host.moves)
    # The agent had its time to come back to it.
    until(lambda: host.events()[0].end_unix_ns)
    assert seconds(host, host.events()[0].end_unix_ns) >= 1.5 + dead_man.GRACE_S


def test_what_is_paused_goes_on_in_time_if_the_timer_is_killed(hosts: Callable[..., Host]) -> None:
    host = hosts(PAUSE, {**PAUSE, "at_s": 6})
    until(host.stands_still)
    host.kill(host.status["pids"][1])
    stood_still = host.stands_still()
    assert stood_still or time.time_ns() > host.t0_unix_ns + 4.5 * NS_PER_S
    assert host.agent is not None
    assert host.agent.wait(timeout=PATIENCE_S) == 3
    # Without a timer nothing more is begun, and that is said.
    assert [event.parameters["number"] for event in host.events()] == [0]
    assert "bench_faults[1]" in host.status["message"]
    until(host.moves)


def test_what_is_paused_goes_on_at_once_if_the_agent_is_told_to_end(
    hosts: Callable[..., Host],
) -> None:
    host = hosts({**PAUSE, "for_s": 300})
    until(host.stands_still)
    os.kill(host.status["pid"], signal.SIGTERM)
    assert host.agent is not None
    assert host.agent.wait(timeout=PATIENCE_S) == 0
    until(host.moves)
    assert host.status["state"] == "stopped"


@pytest.mark.parametrize("do", ["kill", "restart"])
def test_what_was_killed_is_started_again(hosts: Callable[..., Host], do: str) -> None:
    fault = {"do": do, "on": "shuffler", "at_s": 0.5} | ({"for_s": 1} if do == "kill" else {})
    host = hosts(fault)
    host.shuffler.wait(timeout=PATIENCE_S)
    until(host.moves)
    assert host.agent is not None
    assert host.agent.wait(timeout=PATIENCE_S) == 0
    [event] = host.events()
    assert seconds(host, event.end_unix_ns) >= (1.5 if do == "kill" else 0.5)
    killed_by = {"kill": signal.SIGKILL, "restart": signal.SIGTERM}[do]
    assert host.shuffler.returncode == -killed_by


def test_what_was_killed_is_started_again_if_the_agent_is_killed(
    hosts: Callable[..., Host],
) -> None:
    host = hosts({"do": "kill", "on": "shuffler", "at_s": 0.5, "for_s": 300})
    host.shuffler.wait(timeout=PATIENCE_S)
    until(host.events)
    assert not (host.directory / "started").exists()
    host.kill(host.status["pid"])
    until(host.moves)


def test_a_fault_that_cannot_be_injected_is_said_and_no_event(hosts: Callable[..., Host]) -> None:
    host = hosts(PAUSE, has_shuffler=False)
    assert host.agent is not None
    assert host.agent.wait(timeout=PATIENCE_S) == 3
    assert host.events() == []
    assert "bench_faults[0] (pause on shuffler at 0.5 s)" in host.status["message"]
