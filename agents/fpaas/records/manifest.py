"""`manifest.json`: where and with what a run was made, and the checksums of its files."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from fpaas.records.control import ControlAccount
from fpaas.records.fields import Number, doc
from fpaas.records.judgement import ReasonCode
from fpaas.records.network import Link
from fpaas.records.probe import ClockComparison
from fpaas.records.seal import FileEntry, HostFacts

NAME = "manifest.json"
SCHEMA: Literal[1] = 1


class RunHost(HostFacts, frozen=True, kw_only=True):
    """A host, by its seal; by its probe if it was not sealed."""

    nats_server: Annotated[str | None, doc("version of the server on it")] = None
    clock: Annotated[ClockComparison | None, doc("with the NATS host's, as its probe found")] = None


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """Where and with what a run was made, and the checksums of its files."""

    schema: Literal[1]
    run_id: str
    fpaas_version: str
    git_commit: str | None
    control: Annotated[ControlAccount | None, doc("what the control node noted")]
    hosts: dict[str, RunHost]
    network: Annotated[list[Link], doc("links between hosts, before the run")]
    network_measured_before_t0_s: Annotated[
        dict[str, Number], doc("of each host that measured: seconds, more if before an earlier run")
    ] = {}
    problems: Annotated[list[str], doc("what is missing, torn or changed in the bundle")]
    problem_codes: Annotated[list[ReasonCode], doc("the same")] = []
    files: Annotated[dict[str, FileEntry], doc("every other file, in order of its path")]
