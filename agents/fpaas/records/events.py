"""`<agent>.events.jsonl`: what an agent saw happen beside its load, with begin and end.

One JSON object a line: `kind`, `begin_unix_ns`, `end_unix_ns` (null: it had not ended when the line
was written) and `parameters`. An event that lasts is written when it is noticed, without an end,
and again with the same kind and begin when it has ended; the later line counts. If the agent is
killed or the run ends before that, the event has no end.
"""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Annotated, Self

import msgspec

from fpaas import common_time
from fpaas.records.files import UNREADABLE
from fpaas.records.waiting_lines import WaitingLines
from fpaas.spec.described import doc

SUFFIX = "events.jsonl"

#: A NATS server (parameters: server, connected) or a relay (url, connected) sent nothing though
#: something was due; `connected`: the connection stayed up all the while.
NATS_SILENT = "nats_silent"
RELAY_SILENT = "relay_silent"
#: The stream (stream) took nothing of what waited to be published, though its server answered.
STREAM_SILENT = "stream_silent"
#: The relay sent a frame that could not be decoded: cause, its seq and the seq read before it if
#: they are known, its size in bytes, and the file that has its first 64 KB (null: not kept).
FRAME_UNDECODABLE = "frame_undecodable"
#: The agent that writes it did not run at all.
AGENT_PAUSED = "agent_paused"
#: The agent that writes it went on where one had ended in the same run. It begins when the process
#: was there, and ends when it served: the relay sent, the shuffler read and published.
AGENT_RESTARTED = "agent_restarted"
#: A process of the lab ended (process, pid), seen by its host's probe, or by the consumers agent
#: (worker). Each does at the run's end.
PROCESS_ENDED = "process_ended"
#: A server that the probe was told of (process) did not run when it first looked after T0.
PROCESS_MISSING = "process_missing"
#: Connections to NATS were lost (server and cause of the first; connections: how many, null until
#: the end), or the one to the relay (url, cause; code: the relay's close code, null if it sent
#: none). Ends when all of them are there again.
NATS_RECONNECTED = "nats_reconnected"
RELAY_RECONNECTED = "relay_reconnected"
#: The probe found another server than before on its host. From the old one's end, if that was seen,
#: to when the new one started.
NATS_RESTARTED = "nats_restarted"
#: Another server of the cluster leads the stream (leader, before), noted by that one's probe.
LEADER_CHANGED = "leader_changed"
#: The server on the probe's host closed connections that did not read what it had for them
#: (connections): from the first to the last.
CUT_OFF = "slow_consumers_cut_off"
#: Somebody paused durables of the stream (stream; durables: how many at a time at most, null until
#: the end), which the lab never does. It ends when none is paused.
DURABLES_PAUSED = "durables_paused"
#: The clock of the probe's host was set (step_ms).
CLOCK_SET = "clock_set"
#: The socket of one of the relay's subscribers that had caught up took nothing (reader: address).
READER_BLOCKED = "reader_blocked"
#: The shuffler found that the stream was another one than before: it was gone and made again
#: (created, as the server says; rewound_to_seq; to_replay, events). It ends when they are stored.
STREAM_LOST = "stream_lost"
#: A shuffler that was started again found no cursor in its bucket of NATS (bucket, why), and went
#: on from its account's (cursor).
CURSOR_LOST = "cursor_lost"
#: A consumers worker made its durables again because the stream was lost (created, durables). It
#: begins when the worker missed its server, and ends when they were there.
DURABLES_MADE_AGAIN = "durables_made_again"
#: A fault of the run (parameters: number, its index in run.json's faults; do, on; and others that
#: depend on the fault). It begins when the fault does and ends when it is undone. `begin_late_ms`,
#: `end_late_ms`: how long after plan these were begun; `…_took_ms`: how long they took.
FAULT = "fault"

#: Events of the control node, by its clock, in `control.events.jsonl`: agents know when to begin …
RUN_ARMED = "run_armed"
#: … something is wrong with a host or its agents (parameters: host, problem, and its own) …
TROUBLE_NOTED = "trouble_noted"
#: … a host did not answer (host) …
HOST_SILENT = "host_silent"
#: … agents were ended, or had ended …
AGENTS_STOPPED = "agents_stopped"
#: … and a host's part is brought (host); no end: it could not be.
RUN_COLLECTED = "run_collected"

Value = str | int | float | bool | None


class EventRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One line. Times are of the writing host's wall clock; lengths, of its monotonic clock."""

    kind: Annotated[str, doc("what happened")]
    begin_unix_ns: Annotated[int, doc("Unix time, ns")]
    end_unix_ns: Annotated[int | None, doc("Unix time, ns; null: it has not ended")]
    parameters: Annotated[dict[str, Value], doc("of its kind")] = msgspec.field(
        default_factory=dict
    )
    noticed_unix_ns: Annotated[int | None, doc("when it was noticed; null: older agents")] = None


class EventLog:
    """Appends events to a file, each line flushed.

    A disk that is full costs neither run nor events: they wait in memory until it takes them.
    """

    def __init__(self, path: Path) -> None:
        self._written: set[tuple[str, int]] = set()
        self._lines = WaitingLines(path)

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the file."""
        self.close()

    def begin(
        self,
        kind: str,
        begin_unix_ns: int,
        parameters: dict[str, Value],
        *,
        end_unix_ns: int | None = None,
    ) -> EventRecord:
        """Write an event and return it; what has ended already is given its end at once.

        Two of one kind that began at the same time are told apart by a nanosecond.
        """
        while (kind, begin_unix_ns) in self._written:
            begin_unix_ns += 1
        self._written.add((kind, begin_unix_ns))
        event = EventRecord(
            kind=kind,
            begin_unix_ns=begin_unix_ns,
            end_unix_ns=end_unix_ns,
            parameters=parameters,
            noticed_unix_ns=common_time.now_ns(),
        )
        self._lines.write(event)
        return event

    def end(self, event: EventRecord, end_unix_ns: int, parameters: dict[str, Value]) -> None:
        """Write an event again, now that it has ended; `parameters` are those known by then."""
        self._lines.write(
            msgspec.structs.replace(event, end_unix_ns=end_unix_ns, parameters=parameters)
        )

    @property
    def loss(self) -> str:
        """Say what could not be written at all, once it is closed; empty if nothing."""
        return self._lines.loss

    def close(self) -> None:
        """Close the file."""
        self._lines.close()


def read(path: Path) -> tuple[list[EventRecord], str | None]:
    """Read a file's events in the order in which they were noticed, each in its last version.

    Returns also what is wrong, None if nothing is: a line that is no event is left out, and named
    by its number. A torn last line is not wrong: a killed agent leaves one.
    Raises OSError.
    """
    events: dict[tuple[str, int], EventRecord] = {}
    wrong: list[str] = []
    *lines, _torn = path.read_bytes().split(b"\n")
    for number, line in enumerate(lines, 1):
        try:
            event = _DECODER.decode(line)
        except UNREADABLE as error:
            wrong.append(f"line {number} is not an event: {error}")
            continue
        if event.end_unix_ns is not None and event.end_unix_ns < event.begin_unix_ns:
            wrong.append(f"line {number} is not an event: it ends before it begins")
            continue
        events[event.kind, event.begin_unix_ns] = event
    more = f", and {len(wrong) - 1} more like it" if len(wrong) > 1 else ""
    return list(events.values()), wrong[0] + more if wrong else None


_DECODER = msgspec.json.Decoder(EventRecord)
