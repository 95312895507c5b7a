"""Codes of missed goals, of their causes, and of notes."""

from __future__ import annotations

from fpaas.latency.lower_bounds import marked
from fpaas.ledger import durable_account, ledger, lost_streams
from fpaas.records.events import NATS_SILENT, RELAY_SILENT
from fpaas.records.status import in_words
from fpaas.verdict import goals, standstills
from fpaas.verdict.code import (
    FAIL,
    NOTE,
    OWN_WINDOW,
    WINDOW,
    Code,
    Parameters,
    between,
    causes,
    counted,
    of_own_window,
)

NOT_READ = {
    ledger.DROPPED: "vanished in transit, between frames that were read",
    ledger.BEFORE_FIRST: "fell due before the shuffler read its first frame",
    ledger.AFTER_LAST: "fell due after the last frame that the shuffler read",
    ledger.SHUFFLER_DIED: "are neither in the killed shuffler's account nor in the stream",
    ledger.RELAY_DIED: "were offered by the relay before it died, after the last one that was read",
}
LOST = {
    durable_account.NOT_RECEIVED: "were sent by the server, received by nobody, and expired before "
    "they could be sent again",
    durable_account.NOT_REPEATED: "were sent by the server, received by nobody, and never again: "
    "bench_ack has no ack for each",
    durable_account.AGENT_DIED: "were sent to a consumer that was killed (it may have received "
    "them), and are gone",
    durable_account.REMOVED: "were removed from the stream by somebody, before their age or the "
    "stream's size required it",
    durable_account.MAX_DELIVER: "were sent as often as their class allows, and received by nobody",
    durable_account.STREAM_LOST: "were in the stream when it was lost with its server",
}
LOST_WITH_STREAM = {
    lost_streams.MAX_AGE: "had reached the stream's maximum age when it was made again",
    lost_streams.NOT_REPLAYED: "were not published again, by the relay's or the run's end",
    lost_streams.IN_DELIVERY: "were on their way to consumers",
}

_LEDGER = "See the ledger in the report for the causes."
_OVERLOAD = (
    "Use bench_fetch=drain, which reads until empty; or fewer frames, larger batches or a shorter "
    "poll interval."
)
_AS_SET = "Nothing, if this is what you want; otherwise change the parameters that it names."


#: Of reasons that may be about one class of a mix only.
_CONSUMERS = {"consumers": "class of a mix; missing: all consumers"}


def _of_class(p: Parameters) -> str:
    return f"{p['consumers']}: " if p.get("consumers") else ""


def _goal_missed(p: Parameters) -> str:
    figure = goals.figure_of(p["goal"])
    meaning, unit = (figure.meaning, figure.unit) if figure else (p["goal"], "")
    measured = marked(goals.written(p["measured"], unit), at_least=p.get("at_least", False))
    return (
        f"{_of_class(p)}{meaning}: {measured}, the goal is {p['comparison']} "
        f"{goals.written(p['limit'], unit)} ({p['goal']})"
        f"{': ' + '; '.join(p['why']) if p['why'] else ''}"
    )


def _frames_not_read(p: Parameters) -> str:
    return (
        f"{p['count']} of {p['offered']} frames were never read from the relay"
        f"{causes(p['by_cause'], NOT_READ)}"
    )


def _relay_gaps(p: Parameters) -> str:
    missing = "some events" if p["missing"] is None else f"{counted(p['missing'])} events"
    gaps = "a gap" if p["count"] == 1 else f"{p['count']} gaps"
    return f"the relay {p['relay_url']} left out {missing}, in {gaps}"


def _publishes_failed(p: Parameters) -> str:
    listed = ", ".join(f"{reason} ({n})" for reason, n in p["by_reason"].items())
    return f"{p['count']} publishes failed for good{f': {listed}' if listed else ''}"


def _deliveries_lost(p: Parameters) -> str:
    return f"{p['count']} deliveries were lost{causes(p['by_cause'], LOST)}"


def _fetch_errors(p: Parameters) -> str:
    listed = ", ".join(
        f"{counted(count)} fetches with {status}" for status, count in p["by_status"].items()
    )
    return f"NATS answered with errors: {listed}"


