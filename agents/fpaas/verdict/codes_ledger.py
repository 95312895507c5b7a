"""Codes of the ledger: what is not known, does not add up, or is inexact at the server."""

from __future__ import annotations

from fpaas.agreement import count_of
from fpaas.ledger.disagreements import About
from fpaas.verdict.code import INVALID, NOTE, Code, Parameters

_REPORT = (
    "Parts of the lab contradict each other, which is a defect of the lab: keep the bundle and "
    "report it."
)
_DURABLE = "{durable}"
#: Kind of difference → its words, and a case's figures. In brackets, the server's name for it.
WORDS: dict[About, tuple[str, str]] = {
    About.READ_WITHOUT_OUTCOME: (
        "frames read without any outcome",
        "of {read} read, {with_outcome} have one",
    ),
    About.READ_NOT_OFFERED: (
        "frames read that the relay did not offer",
        (
            "the relay offered {offered_first} … {offered_last}, the shuffler read {read_first} … "
            "{read_last}"
        ),
    ),
    About.OUTCOME_UNREAD: (
        "outcomes of frames that were never read",
        "of {with_outcome} with an outcome, {read} were read",
    ),
    About.SIZES_COUNTED: (
        "published frames whose sizes are missing, or counted twice",
        "published {published}, sizes of {sizes}",
    ),
    About.DIDS_UNKNOWN: (
        "stored events whose DID is not known, so nobody can tell their order",
        "{placed} are stored, {known} have a DID",
    ),
    About.OFFERED_OUTCOMES: (
        "offered frames without an outcome, or with two",
        "offered {offered}, accounted for {accounted}",
    ),
    About.DELIVERIES_COUNTED: (
        "deliveries whose count differs from the logs",
        "the consumers counted {counted}, their logs hold {logged}",
    ),
    About.NEVER_FETCHED_COUNTED: (
        "consumers that received nothing, by count or by their logs",
        "the workers counted {counted}, their logs show {logged}",
    ),
    About.COUNTED_LESS: (
        "counts by which an agent's account is below its own samples",
        "{figure} of {who}: {counted} in its account, {sampled} in its last sample",
    ),
    About.PULLS_ENDED: (
        "pulls without an end, or with two",
        "worker {worker} sent {pulls}, and {ended} ended",
    ),
    About.ACKS_COUNTED: (
        "deliveries whose answers differ from their count",
        (
            "the consumers sent {acks} acks, answered {others} otherwise, and were at work on "
            "{in_process}, of {counted} deliveries"
        ),
    ),
    About.ANSWERS_COUNTED: (
        "deliveries answered otherwise than their class should",
        "{answer}: the consumers counted {counted}, their logs hold {logged} such deliveries",
    ),
    About.RECEIVED_TWICE: ("deliveries received twice under one number", _DURABLE),
    About.PARTITION_UNKNOWN: (
        "messages stored whose partition is not known",
        "{known} of {stored} have one",
    ),
    About.FILTERS_UNKNOWN: (
        "messages stored without a record of which classes want them",
        "{known} of {stored} have one",
    ),
    About.STREAM_PLACES: (
        "publishes whose place in the stream does not fit",
        (
            "{without} published without one, {unpublished} placed but not published, {twice} "
            "places taken twice"
        ),
    ),
    About.STORED_AFTER_END: (
        "messages stored after the run's end (last_seq)",
        "last_seq was {before}, then {after}",
    ),
    About.STREAM_MESSAGES: (
        "messages by which the stream's count differs from its sequences (messages)",
        (
            "messages is {messages}, first_seq {first_seq}, last_seq {last_seq}, num_deleted "
            "{num_deleted}"
        ),
    ),
    About.STREAM_CONSUMERS: (
        "consumers by which the stream's count differs from the list (consumer_count)",
        "consumer_count is {consumer_count}, {listed} are listed",
    ),
    About.STREAM_SEEN_BY_JSZ: (
        "messages that /jsz showed during the run, but the API did not show after it (last_seq)",
        "/jsz had last_seq {jsz}, the JetStream API has {api}",
    ),
    About.STORED_PUBLISHED: (
        "messages by which what is stored differs from what was published (last_seq)",
        (
            "the server's last_seq is {last_seq}, {foreign} of them not the shuffler's; its "
            "publishes make it {at_least} to {at_most}"
        ),
    ),
    About.ACKED_BEYOND_END: (
        "publishes acknowledged beyond the stream's end (last_seq)",
        "acknowledged up to {acked}, the server's last_seq is {last_seq}",
    ),
    About.DURABLE_MISSING: (
        "messages owed to durables that the server does not have at the end",
        _DURABLE,
    ),
    About.DELIVERED: (
        "deliveries beyond what the server delivered or stored (delivered)",
        (
            "{durable} received up to stream sequence {received_stream_seq} and consumer sequence "
            "{received_consumer_seq}, the server delivered up to {delivered_stream_seq} and "
            "{delivered_consumer_seq}, of {stored} stored"
        ),
    ),
    About.NUM_PENDING: (
        "messages by which the server's pending count differs from its sequences (num_pending)",
        "{durable}: num_pending is {num_pending}, the sequences make it {at_least} to {at_most}",
    ),
    About.ACK_FLOOR: (
        "deliveries by which the server's ack floor differs from its counts (ack_floor)",
        (
            "{durable}: ack_floor is at consumer sequence {ack_floor_consumer_seq} and stream "
            "sequence {ack_floor_stream_seq}, delivered up to {delivered_consumer_seq} and "
            "{delivered_stream_seq}, num_ack_pending is {num_ack_pending}"
        ),
    ),
    About.NUM_ACK_PENDING: (
        "deliveries that nobody received, but the server takes as acknowledged (num_ack_pending)",
        "{durable}: {not_received} not received, the server waits for {num_ack_pending}",
    ),
    About.FAILED_NOT_WAITING: (
        "deliveries without an ack that the server takes as settled (num_ack_pending)",
        "{durable}: {failed} failed or in process, the server waits for {num_ack_pending} in all",
    ),
    About.PASSED_OVER: (
        "stored messages that the server skipped",
        "{durable}, delivered up to {delivered_stream_seq}, first stored {first_stored}",
    ),
    About.DELIVERIES_UNSEEN: (
        "deliveries by the server's count (delivered) that nothing else shows",
        "{durable}: the server made {delivered_consumer_seq}, received {received}",
    ),
    About.OWED_OUTCOMES: (
        "owed messages without an outcome, or with two",
        "{durable}: owed {owed}, accounted for {accounted}",
    ),
    About.REPEAT_WITHOUT_FIRST: (
        "messages delivered again without a first delivery",
        "{durable}, {first} … {last}",
    ),
}
_DIFFERENCE = {
    "about": "what differs",
    "amount": "events and deliveries",
    "cases": "how often",
    "example": "figures of the worst case",
}


