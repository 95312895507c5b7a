"""Files that the control node adds to the hosts' parts: `control.json` and `invalid.json`."""

from __future__ import annotations

import enum
from typing import Annotated

import msgspec

from fpaas.reason import Reason
from fpaas.records.fields import Count, Number
from fpaas.spec.described import doc

NAME = "control.json"
INVALID = "invalid.json"
EVENTS = "control.events.jsonl"


class Trouble(enum.StrEnum):
    """Trouble that a playbook can have."""

    #: A task failed (parameters: task, message).
    TASK_FAILED = "task_failed"
    #: A host did not answer while the run was followed (silent_s, message) …
    HOST_LOST = "host_lost"
    #: … or when it was collected …
    NOT_REACHED = "not_reached"
    #: … or its part could not be collected (task, message, directory).
    NOT_BROUGHT = "not_brought"
    #: An agent (all: agent) never came up, …
    NOT_STARTED = "not_started"
    #: … ended by itself (message) or was ended (pid), …
    FAILED = "failed"
    DIED = "died"
    #: … was told to end too early, …
    STOPPED = "stopped"
    #: … gave no sign of life (silent_s), or went on beyond the run's end (state).
    SILENT = "silent"
    NOT_ENDED = "not_ended"
    #: NATS does not run, and this is the last that it said (message).
    NATS_DOWN = "nats_down"
    #: From older versions, which noted only words (text).
    NOTED = "noted"


class ControlProblem(msgspec.Struct, frozen=True, kw_only=True):
    """Trouble that a playbook had with a run."""

    problem: Annotated[Trouble, doc("what kind of problem")]
    host: Annotated[str | None, doc("the host that it is about; null: none")] = None
    parameters: Annotated[dict[str, str | Number | None], doc("of the problem")] = {}

    def reason(self) -> Reason:
        """Return what it means for the run."""
        return Reason("control_problem", self.host, {"problem": self.problem, **self.parameters})


class ControlAccount(msgspec.Struct, frozen=True, kw_only=True):
    """`control.json`, written when a run was collected. Null: not known."""

    run_id: Annotated[str | None, doc("as in run.json")] = None
    problems: Annotated[
        list[ControlProblem | str],
        doc("what went wrong; of older versions in words, as `<host>: <what>`"),
    ]
    git_commit: Annotated[str | None, doc("of the checkout; null: no checkout")] = None
    git_dirty: Annotated[bool | None, doc("the checkout had changes that were not committed")] = (
        None
    )
    ansible_version: Annotated[str | None, doc("of ansible-core")] = None
    python: Annotated[str | None, doc("that Ansible ran with")] = None
    inventory: Annotated[list[str], doc("as Ansible was given it")] = []
    events: Annotated[
        Count | None, doc("lines that control.events.jsonl had by then; null: not known")
    ] = None
    nats_tls: Annotated[bool | None, doc("whether NATS was spoken to by TLS")] = None


class InvalidMarks(msgspec.Struct, frozen=True, kw_only=True):
    """`invalid.json`: why a run is invalid for good, as `fpaas report --invalid` was told."""

    reasons: Annotated[
        list[str], doc("`interrupted`, `interrupted: <who says so>`, or somebody's own words")
    ]