def _expired_beyond_plan(p: Parameters) -> str:
    return (
        f"{counted(p['expired'])} messages expired unread, but the parameters imply only "
        f"{counted(p['planned'])}; consumers took less than their polls allow"
    )


def _stream_recreated(p: Parameters) -> str:
    times = "" if p["streams"] == 1 else f" {p['streams']} times"
    rewound = (
        "nothing in it was missing anywhere"
        if p["rewound_to_seq"] is None
        else f"the relay was read again from seq {p['rewound_to_seq']} on, and "
        f"{counted(p['replayed'])} events were published again"
    )
    served = (
        ""
        if p["served_again_s"] is None or p["lost_s"] is None
        else f"; the last consumer was served again after {p['served_again_s'] - p['lost_s']:.1f} s"
    )
    why = causes(p["lost_by_cause"], LOST_WITH_STREAM)
    return (
        f"the stream was lost and made again{times}; {rewound}; {counted(p['lost'])} deliveries "
        f"were lost with it{why}; {counted(p['repeats'])} were repeats{served}"
    )


def _unread_as_planned(p: Parameters) -> str:
    share_pct = p["share_pct"]
    stays = "most" if share_pct < 50 else "some"
    note = (
        f"{_of_class(p)}as planned, {stays} stays unread: a consumer is owed "
        f"{p['owed_per_s']:.4g} messages/s and its polls take at most {p['batch_size']} every "
        f"{p['poll_interval_s']:g} s = {p['capacity_per_s']:.3g}/s, {share_pct:.2g} % of that"
    )
    if p["measured_unread_pct"] is not None:
        note += (
            f"; planned {p['planned_unread_pct']:.1f} % unread in this run, measured "
            f"{p['measured_unread_pct']:.1f} % (of {counted(p['owed'])} owed, "
            f"{counted(p['expired'])} expired and {counted(p['pending'])} were pending at the end)"
        )
    return f"{note}. This is not a failure." if p["nothing_lost"] else f"{note}."


def _workers_restarted(p: Parameters) -> str:
    were = "workers ended in the run and were" if p["count"] > 1 else "worker ended and was"
    whose = "their" if p["count"] > 1 else "its"
    return (
        f"{p['count']} consumers {were} started again; others went on with {whose} durables, and "
        "polls that fell due meanwhile were not made"
    )


