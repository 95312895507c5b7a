"""What happened in a run beside its load: silences, pauses, lost connections, deaths, set clocks.

Most of it is known with begin and end from what agents noted while they ran.
"""

from __future__ import annotations

from fpaas.bundle import older_events, playbook_events
from fpaas.bundle.bundle import Bundle
from fpaas.bundle.found_event import Found, seconds_since
from fpaas.bundle.noticed_events import noticed, relay_silences
from fpaas.bundle.parts import JsonObject
from fpaas.bundle.sampled_events import agent_restarts, deaths, steps, unanswered
from fpaas.records.summary import Event
from fpaas.spec.run_spec import EVENT_LOG


def find(bundle: Bundle, clock: JsonObject) -> list[Event]:
    """Return the events of a run in order; `clock` is that of summary.json.

    Nothing that was over before T0 counts, because nothing was due, except what a playbook did.
    """
    by_agents = list(noticed(bundle))
    found = [
        *by_agents,
        *relay_silences(bundle, by_agents),
        *unanswered(bundle, by_agents),
        *deaths(bundle),
        *agent_restarts(bundle),
        *steps(clock),
    ]
    if bundle.spec.event_log < EVENT_LOG:
        found += older_events.find(bundle)
    events = [_event(each, bundle.spec.t0_unix_ns) for each in found]
    events += playbook_events.find(bundle)
    return sorted(events, key=lambda event: (event.begin_s, event.kind, event.sentence))


def _event(found: Found, t0_unix_ns: int) -> Event:
    def seconds(unix_ns: int) -> float:
        return seconds_since(t0_unix_ns, unix_ns)

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
