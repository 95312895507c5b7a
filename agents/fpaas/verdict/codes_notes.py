"""Codes of notes: what is worth knowing of a run beside its goals."""

from __future__ import annotations

from fpaas.agreement import count_of
from fpaas.consumers import ordering
from fpaas.verdict.code import (
    AS_SET,
    NOTE,
    OF_CLASS,
    OVERLOAD,
    WINDOW,
    Code,
    Parameters,
    between,
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


def _consumers_ordered(p: Parameters) -> str:
    count = sum(p["by_cause"].values())
    made = count_of(count, "was recreated|were recreated")
    again = f"{made}{causes(p['by_cause'], MADE_AGAIN)}"
    return (
        "ordered consumers acknowledge nothing, so ack figures are null; "
        f"{again if count else 'none had to be recreated'}."
    )


def _relay_gaps(p: Parameters) -> str:
    missing = "some events" if p["missing"] is None else count_of(p["missing"], "event|events")
    gaps = "a gap" if p["count"] == 1 else f"{p['count']} gaps"
    return f"the relay {p['relay_url']} left out {missing}, in {gaps}"


def _unread_as_planned(p: Parameters) -> str:
    share_pct = p["share_pct"]
    stays = "most" if share_pct < 50 else "some"
    note = (
        f"{of_class(p)}as planned, {stays} stays unread: a consumer is owed "
        f"{p['owed_per_s']:.4g} messages/s and its polls take at most {p['batch_size']} every "
        f"{p['poll_interval_s']:g} s = {p['capacity_per_s']:.3g}/s, {share_pct:.2g} % of that; "
        f"planned {p['planned_unread_pct']:.1f} % unread in this run, measured "
        f"{p['measured_unread_pct']:.1f} % (of {counted(p['owed'])} owed, "
        f"{counted(p['expired'])} expired and "
        f"{count_of(p['pending'], 'was|were')} pending at the end)"
    )
    return f"{note}. This is not a failure." if p["nothing_lost"] else f"{note}."


def _relay_clock_off(p: Parameters) -> str:
    side = "ahead of" if p["lag_s"] < 0 else "behind"
    return (
        f"the times in the events of the relay {p['relay_url']} are {abs(p['lag_s']):,.0f} s "
        f"{side} the reader's clock (median)"
    )


def _consumers_without_poll(p: Parameters) -> str:
    of = count_of(p["of"], "consumer|consumers")
    return (
        f"{of_class(p)}{counted(p['count'])} of {of} fetched nothing: with a poll every "
        f"{p['poll_interval_s']:g} s, the run is too short to guarantee that each fetches "
        "something."
    )


def _reader_blocked(p: Parameters) -> str:
    said = f"the shuffler's socket accepted no frames from the relay for {p['seconds']:.1f} s"
    if p["blocked_from_s"] is not None:
        blocked = between(p["blocked_from_s"], p["blocked_until_s"])
        said = f"{said} of the window, longest {blocked}"
    if p["cause"] is None:
        return f"{said}; frames that were late because of this are not the relay's fault."
    who = "NATS did not answer" if p["cause"] == "nats_silent" else "the shuffler did not run"
    return f"{said}: {who} {between(p['begin_s'], p['end_s'])}."


def _redelivered(p: Parameters) -> str:
    made_again = ", partly because a stream was recreated" if p["streams_lost"] else ""
    return (
        f"NATS marked {count_of(p['count'], 'delivery as a repeat|deliveries as repeats')}; "
        f"{count_of(p['duplicates'], 'was of a message|were of messages')} that the same consumer "
        f"had received{made_again}."
    )


def _how_long(seconds: float) -> str:
    """Write a length of time in a unit that suits it."""
    for name, length_s in (("days", 86_400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * length_s:
            return f"{seconds / length_s:,.1f} {name}"
    return f"{seconds:.1f} s"


CODES: dict[str, Code] = {
    "window_trimmed": Code(
        NOTE,
        "figures cover {from_s:g} s to {until_s:g} s after the run's start: this report has a "
        "warm-up of {warmup_s:g} s, the run's own is {run_warmup_s:g} s",
        "Rates, latencies and resources cover a window other than the run's own "
        "(`fpaas report --warmup-s`); the ledger covers the whole run.",
        "Nothing, if this is what you want. `fpaas report` without --warmup-s uses the run's own "
        "window.",
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
            "measured_unread_pct": "%",
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
        "In such a short run, it is a matter of chance whether a consumer fetches anything.",
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
        "Nothing, if there are few. bench_undecodable_max_frames limits them.",
        {"count": "frames"},
    ),
    "frames_bad_once": Code(
        NOTE,
        "{count} {count:frame|frames} could not be decoded or {count:was|were} too large, and did "
        "not come again.",
        "After the reconnect that each of them cost, the relay continued with good frames: these "
        "were damaged on the way, or are not events of the relay. They are not in the ledger.",
        "Check what is between the relay and the shuffler, a proxy for example. "
        "bench_undecodable_max_frames limits the bad frames of a run.",
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
        "NATS repeats messages that were not acknowledged in time; a recreated stream may also "
        "repeat messages that the lost one had delivered. A consumer that did not receive the "
        "first delivery receives nothing twice.",
        "If there are many, set a longer bench_ack_wait_s.",
        {
            "count": "deliveries that NATS marked as repeats",
            "duplicates": "deliveries that the same consumer had received before",
            "streams_lost": "streams that were lost and recreated; null: older version",
        },
    ),
    "messages_pushed": Code(
        NOTE,
        "bench_consumer_kind={kind}: messages were pushed to the consumers. There were no polls "
        "and no pulls, so their figures are null or 0, and bench_poll_interval_s, "
        "bench_poll_jitter_pct, bench_batch_size and bench_fetch had no effect.",
        "Message latencies, the ledger and resources are measured as with polls.",
        AS_SET,
        {"kind": "bench_consumer_kind"},
    ),
    "consumers_ordered": Code(
        NOTE,
        _consumers_ordered,
        "An ordered consumer is recreated, after the last message that it received, if a delivery "
        "is missing, if heartbeats fail to arrive, or if its connection is new.",
        AS_SET,
        {"by_cause": "how often consumers were recreated, by cause"},
    ),
    "acks_not_asked": Code(
        NOTE,
        "bench_ack=none: consumers acknowledged nothing. Nobody knows which deliveries they "
        "processed, and messages that they did not receive were not sent again.",
        "The run's durables have no acks, so ack figures are null.",
        AS_SET,
    ),
    "clock_off": Code(
        NOTE,
        lambda p: (
            f"its clock is {_how_long(abs(p['offset_ms']) / 1000)} "
            f"{'behind' if p['offset_ms'] > 0 else 'ahead of'} the NATS host's; the lab gave it "
            "the start time in its own clock's time and corrects all of its times."
        ),
        "A host's clock was off before the run. The lab measured the offset and corrects for it.",
        "Nothing for the lab's sake. You may still want to synchronise the clock (chrony).",
        {"offset_ms": "ms, of the NATS host's clock minus this one's"},
    ),
    "relay_was_silent": Code(
        NOTE,
        "no event came from the relay {relay_url} for {longest:.1f} s at a stretch, {total:.1f} s "
        "in all; that is within the limit",
        "The relay was silent for part of the window, but not long enough to make the run invalid.",
        "The events show when. Rates cover the whole window, silence included.",
        {"longest": "s of the window", "total": "s of the window", "relay_url": ""},
    ),
    "relay_gaps": Code(
        NOTE,
        _relay_gaps,
        "The relay's sequence numbers, or the relay itself, say that events were never sent: it "
        "was away, or its backlog does not reach back far enough.",
        "No goal counts these events, because the relay lost them. If its numbers tell how many "
        "there are, the ledger has them in `not_read`. summary.json lists each gap under `relay`.",
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
        "The relay routinely leaves out sequence numbers, as it may, so they do not tell what was "
        "lost, and `not_read` is null.",
        "To find out, read another relay of the same network at the same time.",
        {"numbers": "sequence numbers", "count": "places", "relay_url": ""},
    ),
    "relay_lag_unmeasured": Code(
        NOTE,
        "whether the relay {relay_url} fell behind real time was not measured",
        "The window has too few samples of the times of the relay's events to show a trend, or an "
        "older shuffler took none.",
        "Set a longer bench_measure_s: at least 10 s, in which events come.",
        {"relay_url": ""},
    ),
    "relay_clock_off": Code(
        NOTE,
        _relay_clock_off,
        "The relay's clock is off, or it sends events from another time. Only `lag_s` and "
        "`lag_growth_s` are taken from these times.",
        "Nothing, if you play a recording; otherwise set the relay's clock, or the shuffler's.",
        {"lag_s": "s, negative: from the future", "relay_url": ""},
    ),
    "relay_renumbered": Code(
        NOTE,
        "the relay {relay_url} renumbered its events {count} {count:time|times}; the shuffler "
        "continued with the new numbers",
        "The relay's sequence numbers went back for new events. The shuffler told new events from "
        "repeats by their content.",
        "Nothing, unless you run that relay. Events from the time of the change may be missing.",
        {"count": "times", "relay_url": ""},
    ),
    "relay_reread": Code(
        NOTE,
        "the relay {relay_url} repeated {count} {count:frame|frames} that had been read; each was "
        "published once",
        "Relays may repeat the event at which they are resumed. More than one repeat for each "
        "connection means that the relay repeats itself.",
        "Nothing.",
        {"count": "frames", "relay_url": ""},
    ),
    "relay_ignored": Code(
        NOTE,
        "the relay {relay_url} sent {count} {count:frame|frames} that {count:is no event|are no "
        "events}; the shuffler skipped {count:it|them}",
        "The frames are well-formed, but of types or operations that the lab does not know, or "
        "messages of the relay itself (#info). They were not published and are not in the ledger.",
        "shuffler.log names the first 20. The lab has to learn new types of events.",
        {"count": "frames", "relay_url": ""},
    ),
    "reader_blocked": Code(
        NOTE,
        _reader_blocked,
        "The relay could not send its frames because their reader accepted none. This is not the "
        "relay's own lateness.",
        "Look at what stalled: the events show when it began and ended.",
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
