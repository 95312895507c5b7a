"""Codes of missed goals, of their causes, and of what rules goals out."""

from __future__ import annotations

from fpaas.agreement import agreeing, count_of
from fpaas.latency.lower_bounds import marked
from fpaas.ledger import durable_account, ledger
from fpaas.verdict import goals
from fpaas.verdict.code import (
    AS_SET,
    FAIL,
    NOTE,
    OF_CLASS,
    OVERLOAD,
    OWN_WINDOW,
    Code,
    Parameters,
    causes,
    counted,
    of_class,
    of_own_window,
    still_open,
)

NOT_READ = {
    ledger.DROPPED: "vanished in transit, between frames that were read",
    ledger.BEFORE_FIRST: "fell due before the shuffler read its first frame",
    ledger.AFTER_LAST: "fell due after the last frame that the shuffler read",
    ledger.SHUFFLER_DIED: "neither in the killed shuffler's account nor in the stream",
    ledger.RELAY_DIED: "offered by the relay before it died, after the last one that was read",
}
LOST = {
    durable_account.NOT_RECEIVED: "sent by the server, received by nobody, and expired before "
    "being sent again",
    durable_account.NOT_REPEATED: "sent by the server, received by nobody, and not sent again, "
    "because bench_ack has no ack for each message",
    durable_account.AGENT_DIED: "sent to a consumer that was killed, which may have received them",
    durable_account.REMOVED: "removed from the stream by somebody, before their age or the "
    "stream's size required it",
    durable_account.MAX_DELIVER: "sent as often as their class allows, and received by nobody",
    durable_account.STREAM_LOST: "in the stream when it was lost with its server",
}

_LEDGER = "See the ledger in the report for the causes."


def _goal_missed(p: Parameters) -> str:
    figure = goals.figure_of(p["goal"])
    meaning, unit = (figure.meaning, figure.unit) if figure else (p["goal"], "")
    measured = marked(goals.written(p["measured"], unit), at_least=p.get("at_least", False))
    return (
        f"{of_class(p)}{meaning}: {measured}, the goal is {p['comparison']} "
        f"{goals.written(p['limit'], unit)} ({p['goal']})"
        f"{': ' + '; '.join(p['why']) if p['why'] else ''}"
    )


def _frames_not_read(p: Parameters) -> str:
    return (
        f"{counted(p['count'])} of {count_of(p['offered'], 'frame|frames')} "
        f"{agreeing(p['count'], 'was|were')} never read from the relay"
        f"{causes(p['by_cause'], NOT_READ)}"
    )


def _publishes_failed(p: Parameters) -> str:
    listed = ", ".join(f"{reason} ({n})" for reason, n in p["by_reason"].items())
    failed = count_of(p["count"], "publish|publishes")
    return f"{failed} failed for good{f': {listed}' if listed else ''}"


def _deliveries_lost(p: Parameters) -> str:
    lost = count_of(p["count"], "delivery was|deliveries were")
    return f"{lost} lost{causes(p['by_cause'], LOST)}"


def _fetch_errors(p: Parameters) -> str:
    listed = ", ".join(
        f"{count_of(count, 'fetch|fetches')} with {status}"
        for status, count in p["by_status"].items()
    )
    return f"NATS answered with errors: {listed}"


def _expired_beyond_plan(p: Parameters) -> str:
    return (
        f"{count_of(p['expired'], 'message|messages')} expired unread, but the parameters imply "
        f"only {counted(p['planned'])}; consumers took less than their polls allow"
    )


def _unread_beyond_plan(p: Parameters) -> str:
    return (
        f"{count_of(p['unread'], 'message|messages')} expired or stayed unread, but the parameters "
        f"imply only {counted(p['planned'])}; consumers took less than their polls allow"
    )


