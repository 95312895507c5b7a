"""What happened in a run beside its load: silences, pauses, reconnects, deaths, set clocks.

Silences and pauses are known with begin and end from what agents noticed while they ran. The rest
is out of the samples that a bundle has, and as late as the sample that shows it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import msgspec

from fpaas.bundle import playbook_events, relay_silence, restarts
from fpaas.bundle.bundle import AgentSample, Bundle, HostPart, JsonObject, cumulative
from fpaas.measures.figures import Window
from fpaas.records.events import (
    AGENT_PAUSED,
    AGENT_RESTARTED,
    DURABLES_MADE_AGAIN,
    FAULT,
    FRAME_UNDECODABLE,
    NATS_SILENT,
    READER_BLOCKED,
    RELAY_SILENT,
    STREAM_LOST,
    EventRecord,
)
from fpaas.records.nats import Varz
from fpaas.records.probe import AGENT as PROBE
from fpaas.records.status import State, in_words
from fpaas.records.summary import Event
from fpaas.spec import NS_PER_S

NATS_RECONNECTED = "nats_reconnected"
RELAY_RECONNECTED = "relay_reconnected"
NATS_RESTARTED = "nats_restarted"
LEADER_CHANGED = "leader_changed"
AGENT_DIED = "agent_died"
WORKER_DIED = "worker_died"
CLOCK_SET = "clock_set"

#: Who says so: an agent of itself, a NATS server of itself, one who watches another.
AGENT, SERVER, OBSERVER = "agent", "server", "observer"
#: What the run did to itself.
INJECTED = "fault"

CONSUMERS = "consumers"
#: A parameter of silences: whether the connection stayed up all the while.
CONNECTED = "connected"
#: Samples of NATS are so far apart.
SAMPLES_APART_NS = 5 * NS_PER_S
#: Whoever saw no end of a silence, and was itself gone so soon after it, cannot have.
LOOKED_AGAIN_NS = 2 * NS_PER_S
DECIMALS = 3


class _Found(NamedTuple):
    kind: str
    source: str
    host: str | None
    begin_unix_ns: int
    end_unix_ns: int | None
    parameters: dict[str, Any]
    short: str
    what: str
    noticed_unix_ns: int | None = None


def find(bundle: Bundle, clock: JsonObject) -> list[Event]:
    """Return the events of a run in order; `clock` is that of summary.json.

    What was over before T0 is none: nothing was due. Of what a playbook did, all is.
    """
    noticed = list(_noticed(bundle))
    found = [
        *noticed,
        *_relay_silences(bundle, noticed),
        *_reconnects(bundle),
        *_servers(bundle, noticed),
        *_leaders(bundle),
        *_deaths(bundle),
        *_restarts(bundle),
        *_steps(clock),
    ]
    events = [_event(each, bundle.spec.t0_unix_ns) for each in found]
    events += playbook_events.find(bundle)
    return sorted(events, key=lambda event: (event.begin_s, event.kind, event.sentence))


def _event(found: _Found, t0_unix_ns: int) -> Event:
    def seconds(unix_ns: int) -> float:
        return round((unix_ns - t0_unix_ns) / NS_PER_S, DECIMALS)

    begin_s = seconds(found.begin_unix_ns)
    end_s = None if found.end_unix_ns is None else seconds(found.end_unix_ns)
    what = found.what if found.host is None else f"{found.host}: {found.what}"
    return Event(
        kind=found.kind,
        source=found.source,
        host=found.host,
        begin_s=begin_s,
        end_s=end_s,
        parameters=found.parameters,
        sentence=what,
        at_s=begin_s,
        short=found.short,
        noticed_s=None if found.noticed_unix_ns is None else seconds(found.noticed_unix_ns),
    )


# -- what agents noticed -------------------------------------------------------------------------


class _Seen(NamedTuple):
    """A record, and who wrote it; `worker` is None but for consumers workers."""

    host: str
    agent: str
    worker: int | None
    record: EventRecord


def _noticed(bundle: Bundle) -> Iterator[_Found]:
    """Iterate over what agents noticed; what workers of a host saw alike is one event."""
    alike: defaultdict[tuple[object, ...], list[_Seen]] = defaultdict(list)
    for seen in _seen(bundle):
        record = seen.record
        if record.kind == RELAY_SILENT:
            begin_unix_ns, end_unix_ns = record.begin_unix_ns, record.end_unix_ns
            # Of a run that ended early nobody knows how the silence went on.
            until_unix_ns = end_unix_ns or _last_sign(bundle.hosts[seen.host], seen.agent, 0)
            due = relay_silence.while_due(bundle.spec, (begin_unix_ns, until_unix_ns))
            if due is None:
                continue
            if due[1] == bundle.spec.offer_until_unix_ns:
                record = msgspec.structs.replace(record, end_unix_ns=due[1])
        elif record.kind == NATS_SILENT and record.end_unix_ns is None:
            end_unix_ns = _heard_again(bundle, seen)
            record = msgspec.structs.replace(record, end_unix_ns=end_unix_ns)
        if record.end_unix_ns is None or record.end_unix_ns >= bundle.spec.t0_unix_ns:
            whom = sorted(_whom(record).items())
            alike[seen.host, seen.agent, record.kind, *whom].append(seen._replace(record=record))
    for group in alike.values():
        for stretch in _stretches(group):
            yield _merged(stretch, bundle.spec.offer_until_unix_ns)


def _seen(bundle: Bundle) -> Iterator[_Seen]:
    for part in bundle.hosts.values():
        for name, records in part.events.items():
            for record in records:
                # Told with what is known of the one before.
                if record.kind != AGENT_RESTARTED:
                    yield _Seen(part.host, name, None, record)
        for worker in part.workers:
            for record in worker.events:
                yield _Seen(part.host, CONSUMERS, worker.worker, record)


def _heard_again(bundle: Bundle, seen: _Seen) -> int | None:
    """Return when others heard a server again of which one who was gone by then saw no end."""
    record, part = seen.record, bundle.hosts[seen.host]
    status = part.statuses.get(seen.agent)
    last_sign_unix_ns = _last_sign(part, seen.agent, 0 if status is None else status.unix_ns)
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
    """Return the parameters that say whom an event is about."""
    return {name: value for name, value in record.parameters.items() if name != CONNECTED}


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


def _merged(stretch: list[_Seen], offer_until_unix_ns: int) -> _Found:
    """Make one event, from the earliest begin to the latest end that somebody saw."""
    first = stretch[0]
    records = [seen.record for seen in stretch]
    begin_unix_ns = min(record.begin_unix_ns for record in records)
    ends = [record.end_unix_ns for record in records if record.end_unix_ns is not None]
    # As long as one of them still saw it, it had not ended.
    end_unix_ns = max(ends) if len(ends) == len(records) else None
    workers = sorted({seen.worker for seen in stretch if seen.worker is not None})
    parameters = {"agent": first.agent, **_whom(first.record)}
    if workers:
        parameters["workers"] = workers
    if CONNECTED in first.record.parameters:
        parameters[CONNECTED] = all(record.parameters.get(CONNECTED) for record in records)
    kind = first.record.kind
    firehose_end_unix_ns = offer_until_unix_ns if kind == RELAY_SILENT else None
    if kind == FAULT:
        source, short, what = _injected(parameters)
    else:
        source, short, what = _told(kind, in_words(first.agent, workers), parameters)
    return _Found(
        kind,
        source,
        first.host,
        begin_unix_ns,
        end_unix_ns,
        parameters,
        short,
        what + _how_long(begin_unix_ns, end_unix_ns, firehose_end_unix_ns),
        min((record.noticed_unix_ns for record in records if record.noticed_unix_ns), default=None),
    )


def _injected(parameters: JsonObject) -> tuple[str, str, str]:
    said = f"{parameters.get('do')} on {parameters.get('on')}"
    what = f"{said}: the run's own fault, bench_faults[{parameters.get('number')}]"
    return INJECTED, said.replace(" on ", " "), what


def _told(kind: str, who: str, parameters: JsonObject) -> tuple[str, str, str]:
    """Return an event's source, how it is called in a chart, and what it says but for how long."""
    get = parameters.get
    lost = "" if get(CONNECTED, True) else " (the connection was lost)"
    told = {
        NATS_SILENT: (
            OBSERVER,
            "NATS silent",
            f"{who} heard nothing from NATS at {get('server')}{lost}",
        ),
        RELAY_SILENT: (
            OBSERVER,
            "relay silent",
            f"{who} heard nothing from the relay at {get('url')}{lost}",
        ),
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
            f"{who} had {get('to_replay')} events of a lost stream to publish again",
        ),
        DURABLES_MADE_AGAIN: (
            OBSERVER,
            "durables made again",
            f"{who} had {get('durables')} durables of a lost stream to make again",
        ),
    }
    return told.get(kind, (OBSERVER, kind.replace("_", " "), f"{who} noted {kind}"))