def _difference(p: Parameters) -> str:
    what, example = WORDS[p["about"]]
    others = f" (and {p['cases'] - 1} more such)" if p["cases"] > 1 else ""
    return f"{what}: {p['amount']}; {example.format_map(p['example'])}{others}"


def _inexact(p: Parameters) -> str:
    return (
        f"nats-server is known to keep this count inexactly: {_difference(p)}. The ledger uses "
        "the sequences instead."
    )


def _paused(p: Parameters) -> str:
    which = "durables" if p["count"] is None else count_of(p["count"], "durable|durables")
    begin = "" if p["begin_s"] is None else f" from {p['begin_s']:.1f} s"
    end = " to the run's end" if p["end_s"] is None else f" to {p['end_s']:.1f} s"
    return f"somebody paused {which}{begin}{end}: NATS served them as if nothing waited for them"


CODES: dict[str, Code] = {
    "ledger_unmeasured": Code(
        INVALID,
        "the ledger could not be balanced: not all parts of it were measured",
        "An account of the relay, the shuffler, the consumers or NATS is missing, so nobody can "
        "say whether anything was lost.",
        "Look at the reasons before this one.",
    ),
    "ledger_unbalanced": Code(
        INVALID,
        "the ledger does not balance: {unexplained} unexplained, must be 0",
        "The parts' counts do not add up.",
        _REPORT,
        {"unexplained": "events and deliveries"},
    ),
    "ledger_disagreement": Code(
        INVALID,
        _difference,
        "Two accounts of the same thing differ; the difference is part of what is unexplained.",
        _REPORT,
        _DIFFERENCE,
    ),
    "durables_paused": Code(
        INVALID,
        _paused,
        "A paused durable sends nothing, and pulls are answered as if there were no messages. The "
        "lab never pauses any, so the run measured somebody's doing.",
        "Find out who else manages the lab's stream, and run again.",
        {
            "count": "durables at a time, at most; null: not known",
            "begin_s": "s since T0; null: not known",
            "end_s": "s since T0; null: some were paused at the end",
        },
    ),
    "server_count_inexact": Code(
        NOTE,
        _inexact,
        "nats-server's num_pending may be too low while messages expire.",
        "Nothing.",
        _DIFFERENCE,
    ),
}
