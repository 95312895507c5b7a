"""What stood still in a run is told: in which phase, once, and before what followed from it."""

from __future__ import annotations

from typing import Any

import pytest

from fpaas.reason import Reason
from fpaas.records.events import (
    AGENT_PAUSED,
    AGENT_RESTARTED,
    NATS_SILENT,
    RELAY_SILENT,
)
from fpaas.verdict import codes, generators, stalls, standstills
from tests.support.raw_run import HOST, RawRun

SPEC = RawRun().spec
#: Of that run: warm-up, window and drain end at these.
FROM_S, UNTIL_S, END_S = 5.0, 35.0, 40.0
PENDING = 1234


def event(kind: str, begin_s: float, end_s: float | None, **parameters: object) -> dict[str, Any]:
    return {
        "kind": kind,
        "host": HOST,
        "begin_s": begin_s,
        "end_s": end_s,
        "parameters": parameters,
    }


def paused(
    agent: str, begin_s: float, end_s: float, workers: tuple[int, ...] = ()
) -> dict[str, Any]:
    return event(AGENT_PAUSED, begin_s, end_s, agent=agent, workers=[*workers])


def summary_of(*events: dict[str, Any]) -> dict[str, Any]:
    window = {"from_s": FROM_S, "until_s": UNTIL_S}
    return {"window": window, "events": events, "ledger": {"pending_at_end": PENDING}}


def notes(*events: dict[str, Any], reasons: tuple[Reason, ...] = ()) -> list[Reason]:
    found = list(standstills.notes(SPEC, summary_of(*events), reasons))
    assert all(codes.sentence(note) for note in found)
    return found


@pytest.mark.parametrize(
    ("begin_s", "end_s", "phases"),
    [
        (-1.0, 1.0, ["lead", "warmup"]),
        (6.0, 9.0, ["window"]),
        (34.0, 36.5, ["window", "drain"]),
        (36.0, 39.0, ["drain"]),
        (38.0, None, ["drain", "after"]),
        (4.0, 41.0, ["warmup", "window", "drain", "after"]),
    ],
)
def test_each_phase_that_it_had_a_part_of(
    begin_s: float, end_s: float | None, phases: list[str]
) -> None:
    (note,) = notes(event(NATS_SILENT, begin_s, end_s, agent="probe"))
    assert note.code == "stood_still"
    assert note.parameters["phases"] == phases
    assert (note.parameters["begin_s"], note.parameters["end_s"]) == (begin_s, end_s)
    # What is pending says what the drain was kept from.
    assert (note.parameters["pending_at_end"] == PENDING) == ("drain" in phases)


def test_one_server_that_several_missed_is_one_note() -> None:
    seen = [
        event(NATS_SILENT, 36.1, 39.2, agent="consumers", workers=[0]),
        event(NATS_SILENT, 36.0, 39.1, agent="probe"),
        # Later, and so another time.
        event(NATS_SILENT, 39.5, 40.6, agent="probe"),
    ]
    first, second = notes(*seen)
    assert (first.parameters["begin_s"], first.parameters["end_s"]) == (36.1, 39.1)
    assert second.parameters["begin_s"] == 39.5


def test_who_stood_still_is_named() -> None:
    first, second = notes(paused("probe", 34.0, 36.0), paused("consumers", 36.5, 38.0, (1,)))
    assert "the probe did not run from 34.0 s to 36.0 s" in codes.sentence(first)
    assert "no measured part waits for it" in codes.sentence(first)
    assert first.parameters["pending_at_end"] is None
    assert (first.parameters["holds_up"], second.parameters["holds_up"]) == (False, True)
    assert "consumers worker 1 did not run" in codes.sentence(second)
    assert "in the drain" in codes.sentence(second)


def test_an_agent_that_keeps_workers_holds_up_nothing() -> None:
    (note,) = notes(paused("consumers", 34.0, 38.0))
    assert not note.parameters["holds_up"]
    assert note.parameters["pending_at_end"] is None
    assert causes(Reason("poll_lateness_own", None, LATE), paused("consumers", 6.0, 9.0)) == []


