"""`manifest.json`: where and with what a run was made, and the checksums of its files."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from fpaas.records.control import ControlAccount
from fpaas.records.fields import Number
from fpaas.records.judgement import ReasonCode
from fpaas.records.network import Link
from fpaas.records.probe import ClockComparison
from fpaas.records.seal import FileEntry, HostFacts
from fpaas.spec.described import doc

NAME = "manifest.json"
SCHEMA: Literal[1] = 1


class RunHost(HostFacts, frozen=True, kw_only=True):
    """A host, by its seal; by its probe if it was not sealed."""

    nats_server: Annotated[str | None, doc("version of the server on it")] = None
    clock: Annotated[ClockComparison | None, doc("with the NATS host's, as its probe found")] = None


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """Where and with what a run was made, and the checksums of its files."""

    schema: Annotated[Literal[1], doc("version of this file's form")]
    run_id: Annotated[str, doc("as in run.json")]
    fpaas_version: Annotated[str, doc("that reported the run")]
    git_commit: Annotated[str | None, doc("that reported the run")]
    control: Annotated[ControlAccount | None, doc("what the control node noted")]
    hosts: Annotated[dict[str, RunHost], doc("what each host is")]
    network: Annotated[list[Link], doc("links between hosts, before the run")]
    network_measured_before_t0_s: Annotated[
        dict[str, Number], doc("of each host that measured: seconds, more if before an earlier run")
    ] = {}
    problems: Annotated[list[str], doc("what is missing, torn or changed in the bundle")]
    problem_codes: Annotated[list[ReasonCode], doc("the same")] = []
    files: Annotated[dict[str, FileEntry], doc("every other file, in order of its path")]
