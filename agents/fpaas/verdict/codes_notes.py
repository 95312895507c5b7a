"""Codes of notes: what is worth knowing of a run beside its goals."""

from __future__ import annotations

from fpaas.agreement import agreeing, count_of
from fpaas.consumers import ordering
from fpaas.ledger import lost_streams
from fpaas.records.events import NATS_SILENT, RELAY_SILENT, STREAM_SILENT
from fpaas.records.status import in_words
from fpaas.verdict import standstills
from fpaas.verdict.code import (
    AS_SET,
    BY_ITSELF,
    NOTE,
    OF_CLASS,
    OVERLOAD,
    WINDOW,
    Code,
    Parameters,
    between,
    by_itself,
    causes,
    counted,
    of_class,
)

MADE_AGAIN = {
    ordering.GAP: "for a missing delivery",
    ordering.SILENCE: "for missing heartbeats",
    ordering.CONNECTION: "with a new connection",
    ordering.STATUS: "missing at the server",
}
LOST_WITH_STREAM = {
    lost_streams.MAX_AGE: "had reached the stream's maximum age when it was made again",
    lost_streams.NOT_REPLAYED: "not published again by the relay's or the run's end",
    lost_streams.IN_DELIVERY: "on the way to consumers",
}


def _consumers_ordered(p: Parameters) -> str:
    count = sum(p["by_cause"].values())
    made = count_of(count, "was made again|were made again")
    again = f"{made}{causes(p['by_cause'], MADE_AGAIN)}"
    return (
        "ordered consumers acknowledge nothing, so figures of acks are null; "
        f"{again if count else 'none had to be made again'}."
    )


def _relay_gaps(p: Parameters) -> str:
    missing = "some events" if p["missing"] is None else count_of(p["missing"], "event|events")
    gaps = "a gap" if p["count"] == 1 else f"{p['count']} gaps"
    return f"the relay {p['relay_url']} left out {missing}, in {gaps}"


def _stream_recreated(p: Parameters) -> str:
    times = "" if p["streams"] == 1 else f" {p['streams']} times"
    rewound = (
        "nothing in it was missing anywhere"
        if p["rewound_to_seq"] is None
        else f"the relay was read again from seq {p['rewound_to_seq']} on, and "
        f"{count_of(p['replayed'], 'event was|events were')} published again"
    )
    served = (
        ""
        if p["served_again_s"] is None or p["lost_s"] is None
        else f"; the last consumer was served again after {p['served_again_s'] - p['lost_s']:.1f} s"
    )
    why = causes(p["lost_by_cause"], LOST_WITH_STREAM)
    odd = p["by_itself"]
    without_server = (
        f" ({count_of(odd, 'time|times')} though its server had not ended)" if odd else ""
    )
    return (
        f"the stream was lost and made again{times}{without_server}; {rewound}; "
        f"{count_of(p['lost'], 'delivery was|deliveries were')} lost with it{why}; "
        f"{count_of(p['repeats'], 'was a repeat|were repeats')}{served}"
    )


def _acked_restored(p: Parameters) -> str:
    forgot = count_of(p["count"], "acked message|acked messages")
    return f"NATS forgot {forgot} when it ended; the shuffler put all of them back in their places"


def _unread_as_planned(p: Parameters) -> str:
    share_pct = p["share_pct"]
    stays = "most" if share_pct < 50 else "some"
    note = (
        f"{of_class(p)}as planned, {stays} stays unread: a consumer is owed "
        f"{p['owed_per_s']:.4g} messages/s and its polls take at most {p['batch_size']} every "
        f"{p['poll_interval_s']:g} s = {p['capacity_per_s']:.3g}/s, {share_pct:.2g} % of that"
    )
    if p["measured_unread_pct"] is not None:
        note += (
            f"; planned {p['planned_unread_pct']:.1f} % unread in this run, measured "
            f"{p['measured_unread_pct']:.1f} % (of {counted(p['owed'])} owed, "
            f"{counted(p['expired'])} expired and "
            f"{count_of(p['pending'], 'was|were')} pending at the end)"
        )
    return f"{note}. This is not a failure." if p["nothing_lost"] else f"{note}."


def _relay_clock_off(p: Parameters) -> str:
    side = "ahead of" if p["lag_s"] < 0 else "behind"
    return (
        f"the times in the events of the relay {p['relay_url']} are {abs(p['lag_s']):,.0f} s "
        f"{side} the clock of who read them (median)"
    )