def _consumers_without_poll(p: Parameters) -> str:
    return (
        f"{_of_class(p)}{p['count']} of {p['of']} consumers fetched nothing: with a poll every "
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
        f"NATS called {counted(p['count'])} deliveries repeats; {counted(p['duplicates'])} were of "
        f"messages that the same consumer had received{made_again}."
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
    did = {NATS_SILENT: "NATS did not answer", RELAY_SILENT: "the relay did not answer"}.get(
        p["kind"], f"{who} did not run"
    )
    seen = f" (noticed on {', '.join(p['hosts'])})" if len(p["hosts"]) > 1 else ""
    *phases, last = [_PHASES[phase] for phase in p["phases"]]
    where = f"{', '.join(phases)} and {last}" if phases else last
    if not p["holds_up"]:
        then = "nothing that is measured waits for it, but what it does was not done meanwhile"
    elif standstills.WINDOW in p["phases"]:
        then = "what waited for it is in the window's latencies and rates"
    elif standstills.DRAIN in p["phases"] or standstills.AFTER in p["phases"]:
        then = (
            "of the window's figures, those of calls that were still open at its end show it, and "
        )
        then += "ages of what was received later"
    else:
        then = "calls that fell due then are not in the window's latencies, but what was caught up "
        then += "in the window is in its rates"
    said = f"{did} {between(p['begin_s'], p['end_s'])}{seen}, {where}; {then}"
    if p["pending_at_end"]:
        said += (
            f"; if there is anything that consumers could not fetch because of it, it is among the "
            f"{counted(p['pending_at_end'])} deliveries pending at the end"
        )
    return f"{said}."


def _calls_open(p: Parameters) -> str:
    if not p["open_count"]:
        return "a process was killed, and nobody knows the calls that ended in its last second"
    least = "" if p["open_min_ms"] is None else f", the youngest after {p['open_min_ms']:.4g} ms"
    return f"{p['open_count']} calls were still open when the run ended{least}"


def _how_long(seconds: float) -> str:
    """Write a length of time in a unit that suits it."""
    for name, length_s in (("days", 86_400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * length_s:
            return f"{seconds / length_s:,.1f} {name}"
    return f"{seconds:.1f} s"


CODES: dict[str, Code] = {
    # -- missed ------------------------------------------------------------------------------------
    "goal_missed": Code(
        FAIL,
        _goal_missed,
        "A goal of the scenario was not reached.",
        "Look at the causes, and at what limited the run.",
        {
            "goal": "",
            "measured": "in the figure's unit",
            "comparison": "at least or at most",
            "limit": "in the figure's unit",
            "why": "[{code, host, parameters}]: its causes",
            **_CONSUMERS,
        },
    ),
    "stored_twice": Code(
        FAIL,
        "{count} events are in the stream twice: they were repeated after the duplicate window was "
        "over (bench_stream_duplicate_window_s)",
        "A publish had no answer for so long that NATS took its repeat as new.",
        "Set a longer bench_stream_duplicate_window_s.",
        {"count": "events"},
    ),
    "stream_out_of_order": Code(
        FAIL,
        "{count} events were stored after a later one of the same DID",
        "The stream did not keep the order of an author's events.",
        _LEDGER,
        {"count": "events"},
    ),
    "deliveries_out_of_order": Code(
        FAIL,
        "{count} first deliveries came after that of a later event of the same DID",
        "A consumer saw an author's events out of order.",
        _LEDGER,
        {"count": "deliveries"},
    ),
    "acks_lost": Code(
        FAIL,
        "{count} deliveries were received and acknowledged, but the server still waits for the "
        "acks; it would deliver them again",
        "Consumers sent acks that NATS does not have.",
        "Look for connections that broke; read nats.log.",
        {"count": "deliveries"},
    ),
    "failed_by_own_window": Code(
        FAIL,
        of_own_window,
        "The report is of another window than the run's own (--warmup-s), by which the run missed "
        "a goal that is met without what was cut off.",
        "Report it without --warmup-s to see its own figures. If its warm-up was too short, run "
        "again with a longer bench_warmup_s.",
        OWN_WINDOW,
    ),
    # -- causes of a missed goal, or noted --------------------------------------------------------
    "consumers_never_fetched": Code(
        NOTE,
        "{count} of {of} consumers never fetched a message, although each had its polls",
        "Some consumers got nothing.",
        "Look at the fetch statuses in the report.",
        {"count": "consumers", "of": "consumers"},
    ),
    "frames_not_read": Code(
        NOTE,
        _frames_not_read,
        "Frames that the relay offered never reached the shuffler.",
        "The causes say what died or was missed; `limited by` says what held the shuffler up.",
        {"count": "frames", "offered": "frames", "by_cause": "{cause: frames}"},
    ),
    "publishes_failed": Code(
        NOTE,
        _publishes_failed,
        "NATS refused frames for good, or could no longer be reached.",
        "The reasons are NATS's own words; read nats.log.",
        {"count": "publishes", "by_reason": "{reason: publishes}"},
    ),
    "publishes_unknown": Code(
        NOTE,
        "{count} publishes were never answered, and neither repeats nor reading the stream settled "
        "them",
        "It is not known whether NATS has these frames.",
        "Read nats.log and the shuffler's log.",
        {"count": "publishes"},
    ),
    "deliveries_lost": Code(
        NOTE,
        _deliveries_lost,
        "Messages that consumers were owed are gone without being received.",
        _LEDGER,
        {"count": "deliveries", "by_cause": "{cause: deliveries}"},
    ),
    "expired_beyond_plan": Code(
        NOTE,
        _expired_beyond_plan,
        "More messages expired than the parameters alone explain.",
        "Look for polls that were late, failed or brought too little.",
        {"expired": "messages", "planned": "messages"},
    ),
    "shuffler_reconnects": Code(
        NOTE,
        "the shuffler's connection to NATS broke {count} times",
        "The shuffler lost its connection to NATS and connected again.",
        "Read the shuffler's log and nats.log.",
        {"count": "times"},
    ),
    "fetch_errors": Code(
        NOTE,
        _fetch_errors,
        "NATS answered pulls with error statuses (other than 404 or 408).",
        "503: the consumer has no leader; 409: its text says why.",
        {"by_status": "{status: fetches}"},
    ),
    "fetch_timeouts": Code(
        NOTE,
        "{count} fetches were not answered in time",
        "Pulls got no answer for 5 s.",
        "Look for a stall of NATS among the events.",
        {"count": "fetches"},
    ),
    "consumer_connections": Code(
        NOTE,
        "consumers' connections had {errors} errors and {reconnects} reconnects; {lost} pulls were "
        "lost with them",
        "Consumers lost their connections to NATS and connected again.",
        "Read the consumers' log and nats.log.",
        {"errors": "", "reconnects": "", "lost": "pulls"},
    ),
    "slow_consumers": Code(
        NOTE,
        "the server cut off {count:g} connections as slow consumers; use more connections or "
        "smaller batches",
        "Too many bytes were pending on a connection.",
        "Set a smaller bench_batch_size, or bench_connections=per_consumer. With "
        "bench_consumer_kind=push, set a smaller bench_max_ack_pending.",
        {"count": "connections"},
    ),
    "calls_open": Code(
        NOTE,
        _calls_open,
        "Calls that were still open when the run ended; they took at least that long.",
        "Run for longer, or find out what did not answer.",
        {"leg": "", "open_count": "calls", "open_min_ms": "ms; null: not known"},
    ),
    "figure_unknown": Code(
        NOTE,
        "this version knows no such figure",
        "The goal's figure is not among those of this version.",
        "Use `fpaas report` of the version that made the run.",
    ),
    # -- ruled out ---------------------------------------------------------------------------------
    "polls_too_rare": Code(
        NOTE,
        "with a poll every {poll_interval_s:g} s the run is too short to guarantee each consumer a "
        "poll that finds messages",
        "In such a short run it is up to chance whether a consumer fetches anything.",
        "Set a longer bench_measure_s or a shorter bench_poll_interval_s.",
        {"poll_interval_s": "s"},
    ),
    "shared_polls_exceed": Code(
        NOTE,
        "consumers share one durable and ask for more than there is, so one of them may never find "
        "anything",
        "Other consumers may have taken everything.",
        _AS_SET,
    ),
    "rate_not_planned": Code(
        NOTE,
        "the rate of a foreign relay is not known before the run, and was assumed",
        "Without a plan, nothing can exceed it.",
        _AS_SET,
    ),
    "nothing_owed": Code(
        NOTE, "nothing was owed", "No message was stored that the consumers were owed.", _AS_SET
    ),
    "servers_failed_over": Code(
        NOTE,
        "brief errors when a server fails are the price of going on without it",
        "A server of the cluster failed, and the cluster went on.",
        _AS_SET,
    ),
    "no_polls": Code(
        NOTE,
        "with bench_consumer_kind={kind} nobody polls, so there is nothing to measure",
        "The goal is about polls, pulls or batches, and messages were pushed to the consumers.",
        "Take the goal out (null), or set one of publish_to_fetch or end_to_end.",
        {"kind": "bench_consumer_kind"},
    ),
    "polls_take_less": Code(
        NOTE,
        "a consumer is owed {owed_per_s:.4g} messages/s and its polls take at most {batch_size} "
        "every {poll_interval_s:g} s = {capacity_per_s:.3g}/s, so messages wait until they expire; "
        "bench_fetch=drain makes the goal possible",
        "Consumers leave messages waiting, so messages are old however fast NATS is.",
        _OVERLOAD,
        {
            "owed_per_s": "messages/s",
            "batch_size": "messages",
            "poll_interval_s": "s",
            "capacity_per_s": "messages/s",
        },
    ),
    "polls_ask_for_more": Code(
        NOTE,
        "the polls ask for {capacity_per_s:.4g} messages/s, but only {owed_per_s:.4g}/s are owed",
        "There are not enough messages to fill the batches.",
        _AS_SET,
        {"capacity_per_s": "messages/s", "owed_per_s": "messages/s"},
    ),
    # -- noted -------------------------------------------------------------------------------------
    "nats_died_outlived": Code(
        NOTE,
        "NATS failed during the run and did not come back; the cluster went on.",
        "A server of a cluster ended, and the stream's other replicas survived.",
        "Read nats.log on that host.",
    ),
    "nats_restarted_outlived": Code(
        NOTE,
        lambda p: (
            f"NATS restarted during the run ({', then '.join(p['lives'])}); the cluster went on "
            "in the meantime."
        ),
        "A server of a cluster ended and came back; the stream's other replicas survived.",
        "Read nats.log on that host.",
        {"lives": "server ids, each with its start"},
    ),
    "nats_restarted_recovered": Code(
        NOTE,
        lambda p: (
            f"NATS restarted during the run ({', then '.join(p['lives'])}); the run went on, and "
            "accounts for everything."
        ),
        "A NATS server ended and came back. Its stream outlived it, or was made again.",
        "Read nats.log on that host; summary.json's recovery says what it cost.",
        {"lives": "server ids, each with its start"},
    ),
    "shuffler_restarted": Code(
        NOTE,
        lambda p: (
            f"the shuffler was killed and started again {p['times']} "
            f"time{'s' if p['times'] > 1 else ''}; it went on where it had been"
        ),
        "The shuffler's process was killed in the run. The service manager started it again, and "
        "it went on with the account and from the relay's seq that the one before had left.",
        "Read shuffler.log on its host.",
        {"times": "how often it was started again"},
    ),
    "relay_restarted": Code(
        NOTE,
        "the relay ended and was started again {times} time{plural}; it went on by its schedule",
        "The relay's process ended in the run, and was started again. Frames that fell due "
        "meanwhile were sent late, or replayed.",
        "Read relay.log on its host.",
        {"times": "how often it was started again", "plural": "s, if more than once"},
    ),
    "workers_restarted": Code(
        NOTE,
        _workers_restarted,
        "A process full of consumers died in the run, and was started again. What it had received "
        "in its last second is known from the server; what it had not acknowledged came again.",
        "Read consumers.log on its host.",
        {"count": "processes"},
    ),
    "stream_recreated": Code(
        NOTE,
        _stream_recreated,
        "The stream was lost, with its server or by somebody's hand. It was made again as it was "
        "asked for, durables too, and the relay was read again from what not every consumer had.",
        "Expect it of a stream in memory. bench_stream_storage=file outlives its server's process, "
        "three NATS hosts and bench_stream_replicas=3 outlive a host.",
        {
            "streams": "how many were lost",
            "rewound_to_seq": "the relay's seq, None: nothing was missing",
            "replayed": "events",
            "lost": "deliveries",
            "lost_by_cause": "deliveries by cause",
            "repeats": "deliveries",
            "lost_s": "seconds since T0",
            "served_again_s": "seconds since T0, None: not known",
        },
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
        _OVERLOAD,
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
            **_CONSUMERS,
        },
    ),
    "consumers_without_poll": Code(
        NOTE,
        _consumers_without_poll,
        "In such a short run it is up to chance whether a consumer fetches anything.",
        "Set a longer bench_measure_s or a shorter bench_poll_interval_s.",
        {"count": "consumers", "of": "consumers", "poll_interval_s": "s", **_CONSUMERS},
    ),
    "frames_left_out": Code(
        NOTE,
        "{count} frames could not be decoded or were too large, and are left out.",
        "The relay sent malformed frames, or the connection damaged them. An event says what is "
        "wrong with each, and the first 64 KB of the first 16 are among the shuffler's files "
        "(shuffler.undecodable-01.bin and so on).",
        "Nothing, if they are few: bench_undecodable_max_frames is how many a run may have.",
        {"count": "frames"},
    ),
    "frames_bad_once": Code(
        NOTE,
        "{count} frames could not be decoded or were too large, and did not come again.",
        "After the reconnect that each of them cost, the relay went on with good frames: they were "
        "damaged on the way, or none of the relay's events. The ledger has no place for them.",
        "Look at what is between the relay and the shuffler, a proxy for example. "
        "bench_undecodable_max_frames is how many bad frames a run may have in all.",
        {"count": "frames"},
    ),
    "duplicates_rejected": Code(
        NOTE,
        "{count} publishes were already in the stream.",
        "NATS recognised these repeats by their id.",
        _AS_SET,
        {"count": "publishes"},
    ),
    "redelivered": Code(
        NOTE,
        _redelivered,
        "NATS delivered again what was not acknowledged in time, or a stream that was made again "
        "has what the lost one had delivered. Whoever has not received the first delivery does "
        "not receive anything twice.",
        "If there are many, set a longer bench_ack_wait_s.",
        {
            "count": "deliveries that NATS called repeats",
            "duplicates": "deliveries of what the same consumer had received",
            "streams_lost": "streams that were lost and made again; null: of an older version",
        },
    ),
    "messages_pushed": Code(
        NOTE,
        "bench_consumer_kind={kind}: messages were pushed to the consumers. There were no polls "
        "and no pulls, so figures of those are null or 0, and bench_poll_interval_s, "
        "bench_poll_jitter_pct, bench_batch_size and bench_fetch had no effect.",
        "Latencies of messages, the ledger and resources are measured as with polls.",
        _AS_SET,
        {"kind": "bench_consumer_kind"},
    ),
    "acks_not_asked": Code(
        NOTE,
        "bench_ack=none: consumers acknowledged nothing. Nobody knows what they processed of what "
        "was delivered, and what they did not receive was not sent again.",
        "The run's durables have no acks, so figures of acks are null.",
        _AS_SET,
    ),
    "clock_off": Code(
        NOTE,
        lambda p: (
            f"its clock is {_how_long(abs(p['offset_ms']) / 1000)} "
            f"{'behind' if p['offset_ms'] > 0 else 'ahead of'} the NATS host's; it was told when "
            "to begin by its own clock, and all of its times are corrected."
        ),
        "A host's clock was off before the run. The lab measured by how much, and allows for it.",
        "Nothing for the lab. Others may want it synchronised (chrony).",
        {"offset_ms": "ms, of the NATS host's clock minus this one's"},
    ),
    "explained_by_fault": Code(
        NOTE,
        lambda p: (
            f"the run's own fault{'s' if len(p['numbers']) > 1 else ''} "
            f"{', '.join(f'bench_faults[{number}]' for number in p['numbers'])} brought about: "
            f"{p['reason']}"
        ),
        "This would make a run invalid, had the run not done it to itself: the fault happened, was "
        "undone, and explains all of it.",
        "Nothing. What the fault cost is in summary.json under `faults`.",
        {"numbers": "places in bench_faults", "reason": "what was brought about"},
    ),
    "fault_late": Code(
        NOTE,
        "bench_faults[{number}] ({do}) was begun {began_late_ms:.0f} ms and undone "
        "{ended_late_ms:.0f} ms later than planned",
        "Whoever executes the run's own faults had to wait for a processor, or for what the fault "
        "is on. The fault's figures go by when it began and ended, not by the plan.",
        "If it matters when the fault was, give its host more processors, or take other work away.",
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
        "The relay's sequence numbers, or the relay itself, tell that events were never sent: it "
        "was away, or does not reach back far enough.",
        "They are not part of what was offered. summary.json lists each under `relay`.",
        {
            "count": "gaps",
            "missing": "events; null: the relay's numbers do not tell",
            "relay_url": "",
        },
    ),
    "relay_renumbered": Code(
        NOTE,
        "the sequence numbers of the relay {relay_url} went back to new events {count} times; they "
        "were read on",
        "The relay renumbered its events. What came was told apart from repeats by the events "
        "themselves.",
        "Nothing, unless you run that relay. What it sent while it changed may be missing.",
        {"count": "times", "relay_url": ""},
    ),
    "relay_reread": Code(
        NOTE,
        "the relay {relay_url} sent {count} frames again that had been read; each was published "
        "once",
        "Relays may repeat the event that they are resumed from. More than one repeat for each "
        "connection means that the relay repeats itself.",
        "Nothing.",
        {"count": "frames", "relay_url": ""},
    ),
    "stood_still": Code(
        NOTE,
        _stood_still,
        "A part of the lab, or NATS, answered nothing or did not run for a second or more. Figures "
        "of latencies and rates are of the measured window, and goals judge by them; the ledger is "
        "of the whole run.",
        "If it was in the window, what it did to the figures is in them. In the drain, it kept "
        "consumers from what they were still owed: set a longer bench_drain_s, or run again.",
        {
            "kind": "of the event: nats_silent, relay_silent or agent_paused",
            "part": "nats, relay, or the agent",
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
