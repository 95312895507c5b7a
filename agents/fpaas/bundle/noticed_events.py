"""Events in agents' logs; what several of them noticed is told once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec

from fpaas.agreement import agreeing
from fpaas.bundle import relay_silence
from fpaas.bundle.bundle import Bundle
from fpaas.bundle.found_event import (
    AGENT,
    CONNECTED,
    CONSUMERS,
    INJECTED,
    LOOKED_AGAIN_NS,
    OBSERVER,
    SERVER,
    Found,
    connections,
    how_long,
)
from fpaas.bundle.parts import JsonObject
from fpaas.bundle.sampled_events import last_sign
from fpaas.measures.figures import Window
from fpaas.records.events import (
    AGENT_PAUSED,
    AGENT_RESTARTED,
    CLOCK_SET,
    CURSOR_LOST,
    CUT_OFF,
    DURABLES_MADE_AGAIN,
    DURABLES_PAUSED,
    FAULT,
    FRAME_UNDECODABLE,
    LEADER_CHANGED,
    NATS_RECONNECTED,
    NATS_RESTARTED,
    NATS_SILENT,
    PROCESS_ENDED,
    PROCESS_MISSING,
    READER_BLOCKED,
    RELAY_RECONNECTED,
    RELAY_SILENT,
    STREAM_LOST,
    STREAM_SILENT,
    EventRecord,
)
from fpaas.records.probe import AGENT as PROBE
from fpaas.records.status import in_words
from fpaas.spec import NS_PER_S

#: A busy machine keeps agents waiting for moments, all of the time, and a relay may hang up as
#: often: of each agent's, the longest.
MOMENTS_TOLD_MAX = 10
MOMENTARY = (AGENT_PAUSED, NATS_RECONNECTED, RELAY_RECONNECTED)
#: With deaths, with what was there before, with what watches the lab, and with clocks.
TOLD_ELSEWHERE = (AGENT_RESTARTED, PROCESS_ENDED, PROCESS_MISSING, CLOCK_SET)
#: Parameters that do not identify the subject of an event.
CONNECTIONS = "connections"
DETAILS = (CONNECTED, CONNECTIONS, "cause", "code")
#: How the length of an event is put, if not with "for".
LASTED = {NATS_RESTARTED: ", and was down for", CUT_OFF: " within"}


class _Seen(NamedTuple):
    """A record, and who wrote it; `worker` is None but for consumers workers.

    An agent that keeps several workers is none of them: they go on if it stands still.
    """

    host: str
    agent: str
    worker: int | None
    record: EventRecord


def noticed(bundle: Bundle) -> Iterator[Found]:
    """Iterate over what agents noticed; what workers of a host saw alike is one event."""
    alike: defaultdict[tuple[object, ...], list[_Seen]] = defaultdict(list)
    for seen in _seen(bundle):
        record = seen.record
        if record.kind == RELAY_SILENT:
            begin_unix_ns, end_unix_ns = record.begin_unix_ns, record.end_unix_ns
            # If the run ended early, nobody knows how long the silence lasted.
            until_unix_ns = end_unix_ns or last_sign(bundle.hosts[seen.host], seen.agent, 0)
            due = relay_silence.while_due(bundle, (begin_unix_ns, until_unix_ns))
            if due is None:
                continue
            if due[1] == bundle.spec.offer_until_unix_ns:
                record = msgspec.structs.replace(record, end_unix_ns=due[1])
        elif record.kind == NATS_SILENT and record.end_unix_ns is None:
            end_unix_ns = _heard_again(bundle, seen)
            record = msgspec.structs.replace(record, end_unix_ns=end_unix_ns)
        elif (
            record.kind == RELAY_RECONNECTED
            and record.begin_unix_ns >= bundle.spec.offer_until_unix_ns
        ):
            continue
        if record.end_unix_ns is None or record.end_unix_ns >= bundle.spec.t0_unix_ns:
            whom = sorted(_whom(record).items())
            by_whom = (seen.host, seen.agent, seen.worker is None, record.kind, *whom)
            alike[by_whom].append(seen._replace(record=record))
    until_unix_ns = bundle.spec.offer_until_unix_ns
    for group in alike.values():
        found = [_merged(stretch, until_unix_ns) for stretch in _stretches(group)]
        moments = [one for one in found if one.kind in MOMENTARY and _length_ns(one) < NS_PER_S]
        dropped = sorted(moments, key=_length_ns)[:-MOMENTS_TOLD_MAX]
        yield from (one for one in found if one not in dropped)


def _length_ns(found: Found) -> int:
    return (found.end_unix_ns or found.begin_unix_ns) - found.begin_unix_ns


def _seen(bundle: Bundle) -> Iterator[_Seen]:
    for part in bundle.hosts.values():
        for name, records in part.events.items():
            for record in records:
                if record.kind not in TOLD_ELSEWHERE:
                    yield _Seen(part.host, name, None, record)
        for worker in part.workers:
            for record in worker.events:
                yield _Seen(part.host, CONSUMERS, worker.worker, record)


def _heard_again(bundle: Bundle, seen: _Seen) -> int | None:
    """Return when others heard a server again, if this observer was gone by then."""
    record, part = seen.record, bundle.hosts[seen.host]
    status = part.statuses.get(seen.agent)
    last_sign_unix_ns = last_sign(part, seen.agent, 0 if status is None else status.unix_ns)
    since_unix_ns = max(record.begin_unix_ns, last_sign_unix_ns - LOOKED_AGAIN_NS)
    return min(
        (
            end_unix_ns
            for other in _seen(bundle)
            if other.record.kind == NATS_SILENT and _whom(other.record) == _whom(record)
            if other.record.begin_unix_ns <= last_sign_unix_ns
            if (end_unix_ns := _end_known(bundle, other)) is not None
            if end_unix_ns > since_unix_ns
        ),
        default=None,
    )


def _end_known(bundle: Bundle, seen: _Seen) -> int | None:
    """Return when a silence of NATS ended; a probe stops looking before it asks a last time."""
    final = bundle.hosts[seen.host].server_final
    if seen.record.end_unix_ns is None and seen.agent == PROBE:
        return None if final is None or final.server is None else final.until_unix_ns
    return seen.record.end_unix_ns


def _whom(record: EventRecord) -> dict[str, Any]:
    """Return the parameters that identify the subject of an event."""
    return {name: value for name, value in record.parameters.items() if name not in DETAILS}


def _stretches(group: list[_Seen]) -> Iterator[list[_Seen]]:
    """Split into stretches of time that overlap."""
    stretch: list[_Seen] = []
    until_unix_ns = 0
    for seen in sorted(group, key=lambda seen: seen.record.begin_unix_ns):
        record = seen.record
        if stretch and record.begin_unix_ns > until_unix_ns:
            yield stretch
            stretch = []
        stretch.append(seen)
        until_unix_ns = max(until_unix_ns, record.end_unix_ns or record.begin_unix_ns)
    if stretch:
        yield stretch


def _merged(stretch: list[_Seen], offer_until_unix_ns: int) -> Found:
    """Make one event, from the earliest begin to the latest end that somebody saw."""
    first = stretch[0]
    records = [seen.record for seen in stretch]
    begin_unix_ns = min(record.begin_unix_ns for record in records)
    ends = [record.end_unix_ns for record in records if record.end_unix_ns is not None]
    # As long as one of them still saw it, it had not ended.
    end_unix_ns = max(ends) if len(ends) == len(records) else None
    workers = sorted({seen.worker for seen in stretch if seen.worker is not None})
    parameters: JsonObject = {"agent": first.agent, **first.record.parameters}
    if workers:
        parameters["workers"] = workers
    if CONNECTIONS in parameters:
        counts = [record.parameters.get(CONNECTIONS) for record in records]
        known = [count for count in counts if isinstance(count, int)]
        parameters[CONNECTIONS] = sum(known) if len(known) == len(counts) else None
    if CONNECTED in first.record.parameters:
        parameters[CONNECTED] = all(record.parameters.get(CONNECTED) for record in records)
    kind = first.record.kind
    firehose_end_unix_ns = offer_until_unix_ns if kind == RELAY_SILENT else None
    if kind == FAULT:
        source, short, what = _injected(parameters)
    else:
        source, short, what = _told(kind, in_words(first.agent, workers), parameters)
    length = how_long(begin_unix_ns, end_unix_ns, firehose_end_unix_ns)
    length = length.replace(" for", LASTED.get(kind, " for"))
    return Found(
        kind,
        source,
        # It is the cluster's.
        None if kind == LEADER_CHANGED else first.host,
        begin_unix_ns,
        end_unix_ns,
        parameters,
        short,
        what + length,
        min((record.noticed_unix_ns for record in records if record.noticed_unix_ns), default=None),
    )


def _injected(parameters: JsonObject) -> tuple[str, str, str]:
    said = f"{parameters.get('do')} on {parameters.get('on')}"
    what = f"{said}: the run's own fault, bench_faults[{parameters.get('number')}]"
    return INJECTED, said.replace(" on ", " "), what


def _told(kind: str, who: str, parameters: JsonObject) -> tuple[str, str, str]:
    """Return an event's source, how it is called in a chart, and what it says but for how long."""
    get = parameters.get
    several = connections(get(CONNECTIONS) or 1)
    lost = "" if get(CONNECTED, True) else " (the connection was lost)"
    told = {
        NATS_SILENT: (
            OBSERVER,
            "NATS silent",
            f"{who} heard nothing from NATS at {get('server')}{lost}",
        ),
        STREAM_SILENT: (
            OBSERVER,
            "stream silent",
            f"{who} got no ack from {get('stream')}, though NATS answered",
        ),
        RELAY_SILENT: (
            OBSERVER,
            "relay silent",
            f"{who} heard nothing from the relay at {get('url')}{lost}",
        ),
        NATS_RECONNECTED: (
            AGENT,
            "NATS lost",
            f"{who} lost {_connections(parameters)} to NATS at {get('server')} ({get('cause')})",
        ),
        RELAY_RECONNECTED: (
            AGENT,
            "relay lost",
            f"{who} lost {_connections(parameters)} to the relay at {get('url')} ({get('cause')})",
        ),
        NATS_RESTARTED: (SERVER, "NATS restarted", "NATS was restarted"),
        LEADER_CHANGED: (
            SERVER,
            "new leader",
            f"{get('leader')} leads the stream in place of {get('before')}",
        ),
        DURABLES_PAUSED: (
            SERVER,
            "durables paused",
            f"somebody paused durables of {get('stream')}"
            + (f", {get('durables')} at a time at most," if get("durables") else ""),
        ),
        CUT_OFF: (SERVER, "slow consumers", f"NATS cut off slow consumers{several}"),
        AGENT_PAUSED: (
            AGENT,
            f"{get('agent')} paused",
            f"{who} did not run (stopped, swapped out, or without a processor)",
        ),
        READER_BLOCKED: (OBSERVER, "reader blocked", f"{get('reader')} took nothing from {who}"),
        FRAME_UNDECODABLE: (OBSERVER, "malformed frame", _undecodable(who, parameters)),
        STREAM_LOST: (
            OBSERVER,
            "stream lost",
            (
                f"{who} had {_many(get('to_replay'), 'event|events')} of a lost stream to publish "
                f"again"
            ),
        ),
        CURSOR_LOST: (
            AGENT,
            "cursor lost",
            f"{who} found no cursor in NATS ({get('why')}); its account has {get('cursor')}",
        ),
        DURABLES_MADE_AGAIN: (
            OBSERVER,
            "durables recreated",
            f"{who} had {_many(get('durables'), 'durable|durables')} of a lost stream to make again"
            if get("durables") != 0
            # Ordered consumers have none.
            else f"{who} began again with a stream that was made again",
        ),
    }
    return told.get(kind, (OBSERVER, kind.replace("_", " "), f"{who} noted {kind}"))


