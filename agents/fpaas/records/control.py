"""What the control node notes beside the hosts' parts: `control.json` and `invalid.json`."""

from __future__ import annotations

from typing import Annotated

import msgspec

from fpaas.records.fields import doc

NAME = "control.json"
INVALID = "invalid.json"


class ControlAccount(msgspec.Struct, frozen=True, kw_only=True):
    """`control.json`, written when a run was collected. Null: not known."""

    run_id: str | None = None
    problems: Annotated[list[str], doc("what went wrong, as `<host>: <what>`")]
    git_commit: str | None = None
    git_dirty: Annotated[bool | None, doc("the checkout had changes that were not committed")] = (
        None
    )
    ansible_version: str | None = None
    python: Annotated[str | None, doc("that Ansible ran with")] = None
    inventory: Annotated[list[str], doc("as Ansible was given it")] = []
    nats_tls: Annotated[bool | None, doc("whether NATS was spoken to by TLS")] = None


class InvalidMarks(msgspec.Struct, frozen=True, kw_only=True):
    """`invalid.json`: why a run is invalid for good, as `fpaas report --invalid` was told."""

    reasons: Annotated[
        list[str], doc("`interrupted`, `interrupted: <who says so>`, or somebody's own words")
    ]