def _undecodable(who: str, parameters: JsonObject) -> str:
    seq, size_bytes, file = (parameters.get(name) for name in ("seq", "bytes", "file"))
    where = f"after seq {parameters.get('after_seq')}" if seq is None else f"with seq {seq}"
    size = "" if size_bytes is None else f" of {size_bytes} bytes"
    kept = "" if file is None else f"; {file} has its bytes"
    return f"{who} got a frame{size} {where} that {parameters.get('cause')}{kept}"


def _how_long(
    begin_unix_ns: int, end_unix_ns: int | None, firehose_end_unix_ns: int | None = None
) -> str:
    if end_unix_ns is None:
        return " from then on"
    # Whether it ended then is not known: from then on nothing was due.
    if end_unix_ns == firehose_end_unix_ns:
        return " until the firehose's end"
    if end_unix_ns == begin_unix_ns:
        return ""
    return f" for {(end_unix_ns - begin_unix_ns) / NS_PER_S:.1f} s"


def _relay_silences(bundle: Bundle, noticed: list[_Found]) -> Iterator[_Found]:
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
        what = "the shuffler got no event from the relay" + _how_long(
            since, until, spec.offer_until_unix_ns
        )
        yield _Found(RELAY_SILENT, OBSERVER, host, since, until, parameters, "no events", what)