def _workers_restarted(p: Parameters) -> str:
    workers = agreeing(
        p["count"], "worker ended in the run and was|workers ended in the run and were"
    )
    whose = agreeing(p["count"], "its|their")
    return (
        f"{p['count']} consumers {workers} started again{by_itself(p)}; others went on with "
        f"{whose} durables, and polls that fell due meanwhile were not made"
    )


def _consumers_without_poll(p: Parameters) -> str:
    of = count_of(p["of"], "consumer|consumers")
    return (
        f"{of_class(p)}{counted(p['count'])} of {of} fetched nothing: with a poll every "
        f"{p['poll_interval_s']:g} s the run is too short to guarantee each one a poll that finds "
        "messages."
    )


def _reader_blocked(p: Parameters) -> str:
    said = f"the shuffler's socket accepted no frames from the relay for {p['seconds']:.1f} s"
    if p["blocked_from_s"] is not None:
        blocked = between(p["blocked_from_s"], p["blocked_until_s"])
        said = f"{said} of the window, at the longest {blocked}"
    if p["cause"] is None:
        return f"{said}; the relay is not to blame for what was late because of it."
    who = "NATS did not answer" if p["cause"] == "nats_silent" else "the shuffler did not run"
    return f"{said}: {who} {between(p['begin_s'], p['end_s'])}."


def _redelivered(p: Parameters) -> str:
    made_again = ", also as a stream was made again" if p["streams_lost"] else ""
    return (
        f"NATS called {count_of(p['count'], 'delivery a repeat|deliveries repeats')}; "
        f"{count_of(p['duplicates'], 'was of a message|were of messages')} that the same consumer "
        f"had received{made_again}."
    )


#: Phases of a run, as a sentence names them.
_PHASES = {
    standstills.LEAD: "before the load began",
    standstills.WARMUP: "in the warm-up",
    standstills.WINDOW: "in the measured window",
    standstills.DRAIN: "in the drain",
    standstills.AFTER: "after the run's end",
}


def _stood_still(p: Parameters) -> str:
    who = in_words(p["part"], p["workers"])
    did = {
        NATS_SILENT: "NATS did not answer",
        STREAM_SILENT: "the stream took nothing, though NATS answered,",
        RELAY_SILENT: "no event came from the relay",
    }.get(p["kind"], f"{who} did not run")
    seen = f" (noticed on {', '.join(p['hosts'])})" if len(p["hosts"]) > 1 else ""
    *phases, last = [_PHASES[phase] for phase in p["phases"]]
    where = f"{', '.join(phases)} and {last}" if phases else last
    if not p["holds_up"]:
        then = "no measured part waits for it, but its own work was not done in that time"
    elif standstills.WINDOW in p["phases"]:
        then = "calls that waited for it are in the window's latencies and rates"
    elif standstills.DRAIN in p["phases"] or standstills.AFTER in p["phases"]:
        then = (
            "in the window's figures it shows in calls that were still open at the window's end, "
        )
        then += "and in ages of messages that came later, or never"
    else:
        then = "calls that fell due then are not in the window's latencies, but work that was "
        then += "caught up in the window is in its rates"
    said = f"{did} {between(p['begin_s'], p['end_s'])}{seen}, {where}; {then}"
    if p["pending_at_end"]:
        said += (
            "; anything that consumers could not fetch because of it is among the "
            f"{count_of(p['pending_at_end'], 'delivery|deliveries')} pending at the end"
        )
    return f"{said}."