def test_what_a_reason_says_is_not_said_again() -> None:
    relay = paused("relay", 6.0, 8.0)
    told = Reason(
        "agent_paused", HOST, {"agent": "relay", "workers": [], "begin_s": 6.0, "end_s": 8.0}
    )
    assert notes(relay, reasons=(told,)) == []
    gone = event(NATS_SILENT, 36.0, None, agent="probe")
    assert notes(gone, reasons=(Reason("nats_died", HOST),)) == []
    # Before it died, it had stood still.
    assert len(notes(event(NATS_SILENT, 30.0, 32.0), gone, reasons=(Reason("nats_died"),))) == 1


def test_what_others_tell_is_no_note() -> None:
    assert notes(paused("relay", 6.0, 6.9)) == []
    assert notes(event(AGENT_RESTARTED, 6.0, 9.0, agent="shuffler")) == []
    # The relay's silence of the window has a note or a reason of its own.
    assert notes(event(RELAY_SILENT, 6.0, 9.0, agent="shuffler")) == []
    assert len(notes(event(RELAY_SILENT, 1.0, 3.0, agent="shuffler"))) == 1


LATE = {"p99_ms": 500.0, "limit_ms": 100.0}


def causes(late: Reason, *events: dict[str, Any]) -> list[tuple[str, float]]:
    found = list(generators.paused(summary_of(*events), [late]))
    assert all(codes.sentence(reason) for reason in found)
    return [(one.parameters["agent"], one.parameters["begin_s"]) for one in found]


def test_a_pause_of_less_than_a_second_is_the_cause_of_its_own_agents_lateness() -> None:
    events = [paused("relay", 6.0, 6.6), paused("shuffler", 7.0, 7.4), paused("probe", 6.0, 9.0)]
    assert causes(Reason("relay_lateness_own", None, LATE), *events) == [("relay", 6.0)]
    lag = Reason("loop_lag", None, {**LATE, "process": f"consumers-1 on {HOST}"})
    assert causes(lag, *events) == []
    assert causes(lag, *events, paused("consumers", 8.0, 8.5, (1,))) == [("consumers", 8.0)]
    assert causes(Reason("relay_lateness_own", None, LATE), paused("relay", 36.0, 36.6)) == []


def test_of_many_pauses_the_longest_are_told_in_order() -> None:
    many = [paused("relay", at_s, at_s + 0.3) for at_s in range(6, 30)]
    late = Reason("relay_lateness_own", None, LATE)
    told = causes(late, paused("relay", 31.0, 32.0), *many, paused("relay", 5.0, 5.9))
    assert len(told) == generators.PAUSES_TOLD_MAX
    assert told == sorted(told, key=lambda one: one[1])
    assert {("relay", 31.0), ("relay", 5.0)} <= set(told)


@pytest.mark.parametrize(
    ("silence_s", "is_told"), [((-0.5, 1.5), True), ((-0.5, None), True), ((3.0, 5.0), False)]
)
def test_a_server_that_was_silent_when_the_run_began_is_the_cause_of_a_late_begin(
    silence_s: tuple[float, float | None], *, is_told: bool
) -> None:
    spread = {"spread_ms": 1600.0, "limit_ms": 100.0, "clocks_apart_ms": None}
    begin_s, end_s = silence_s
    summary = summary_of(event(NATS_SILENT, begin_s, end_s, agent="shuffler"))
    found = list(generators.waited_to_begin(summary, [Reason("start_spread", None, spread)]))
    assert [one.code for one in found] == ["nats_silent_at_start"] * is_told
    assert all(codes.sentence(reason) for reason in found)
    assert list(generators.waited_to_begin(summary, [])) == []


def test_a_short_pause_breaks_no_comparison() -> None:
    assert stalls.is_breaking(paused("relay", 6.0, 7.0))
    assert not stalls.is_breaking(paused("relay", 6.0, 6.6))
    assert stalls.is_breaking(event(AGENT_RESTARTED, 6.0, 6.2, agent="relay"))
    assert not stalls.is_breaking({"kind": "of_a_later_version"})
