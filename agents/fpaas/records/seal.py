"""`seal.json`: what a host is, and the checksums of the files that it wrote."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import field

from fpaas.records.fields import Count, UnixNs
from fpaas.records.probe import MachineFacts
from fpaas.spec.described import doc

NAME = "seal.json"
SCHEMA: Literal[1] = 1
#: In `versions`: the server on this host.
NATS_SERVER = "nats-server"


class FileEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One file."""

    bytes: Annotated[Count, doc("size")]
    sha256: Annotated[str, doc("in hex")]


class OpenFiles(msgspec.Struct, frozen=True, kw_only=True):
    """Limits of open files; null: unlimited."""

    nofile_soft: Annotated[Count | None, doc("soft limit")]
    nofile_hard: Annotated[Count | None, doc("hard limit")]


class HostFacts(MachineFacts, frozen=True, kw_only=True):
    """What a host is, in full. Null: it cannot be known."""

    cpu_model: Annotated[str | None, doc("as the CPU names itself")] = None
    machine: Annotated[str | None, doc("processor architecture")] = None
    os: Annotated[str | None, doc("name of the system")] = None
    virtualization: Annotated[str | None, doc("null: no sign of any")] = None
    container: Annotated[str | None, doc("null: no sign of any")] = None
    clocksource: Annotated[str | None, doc("the kernel's")] = None
    limits: Annotated[OpenFiles | None, doc("open files")] = None
    sysctls: Annotated[dict[str, str | None], doc("kernel settings by name")] = field(
        default_factory=dict
    )
    versions: Annotated[
        dict[str, str | None], doc("of fpaas, its libraries, nats-server (null: not on this host)")
    ] = field(default_factory=dict)


class Seal(msgspec.Struct, frozen=True, kw_only=True):
    """A host, and the files that it wrote."""

    schema: Annotated[Literal[1], doc("version of this file's form")]
    host: Annotated[str, doc("its name")]
    unix_ns: UnixNs
    facts: Annotated[HostFacts, doc("what the host is")]
    files: Annotated[dict[str, FileEntry], doc("every other file, in order of its path")]
