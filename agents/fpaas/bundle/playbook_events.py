"""What a playbook did and noticed in a run, from the control node's event log."""

from __future__ import annotations

from collections.abc import Iterator

from fpaas.bundle.bundle import Bundle
from fpaas.bundle.found_event import seconds_since
from fpaas.records.events import (
    AGENTS_STOPPED,
    HOST_SILENT,
    RUN_ARMED,
    RUN_COLLECTED,
    TROUBLE_NOTED,
    EventRecord,
)
from fpaas.records.status import in_words
from fpaas.records.summary import Event

PLAYBOOK = "playbook"
HOST = "host"


def find(bundle: Bundle) -> Iterator[Event]:
    """Iterate over the events, in seconds since T0; what came before the run is below 0."""
    spec = bundle.spec
    for record in bundle.control_events:

        def seconds(unix_ns: int | None) -> float | None:
            if unix_ns is None:
                return None
            return seconds_since(spec.t0_unix_ns, unix_ns + spec.control_clock_shift_ns)

        host = record.parameters.get(HOST)
        begin_s = seconds(record.begin_unix_ns) or 0.0
        yield Event(
            kind=record.kind,
            source=PLAYBOOK,
            host=None if host is None else str(host),
            begin_s=begin_s,
            end_s=seconds(record.end_unix_ns),
            parameters={name: v for name, v in record.parameters.items() if name != HOST},
            sentence=f"{host}: {_said(record)}" if host else _said(record),
            at_s=begin_s,
            short=_SHORT.get(record.kind, record.kind.replace("_", " ")),
        )


_SHORT = {RUN_ARMED: "armed", TROUBLE_NOTED: "trouble", HOST_SILENT: "host silent"}


def _said(record: EventRecord) -> str:
    if record.kind == TROUBLE_NOTED:
        get = record.parameters.get
        problem = str(get("problem")).replace("_", " ")
        who = f"{in_words(str(get('agent')))} " if get("agent") else ""
        said = f": {get('message')}" if get("message") else ""
        return f"the playbook noted a problem: {who}{problem}{said}"
    ended = record.end_unix_ns is not None
    return {
        RUN_ARMED: "the playbook set the run's start time",
        HOST_SILENT: "did not answer the playbook" + ("" if ended else " from then on"),
        AGENTS_STOPPED: "the playbook ended the agents",
        RUN_COLLECTED: "its part was collected" if ended else "its part could not be collected",
    }.get(record.kind, f"the playbook noted {record.kind}")