def _many(count: object, words: str) -> str:
    return f"{count} {agreeing(count, words)}"


def _connections(parameters: JsonObject) -> str:
    count = parameters.get(CONNECTIONS) or 1
    return f"{count} connections" if count > 1 else "its connection"


def _undecodable(who: str, parameters: JsonObject) -> str:
    seq, size_bytes, file = (parameters.get(name) for name in ("seq", "bytes", "file"))
    where = f"after seq {parameters.get('after_seq')}" if seq is None else f"with seq {seq}"
    size = "" if size_bytes is None else f" of {_many(size_bytes, 'byte|bytes')}"
    kept = "" if file is None else f"; {file} has its bytes"
    return f"{who} got a frame{size} {where} that {parameters.get('cause')}{kept}"


def relay_silences(bundle: Bundle, noticed: list[Found]) -> Iterator[Found]:
    """Iterate over stretches without an event from the relay, unless nothing at all came."""
    spec = bundle.spec
    silences = relay_silence.find(bundle, Window(spec.t0_unix_ns, spec.offer_until_unix_ns))
    heard_nothing = [
        (found.begin_unix_ns, found.end_unix_ns or until_unix_ns)
        for found in noticed
        if found.kind == RELAY_SILENT and found.parameters["agent"] == "shuffler"
        for until_unix_ns in [spec.end_unix_ns]
    ]
    host = next((part.host for part in bundle.parts("shuffler")), None)
    for since, until in silences.stretches if silences is not None else ():
        known_ns = sum(
            max(0, min(until, heard_until) - max(since, heard_since))
            for heard_since, heard_until in heard_nothing
        )
        if 2 * known_ns > until - since:
            continue
        parameters = {"agent": "shuffler", "url": spec.firehose.relay_url}
        what = "the shuffler got no event from the relay" + how_long(
            since, until, spec.offer_until_unix_ns
        )
        yield Found(RELAY_SILENT, OBSERVER, host, since, until, parameters, "no events", what)