def _how_long(seconds: float) -> str:
    """Write a length of time in a unit that suits it."""
    for name, length_s in (("days", 86_400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * length_s:
            return f"{seconds / length_s:,.1f} {name}"
    return f"{seconds:.1f} s"


CODES: dict[str, Code] = {
    "nats_died_outlived": Code(
        NOTE,
        lambda p: (
            f"NATS failed during the run and did not come back{by_itself(p)}; the cluster went on."
        ),
        "A server of a cluster ended, and the stream's other replicas survived.",
        "Read nats.log on that host.",
        BY_ITSELF,
    ),
    "nats_restarted_outlived": Code(
        NOTE,
        lambda p: (
            f"NATS restarted during the run ({', then '.join(p['lives'])}){by_itself(p)}; the "
            "cluster went on in the meantime."
        ),
        "A server of a cluster ended and came back; the stream's other replicas survived.",
        "Read nats.log on that host.",
        {"lives": "server ids, each with its start", **BY_ITSELF},
    ),
    "nats_restarted_recovered": Code(
        NOTE,
        lambda p: (
            f"NATS restarted during the run ({', then '.join(p['lives'])}){by_itself(p)}; the run "
            "went on, and accounts for everything."
        ),
        "A NATS server ended and came back. Its stream outlived it, or was made again.",
        "Read nats.log on that host; summary.json's recovery says what it cost.",
        {"lives": "server ids, each with its start", **BY_ITSELF},
    ),
    "shuffler_restarted": Code(
        NOTE,
        lambda p: (
            f"the shuffler was killed and started again {count_of(p['times'], 'time|times')}"
            f"{by_itself(p)}; it resumed where it had left off"
        ),
        "The shuffler's process was killed in the run. The service manager started it again, and "
        "it went on with the account and from the relay's seq that the one before had left.",
        "Read shuffler.log on its host.",
        {"times": "how often it was started again", **BY_ITSELF},
    ),
    "relay_restarted": Code(
        NOTE,
        lambda p: (
            f"the relay ended and was started again {count_of(p['times'], 'time|times')}"
            f"{by_itself(p)}; it went on by its schedule"
        ),
        "The relay's process ended in the run, and was started again. Frames that fell due "
        "meanwhile were sent late, or replayed.",
        "Read relay.log on its host.",
        {"times": "how often it was started again", **BY_ITSELF},
    ),
    "workers_restarted": Code(
        NOTE,
        _workers_restarted,
        "A process full of consumers died in the run, and was started again. What it received "
        "in its last second is known from the server; messages that it had not acknowledged came "
        "again.",
        "Read consumers.log on its host.",
        {"count": "processes", **BY_ITSELF},
    ),
    "stream_recreated": Code(
        NOTE,
        _stream_recreated,
        "The stream was lost, with its server or by somebody's hand. It was made again with "
        "the same settings, and so were its durables. The relay was read again from the first "
        "event that some consumer did not have.",
        "Expect this of a stream in memory. bench_stream_storage=file outlives its server's "
        "process, three NATS hosts and bench_stream_replicas=3 outlive a host.",
        {
            "streams": "how many were lost",
            "rewound_to_seq": "the relay's seq, None: nothing was missing",
            "replayed": "events",
            "lost": "deliveries",
            "lost_by_cause": "deliveries by cause",
            "repeats": "deliveries",
            "by_itself": "how often though its server had not ended",
            "lost_s": "seconds since T0",
            "served_again_s": "seconds since T0, None: not known",
        },
    ),
    "acked_restored": Code(
        NOTE,
        _acked_restored,
        "NATS was killed, or its host lost power, before acked messages were on the disk. The "
        "shuffler read them from the relay again and published them before anything else.",
        "Expect this of bench_stream_persist_mode=async, and of bench_sync_interval_s if a host "
        "loses power. bench_sync_interval_s=0 keeps all that was acked.",
        {"count": "messages"},
    ),
    "window_trimmed": Code(
        NOTE,
        "figures are from {from_s:g} s to {until_s:g} s after the run's start: this report was "
        "asked for a warm-up of {warmup_s:g} s, and the run's own is {run_warmup_s:g} s",
        "Rates, latencies and resources are of another window than the run's own "
        "(`fpaas report --warmup-s`); the ledger is of the whole run.",
        "Nothing, if this is what you want; `fpaas report` without --warmup-s reports the run's "
        "own window.",
        WINDOW,
    ),
    "unread_as_planned": Code(
        NOTE,
        _unread_as_planned,
        "By the scenario's own parameters, consumers poll for less than they are owed.",
        OVERLOAD,
        {
            "owed_per_s": "messages/s per consumer",
            "capacity_per_s": "messages/s per consumer",
            "share_pct": "% of what is owed",
            "batch_size": "messages",
            "poll_interval_s": "s",
            "planned_unread_pct": "%",
            "measured_unread_pct": "%; null: not measured",
            "owed": "deliveries",
            "expired": "deliveries",
            "pending": "deliveries",
            "nothing_lost": "whether no delivery was lost",
            **OF_CLASS,
        },
    ),
    "consumers_without_poll": Code(
        NOTE,
        _consumers_without_poll,
        "In such a short run it is up to chance whether a consumer fetches anything.",
        "Set a longer bench_measure_s or a shorter bench_poll_interval_s.",
        {"count": "consumers", "of": "consumers", "poll_interval_s": "s", **OF_CLASS},
    ),
    "frames_left_out": Code(
        NOTE,
        "{count} {count:frame|frames} could not be decoded or {count:was|were} too large, and "
        "{count:is|are} left out.",
        "The relay sent malformed frames, or the connection damaged them. An event says what is "
        "wrong with each, and the first 64 KB of the first 16 are among the shuffler's files "
        "(shuffler.undecodable-01.bin and so on).",
        "Nothing, if they are few: bench_undecodable_max_frames is how many a run may have.",
        {"count": "frames"},
    ),
    "frames_bad_once": Code(
        NOTE,
        "{count} {count:frame|frames} could not be decoded or {count:was|were} too large, and did "
        "not "
        "come again.",
        "After the reconnect that each of them cost, the relay went on with good frames: they were "
        "damaged on the way, or are not events of the relay. They are not in the ledger.",
        "Look at what is between the relay and the shuffler, a proxy for example. "
        "bench_undecodable_max_frames is how many bad frames a run may have in all.",
        {"count": "frames"},
    ),
    "duplicates_rejected": Code(
        NOTE,
        "{count} {count:publish was|publishes were} already in the stream.",
        "NATS recognised these repeats by their id.",
        AS_SET,
        {"count": "publishes"},
    ),
    "redelivered": Code(
        NOTE,
        _redelivered,
        "NATS delivered again what was not acknowledged in time, or a stream that was made again "
        "has messages that the lost one had delivered. A consumer that did not receive the first "
        "delivery receives nothing twice.",
        "If there are many, set a longer bench_ack_wait_s.",
        {
            "count": "deliveries that NATS called repeats",
            "duplicates": "deliveries that the same consumer had received before",
            "streams_lost": "streams that were lost and made again; null: of an older version",
        },
    ),
    "messages_pushed": Code(
        NOTE,
        "bench_consumer_kind={kind}: messages were pushed to the consumers. There were no polls "
        "and no pulls, so figures of those are null or 0, and bench_poll_interval_s, "
        "bench_poll_jitter_pct, bench_batch_size and bench_fetch had no effect.",
        "Latencies of messages, the ledger and resources are measured as with polls.",
        AS_SET,
        {"kind": "bench_consumer_kind"},
    ),
    "consumers_ordered": Code(
        NOTE,
        _consumers_ordered,
        "An ordered consumer is made again, from after the last message that was received, if a "
        "delivery is missing, if heartbeats fail to come, or with a new connection.",
        AS_SET,
        {"by_cause": "how often consumers were made again, by cause"},
    ),
    "acks_not_asked": Code(
        NOTE,
        "bench_ack=none: consumers acknowledged nothing. It is not known which deliveries they "
        "processed, and what they did not receive was not sent again.",
        "The run's durables have no acks, so figures of acks are null.",
        AS_SET,
    ),
    "clock_off": Code(
        NOTE,
        lambda p: (
            f"its clock is {_how_long(abs(p['offset_ms']) / 1000)} "
            f"{'behind' if p['offset_ms'] > 0 else 'ahead of'} the NATS host's; it was told when "
            "to begin by its own clock, and all of its times are corrected."
        ),
        "A host's clock was off before the run. The lab measured by how much, and allows for it.",
        "Nothing for the lab. You may still want to synchronise it (chrony).",
        {"offset_ms": "ms, of the NATS host's clock minus this one's"},
    ),
    "processes_killed_for_memory": Code(
        NOTE,
        "its memory ran out, and the kernel killed {count} {count:process|processes} there; none "
        "of them ended the run",
        "A host's memory ran out in the run.",
        "See which process it was with `dmesg` on that host, and give it more memory.",
        {"count": "processes, of the lab or others"},
    ),
    "watching_ended": Code(
        NOTE,
        "{process} ended {at_s:.1f} s after the run's start ({times} {times:time|times} in all); "
        "the run's own figures do not depend on it",
        "Prometheus or Grafana ended in the run, so what they show of it has a gap.",
        "Read the journal of that unit on its host, or the log in the lab's directory.",
        {
            "process": "prometheus or grafana",
            "at_s": "s since T0, the first time",
            "times": "times",
        },
    ),
    "explained_by_fault": Code(
        NOTE,
        lambda p: (
            f"the run's own {agreeing(len(p['numbers']), 'fault|faults')} "
            f"{', '.join(f'bench_faults[{number}]' for number in p['numbers'])} caused: "
            f"{p['reason']}"
        ),
        "This would make the run invalid if the run itself had not caused it: the fault happened, "
        "was undone, and explains all of it.",
        "Nothing. What the fault cost is in summary.json under `faults`.",
        {"numbers": "places in bench_faults", "reason": "what it caused"},
    ),
    "fault_late": Code(
        NOTE,
        "bench_faults[{number}] ({do}) was begun {began_late_ms:.0f} ms and undone "
        "{ended_late_ms:.0f} ms later than planned",
        "The agent that executes faults had to wait for a processor, or for what the fault is on. "
        "The fault's figures count from when it really began and ended, not from the plan.",
        "If the time of the fault matters, give its host more processors or less other work.",
        {
            "number": "its place in bench_faults",
            "do": "",
            "began_late_ms": "ms",
            "ended_late_ms": "ms",
        },
    ),
    "relay_was_silent": Code(
        NOTE,
        "no event came from the relay {relay_url} for {longest:.1f} s at a stretch, {total:.1f} s "
        "in all; that is within the limit",
        "The relay was silent for a part of the window, but not long enough to make the run "
        "invalid.",
        "Look at the events for when. Rates are over the whole window, silence included.",
        {"longest": "s of the window", "total": "s of the window", "relay_url": ""},
    ),
    "relay_gaps": Code(
        NOTE,
        _relay_gaps,
        "The relay's sequence numbers, or the relay itself, say that events were never sent: it "
        "was away, or its backlog does not reach back far enough.",
        "No goal counts them, because nobody but the relay lost them. If its numbers say how many "
        "they are, the ledger has them in `not_read`. summary.json lists each under `relay`.",
        {
            "count": "gaps",
            "missing": "events; null: the relay's numbers do not tell",
            "relay_url": "",
        },
    ),
    "relay_sparse": Code(
        NOTE,
        "the relay {relay_url} left out {numbers} {numbers:number|numbers} at {count} "
        "{count:place|places} between its events; whether events are missing there cannot be told",
        "The relay leaves out sequence numbers as a matter of course, which it may, so they do not "
        "tell what was lost. `not_read` is null then.",
        "To know, read another relay of the same network at the same time.",
        {"numbers": "sequence numbers", "count": "places", "relay_url": ""},
    ),
    "relay_clock_off": Code(
        NOTE,
        _relay_clock_off,
        "The relay's clock is off, or it sends what happened at another time. No figure is taken "
        "from these times but `lag_s` and `lag_growth_s`.",
        "Nothing, if you play a recording; otherwise set the relay's clock, or the shuffler's.",
        {"lag_s": "s, negative: from the future", "relay_url": ""},
    ),
    "relay_renumbered": Code(
        NOTE,
        "the sequence numbers of the relay {relay_url} went back to new events {count} "
        "{count:time|times}; they were read on",
        "The relay renumbered its events. New ones were told apart from repeats by their contents.",
        "Nothing, unless you run that relay. What it sent while it changed may be missing.",
        {"count": "times", "relay_url": ""},
    ),
    "relay_reread": Code(
        NOTE,
        "the relay {relay_url} sent {count} {count:frame|frames} again that had been read; each "
        "was "
        "published once",
        "Relays may repeat the event that they are resumed from. More than one repeat for each "
        "connection means that the relay repeats itself.",
        "Nothing.",
        {"count": "frames", "relay_url": ""},
    ),
    "stood_still": Code(
        NOTE,
        _stood_still,
        "A part of the lab, or NATS, did not answer or did not run for a second or more. "
        "Latencies, rates and goals about them are of the measured window; the ledger is of the "
        "whole run.",
        "If it was in the window, the figures include its effects. In the drain, it kept consumers "
        "from what they were still owed: set a longer bench_drain_s, or run again.",
        {
            "kind": "of the event: nats_silent, stream_silent, relay_silent or agent_paused",
            "part": "nats, stream, relay, or the agent",
            "workers": "of the consumers, which of their workers; empty: not known, or none",
            "hosts": "where it was noticed",
            "begin_s": "s since T0",
            "end_s": "s since T0; null: to the run's end",
            "phases": f"of {', '.join(_PHASES)}: those that it had a part of",
            "pending_at_end": "deliveries; null: consumers were not kept from any, or not known",
            "holds_up": "whether the load waits for it",
        },
    ),
    "reader_blocked": Code(
        NOTE,
        _reader_blocked,
        "The relay could not hand over its frames because their reader took none. This is not the "
        "relay's own lateness.",
        "Look at what stalled: the events say when it began and ended.",
        {
            "seconds": "s of the measured window",
            "cause": "kind of an event at the same time, nats_silent or agent_paused; null: none",
            "begin_s": "of the cause, s since T0; null: no cause is known",
            "end_s": "of the cause, s since T0; null: to the run's end",
            "blocked_from_s": "of the longest block, s since T0; null: none took a second",
            "blocked_until_s": "of the longest block, s since T0; null: to the run's end",
        },
    ),
}
