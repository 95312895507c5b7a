"""`seal.json`: what a host is, and the checksums of the files that it wrote."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import field

from fpaas.records.fields import Count, UnixNs, doc
from fpaas.records.probe import MachineFacts

NAME = "seal.json"
SCHEMA: Literal[1] = 1
#: In `versions`: the server on this host.
NATS_SERVER = "nats-server"


class FileEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One file."""

    bytes: Count
    sha256: str


class OpenFiles(msgspec.Struct, frozen=True, kw_only=True):
    """Limits of open files; null: unlimited."""

    nofile_soft: Count | None
    nofile_hard: Count | None


class HostFacts(MachineFacts, frozen=True, kw_only=True):
    """What a host is, in full. Null: it cannot be known."""

    cpu_model: str | None = None
    machine: Annotated[str | None, doc("processor architecture")] = None
    os: str | None = None
    virtualization: Annotated[str | None, doc("null: no sign of any")] = None
    container: Annotated[str | None, doc("null: no sign of any")] = None
    clocksource: str | None = None
    limits: OpenFiles | None = None
    sysctls: Annotated[dict[str, str | None], doc("kernel settings by name")] = field(
        default_factory=dict
    )
    versions: Annotated[
        dict[str, str | None], doc("of fpaas, its libraries, nats-server (null: not on this host)")
    ] = field(default_factory=dict)


class Seal(msgspec.Struct, frozen=True, kw_only=True):
    """A host, and the files that it wrote."""

    schema: Literal[1]
    host: str
    unix_ns: UnixNs
    facts: HostFacts
    files: Annotated[dict[str, FileEntry], doc("every other file, in order of its path")]
