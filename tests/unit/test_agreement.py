"""Sentences whose words agree with their numbers, of every code."""

from __future__ import annotations

import re
from typing import Any

import pytest

from fpaas.latency.leg_kinds import LEGS
from fpaas.ledger.disagreements import About
from fpaas.reason import Reason
from fpaas.records.control import Trouble
from fpaas.report import use_table
from fpaas.text import fault_text, leg_words
from fpaas.verdict import codes, codes_failures, codes_goals, codes_notes, standstills

BUSIEST = {"resource": "cpu", "host": "h", "used_pct": 70.0, "nats_cpu_pct": 7.0}
WHY = Reason("nothing_owed", None, {})
#: Parameters that are no numbers, or of one kind only.
WORDS: dict[str, Any] = {
    **dict.fromkeys(("file", "what", "text", "process", "relay_url", "do", "on"), "x"),
    **dict.fromkeys(("agent", "part", "top"), "shuffler"),
    **dict.fromkeys(("host", "message", "storage", "comparison", "state"), "x"),
    "about": About.DELIVERIES_UNSEEN,
    "busiest": BUSIEST,
    "cause": "nats_silent",
    "example": {"durable": "d", "delivered_consumer_seq": 5, "received": 5},
    "goal": "errors_max",
    "goals": ["errors_max"],
    "holds_up": True,
    "hosts": ["h"],
    "is_saturated": False,
    "kind": "nats_silent",
    "lives": ["a", "b"],
    "nothing_lost": True,
    "phases": [standstills.WINDOW],
    "problem": Trouble.NOT_REACHED,
    "reason": WHY,
    "steps": [{"step_ms": 3.0, "at_s": 2.0}],
    "why": [WHY],
    "workers": [],
}
#: Nouns that sentences count, and verbs that follow them; as they are with more than one.
MANY = (
    "acks|bytes|calls|connections|consumers|cores|deliveries|durables|errors|events|fetches|frames"
    "|gaps|messages|ones|packets|problems|publishes|pulls|readers|reconnects|repeats|runs|samples"
    "|segments|times|timeouts|workers"
)
ONE = (
    "ack|byte|call|connection|consumer|core|delivery|durable|error|event|fetch|frame|gap|message"
    "|packet|problem|publish|pull|reader|reconnect|repeat|run|sample|segment|time|timeout|worker"
)
#: Units, and nouns that are a part of another.
APART = re.compile(r"messages/s|(?<=\d )consumers (?=worker)|(?<=\d )connection (?=error)")
BETWEEN = r"(?:more |first |slow |open )?"
WRONG = re.compile(
    rf"\b1 {BETWEEN}(?:{MANY})\b|\b1 (?:were|are|have)\b|\b1 {BETWEEN}(?:{ONE}) (?:were|are|have)\b"
    rf"|\b[02] {BETWEEN}(?:{ONE})\b|\b[02] (?:was|is|has)\b"
    rf"|\b[02] {BETWEEN}(?:{MANY}) (?:was|is|has)\b"
)


def wrong(text: str) -> bool:
    return WRONG.search(APART.sub("", text)) is not None or "|" in text


def parameters(name: str, count: int) -> dict[str, Any]:
    causes = {
        **dict.fromkeys(codes_goals.NOT_READ, count),
        **dict.fromkeys(codes_goals.LOST, count),
        **dict.fromkeys(codes_notes.MADE_AGAIN, 0),
        next(iter(codes_notes.MADE_AGAIN)): count,
    }
    own: dict[str, Any] = {
        **WORDS,
        "by_cause": causes,
        "lost_by_cause": dict.fromkeys(codes_failures.LOST_WITH_STREAM, count),
        "by_reason": {"no room": count},
        "by_status": {"503": count},
        "numbers": list(range(count)),
        "leg": "fetch_call",
    }
    return {one: own.get(one, count) for one in codes.CODES[name].parameters}


def test_it_is_seen_if_words_do_not_agree() -> None:
    for text in ("1 events", "1 more problems", "1 were", "2 event", "1 call were", "2 calls was"):
        assert wrong(text)
    for text in ("1 event", "1 of 2 events", "1 was", "1 messages/s", "0 calls were", "12 events"):
        assert not wrong(text)


@pytest.mark.parametrize("count", [0, 1, 2])
@pytest.mark.parametrize("name", codes.CODES)
def test_every_sentence_agrees_with_its_numbers(name: str, count: int) -> None:
    told = parameters(name, count)
    legs = [leg for leg, kind in LEGS.items() if kind.never] if "leg" in told else []
    for more in ({}, *({"leg": leg} for leg in legs)):
        sentence = codes.sentence(Reason(name, "h", {**told, **more}))
        assert not wrong(sentence), sentence


@pytest.mark.parametrize("count", [0, 1, 2])
def test_tables_and_remarks_agree_with_their_numbers(count: int) -> None:
    said = [use_table._written({name: count}) for name in use_table.WORDS]
    fault = {"cost": dict.fromkeys(fault_text.COSTS, count)}
    said.append(fault_text.cost(fault))
    counts = ("open_count", "missing_count", "out_of_range_count", "due_count")
    leg = dict.fromkeys(counts, count) | {"at_least": {"max": None}}
    for name, kind in LEGS.items():
        said += leg_words.remarks(name, leg, str)
        if not kind.is_age:
            said += leg_words.remarks(name, leg | {"missing_count": -count}, str)
    assert [one for one in said if wrong(one)] == []