# -- what samples show ---------------------------------------------------------------------------


def _reconnects(bundle: Bundle) -> Iterator[_Found]:
    for part in bundle.parts("shuffler"):
        for name, kind, whom in (
            ("nats_connects", NATS_RECONNECTED, "NATS"),
            ("relay_connects", RELAY_RECONNECTED, "the relay"),
        ):
            # The first connect is no event.
            for unix_ns, count in _growth(part.shuffler_samples, name, 1):
                parameters = {"agent": "shuffler", "connections": count}
                what = f"the shuffler connected to {whom} again{_times(count)}"
                yield _Found(
                    kind, AGENT, part.host, unix_ns, unix_ns, parameters, "reconnect", what
                )
    for part, worker in bundle.workers:
        for unix_ns, count in _growth(worker.samples, "reconnects", 0):
            parameters = {"agent": CONSUMERS, "workers": [worker.worker], "connections": count}
            what = f"consumers worker {worker.worker} reconnected{_times(count)}"
            yield _Found(
                NATS_RECONNECTED, AGENT, part.host, unix_ns, unix_ns, parameters, "reconnect", what
            )


def _times(count: int) -> str:
    return f", {count} connections" if count > 1 else ""


def _growth(samples: Sequence[AgentSample], name: str, start: int) -> Iterator[tuple[int, int]]:
    """Iterate over (when, by how much) of a counter's growth beyond `start`."""
    highest = start
    for unix_ns, value in cumulative(samples, name):
        if value > highest:
            yield unix_ns, int(value) - highest
            highest = int(value)


def _servers(bundle: Bundle, noticed: list[_Found]) -> Iterator[_Found]:
    for part in bundle.parts("nats"):
        seen_better = [
            found
            for found in noticed
            if (found.kind, found.host, found.parameters["agent"])
            == (NATS_SILENT, part.host, PROBE)
        ]
        for silence in _unanswered(part):
            if not any(_overlap(silence, found) for found in seen_better):
                yield silence
        server = None
        for unix_ns, varz in _varz(part):
            if varz is None:
                continue
            if server is not None and varz.server_id != server:
                what = "NATS had been started again"
                yield _Found(
                    NATS_RESTARTED, SERVER, part.host, unix_ns, unix_ns, {}, "NATS restarted", what
                )
            server = varz.server_id


def _unanswered(part: HostPart) -> Iterator[_Found]:
    """Iterate over stretches of samples that NATS's monitoring port did not answer."""
    has_answered = False
    since_unix_ns: int | None = None

    def silence(until_unix_ns: int | None) -> _Found:
        assert since_unix_ns is not None  # noqa: S101
        what = "NATS did not answer its monitoring port" + _how_long(since_unix_ns, until_unix_ns)
        parameters = {"agent": PROBE, "asked": "monitoring"}
        return _Found(
            NATS_SILENT,
            OBSERVER,
            part.host,
            since_unix_ns,
            until_unix_ns,
            parameters,
            "NATS silent",
            what,
        )

    for unix_ns, varz in _varz(part):
        if varz is None:
            if has_answered and since_unix_ns is None:
                since_unix_ns = unix_ns
            continue
        if since_unix_ns is not None:
            yield silence(unix_ns)
        has_answered, since_unix_ns = True, None
    if since_unix_ns is not None:
        yield silence(None)


