"""`<agent>.status.json`: how an agent is, for the control node and the probe; once a second."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import msgspec

from fpaas.records import files
from fpaas.records.fields import Number, UnixNs
from fpaas.spec.described import doc

#: Among figures of agents that wait for T0: seconds that their connections will take, as measured.
CONNECT_S = "connect_s"

#: How sentences name agents.
AGENTS = {
    "relay": "the relay",
    "shuffler": "the shuffler",
    "consumers": "the consumers' agent",
    "probe": "the probe",
    "faults": "the faults agent",
}
WORKERS_NAMED_MAX = 4


class State(enum.StrEnum):
    """Where an agent is in its life."""

    STARTING = "starting"
    READY = "ready"
    RUNNING = "running"
    DONE = "done"
    STOPPED = "stopped"
    FAILED = "failed"


#: States that no agent leaves.
ENDED = (State.DONE, State.STOPPED, State.FAILED)


class AgentStatus(msgspec.Struct, frozen=True, kw_only=True):
    """How an agent is."""

    agent: Annotated[str, doc("relay, shuffler, consumers or probe")]
    state: Annotated[State, doc("where it is in its life")]
    message: Annotated[str, doc("what is wrong, or what there is to know; mostly empty")] = ""
    unix_ns: UnixNs
    pid: Annotated[int, doc("process that wrote it")]
    pids: Annotated[list[int], doc("all processes of the agent")] = []
    figures: Annotated[
        dict[str, Number], doc("running counts, for those who watch; samples have the same")
    ] = {}

    @classmethod
    def parse(cls, line: str) -> AgentStatus | None:
        """Read a status file's line; None if it is none (a file may be there half-written)."""
        try:
            return _DECODER.decode(line)
        except msgspec.DecodeError:
            return None


#: Made here, and not by whichever threads read first: msgspec crashes if they meet.
_DECODER = msgspec.json.Decoder(AgentStatus)


def in_words(agent: str, workers: Sequence[int] = ()) -> str:
    """Name an agent in a sentence, or those of the consumers' workers that it is about."""
    if not workers:
        return AGENTS.get(agent, f"the {agent}")
    if len(workers) > WORKERS_NAMED_MAX:
        return f"{len(workers)} consumers workers"
    return f"consumers worker{'s' if len(workers) > 1 else ''} {', '.join(map(str, workers))}"


def name(agent: str) -> str:
    """Return the name of an agent's file."""
    return f"{agent}.status.json"


def read(directory: Path, agent: str) -> AgentStatus:
    """Read an agent's file. Raises OSError, UnreadableError."""
    return files.read(directory / name(agent), AgentStatus)


def write(directory: Path, status: AgentStatus) -> None:
    """Replace an agent's file. Raises OSError.

    If its disk is full, the last words of an agent that has failed, which say so, take the place of
    what it said before.
    """
    path = directory / name(status.agent)
    try:
        files.write(path, status)
    except OSError:
        if status.state != State.FAILED:
            raise
        files.overwrite(path, status)


def figures_of(sample: msgspec.Struct) -> dict[str, Number]:
    """Return a sample's numbers, its time left out, as a status shows them."""
    return {
        name: value
        for name, value in msgspec.structs.asdict(sample).items()
        if name != "unix_ns" and isinstance(value, int | float)
    }