def _calls_open(p: Parameters) -> str:
    if not p["open_count"]:
        return "a process was killed, and the calls that ended in its last second are unknown"
    return still_open(p)


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
            **OF_CLASS,
        },
    ),
    "stored_twice": Code(
        FAIL,
        "{count} {count:event is|events are} in the stream twice: {count:it was|they were} "
        "published again after the duplicate window (bench_stream_duplicate_window_s)",
        "A publish got no answer for so long that NATS treated its repeat as new.",
        "Set a longer bench_stream_duplicate_window_s.",
        {"count": "events"},
    ),
    "stream_out_of_order": Code(
        FAIL,
        "{count} {count:event was|events were} stored after a later one of the same DID",
        "The stream did not keep the order of an author's events.",
        _LEDGER,
        {"count": "events"},
    ),
    "deliveries_out_of_order": Code(
        FAIL,
        "{count} first {count:delivery|deliveries} came after the delivery of a later event of the "
        "same DID",
        "A consumer saw an author's events out of order.",
        _LEDGER,
        {"count": "deliveries"},
    ),
    "acks_lost": Code(
        FAIL,
        "{count} {count:delivery was|deliveries were} received and acknowledged, but the server "
        "still waits for the {count:ack|acks}; it would deliver {count:it|them} again",
        "Consumers sent acks that NATS did not process.",
        "Look for broken connections; read nats.log.",
        {"count": "deliveries"},
    ),
    "failed_by_own_window": Code(
        FAIL,
        of_own_window,
        "The report covers a window other than the run's own (--warmup-s). In its own window, the "
        "run missed a goal that it meets in this one.",
        "Report it without --warmup-s to see its own figures. If its warm-up was too short, run "
        "again with a longer bench_warmup_s.",
        OWN_WINDOW,
    ),
    # -- causes of a missed goal, or noted --------------------------------------------------------
    "consumers_never_fetched": Code(
        NOTE,
        "{count} of {of} {of:consumer|consumers} never fetched a message, although all polled",
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
        "{count} {count:publish was|publishes were} never answered, and neither repeats nor "
        "reading the stream settled {count:it|them}",
        "It is not known whether NATS has these frames.",
        "Read nats.log and the shuffler's log.",
        {"count": "publishes"},
    ),
    "deliveries_lost": Code(
        NOTE,
        _deliveries_lost,
        "Messages that consumers were owed disappeared before they were received.",
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
    "unread_beyond_plan": Code(
        NOTE,
        _unread_beyond_plan,
        "More messages expired, or were still to be sent at the end, than the parameters alone "
        "explain.",
        "Look for polls that were late, failed or brought too little, and for who else manages the "
        "durables.",
        {"unread": "messages", "planned": "messages"},
    ),
    "shuffler_reconnects": Code(
        NOTE,
        "the shuffler's connection to NATS broke {count} {count:time|times}",
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
        "{count} {count:fetch was|fetches were} not answered in time",
        "Pulls got no answer for 5 s.",
        "Look for a stall of NATS among the events.",
        {"count": "fetches"},
    ),
    "consumer_connections": Code(
        NOTE,
        "consumers' connections had {errors} {errors:error|errors} and {reconnects} "
        "{reconnects:reconnect|reconnects}; {lost} {lost:pull was|pulls were} lost with them",
        "Consumers lost their connections to NATS and connected again.",
        "Read the consumers' log and nats.log.",
        {"errors": "", "reconnects": "", "lost": "pulls"},
    ),
    "slow_consumers": Code(
        NOTE,
        "the server cut off {count:g} {count:connection|connections} as slow "
        "{count:consumer|consumers}; use more connections or smaller batches",
        "Too many bytes were pending on a connection.",
        "Set a smaller bench_batch_size, or bench_connections=per_consumer. With "
        "bench_consumer_kind=push, set a smaller bench_max_ack_pending.",
        {"count": "connections"},
    ),
    "calls_open": Code(
        NOTE,
        _calls_open,
        "Calls that were still open when the run ended, or deliveries that were never made; they "
        "took at least that long.",
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
        "with a poll every {poll_interval_s:g} s, the run is too short to guarantee that each "
        "consumer fetches something",
        "In such a short run, it is a matter of chance whether a consumer fetches anything.",
        "Set a longer bench_measure_s or a shorter bench_poll_interval_s.",
        {"poll_interval_s": "s"},
    ),
    "shared_polls_exceed": Code(
        NOTE,
        "consumers share one durable and ask for more than there is, so some of them may never get "
        "anything",
        "Other consumers may have taken everything.",
        AS_SET,
    ),
    "rate_not_planned": Code(
        NOTE,
        "the rate of a foreign relay is not known before the run, and was assumed",
        "Without a plan, nothing can exceed it.",
        AS_SET,
    ),
    "nothing_owed": Code(
        NOTE, "nothing was owed", "No message was stored that the consumers were owed.", AS_SET
    ),
    "servers_failed_over": Code(
        NOTE,
        "brief errors are unavoidable when a server fails and the cluster continues without it",
        "Faults of the run ended every server that failed. Nothing else failed, and the run "
        "continued.",
        AS_SET,
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
        OVERLOAD,
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
        AS_SET,
        {"capacity_per_s": "messages/s", "owed_per_s": "messages/s"},
    ),
}