def _varz(part: HostPart) -> Iterator[tuple[int, Varz | None]]:
    for sample in part.nats_samples:
        yield sample.unix_ns, sample.varz


def _overlap(one: _Found, other: _Found) -> bool:
    """Whether two stretches are of the same time, samples being seconds apart."""
    first, second = sorted((one, other), key=lambda found: found.begin_unix_ns)
    if first.end_unix_ns is None:
        return True
    return second.begin_unix_ns <= first.end_unix_ns + SAMPLES_APART_NS


def _leaders(bundle: Bundle) -> Iterator[_Found]:
    samples = [sample for part in bundle.parts("nats") for sample in part.nats_samples]
    leader = None
    for sample in sorted(samples, key=lambda sample: sample.unix_ns):
        now = sample.leader
        if now is None:
            continue
        if leader is not None and now != leader:
            parameters = {"leader": now, "before": leader}
            what = f"{now} leads the stream in place of {leader}"
            at = sample.unix_ns
            yield _Found(LEADER_CHANGED, SERVER, None, at, at, parameters, "new leader", what)
        leader = now


def _deaths(bundle: Bundle) -> Iterator[_Found]:
    for part in bundle.hosts.values():
        for status in part.statuses.values():
            if status.state == State.DONE:
                continue
            what = {State.FAILED: "failed", State.STOPPED: "was stopped"}.get(status.state, "died")
            yield _Found(
                AGENT_DIED,
                OBSERVER,
                part.host,
                min(_last_sign(part, status.agent, status.unix_ns), bundle.spec.settled_unix_ns),
                None,
                {"agent": status.agent, "state": status.state},
                f"{status.agent} {what}",
                f"{in_words(status.agent)} {what}",
            )
    for part, worker in bundle.workers:
        agent = part.statuses.get(CONSUMERS)
        # Workers go with their agent.
        has_agent = agent is not None and agent.state in (State.DONE, State.FAILED, State.STOPPED)
        if worker.was_killed and has_agent:
            at_unix_ns = worker.last_sign_unix_ns or bundle.spec.t0_unix_ns
            parameters = {"agent": CONSUMERS, "workers": [worker.worker]}
            what = f"{in_words(CONSUMERS, [worker.worker])} died"
            short = f"worker {worker.worker} died"
            yield _Found(
                WORKER_DIED, OBSERVER, part.host, at_unix_ns, None, parameters, short, what
            )


def _restarts(bundle: Bundle) -> Iterator[_Found]:
    for one in restarts.find(bundle):
        parameters: dict[str, Any] = {"agent": one.agent, "exact": one.is_exact}
        if one.workers:
            parameters["workers"] = one.workers
        who = in_words(one.agent, one.workers)
        if one.end_unix_ns is None:
            what = f"{who} ended and was started again, and did not serve from then on"
        else:
            up_to = "" if one.is_exact else "up to "
            gone_s = (one.end_unix_ns - one.begin_unix_ns) / NS_PER_S
            what = f"{who} ended, was started again, and served nobody for {up_to}{gone_s:.1f} s"
        short = f"{one.agent} restarted"
        yield _Found(
            AGENT_RESTARTED,
            OBSERVER,
            one.host,
            one.begin_unix_ns,
            one.end_unix_ns,
            parameters,
            short,
            what,
            one.noticed_unix_ns,
        )


def _last_sign(part: HostPart, name: str, status_unix_ns: int) -> int:
    """Return when an agent was last heard of."""
    return max([status_unix_ns, *part.last_samples(name)])


def _steps(clock: JsonObject) -> Iterator[_Found]:
    for host, one in clock.items():
        for step in one.get("steps") or ():
            what = f"the clock was set by {step['step_ms']:+.1f} ms"
            at, parameters = step["unix_ns"], {"step_ms": step["step_ms"]}
            yield _Found(CLOCK_SET, OBSERVER, host, at, at, parameters, "clock set", what)
