"""What is done to a service's processes, and by whom they are started again."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fpaas.faults.injection import ServiceCommands, on_processes
from fpaas.faults.processes import Process, Services
from fpaas.faults.undo import Start
from fpaas.records import files, status
from fpaas.records.status import AgentStatus, State
from fpaas.spec import Fault
from fpaas.spec.faults import Target

#: This process stands for an agent, its parent for the agent's worker.
AGENT, WORKER = os.getpid(), os.getppid()
COMMANDS = ServiceCommands(start=["start", "{}"], hold=["stop", "{}"])


@pytest.mark.parametrize(
    ("pids", "killed", "undo"),
    [
        # The service manager knows the agent, and would end all workers to hold one.
        ([AGENT, WORKER], WORKER, []),
        ([AGENT], AGENT, [Start([Process.of(AGENT)], ["start", "consumers"])]),
    ],
    ids=["one of several", "the only one"],
)
def test_a_worker_of_several_is_its_agents_to_start(
    tmp_path: Path, pids: list[int], killed: int, undo: list[Start]
) -> None:
    said = AgentStatus(agent="consumers", state=State.RUNNING, pid=AGENT, pids=pids, unix_ns=0)
    files.write(tmp_path / status.name("consumers"), said)
    injection = on_processes(
        Fault("kill", "worker:0", 1.0, 2.0),
        [Target("one", "consumers")],
        Services(tmp_path, None),
        COMMANDS,
    )

    assert injection.undo == undo
    assert injection.parameters() == {"processes": 1}
    assert Services(tmp_path, None).processes("consumers", 0) == [Process.of(killed)]
