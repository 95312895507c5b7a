"""What stood still, out of what several saw of it."""

from __future__ import annotations

from typing import Any

import pytest

from fpaas.verdict import stalls


def silence(agent: str, begin_s: float, end_s: float | None) -> dict[str, Any]:
    return event("nats_silent", agent, begin_s, end_s)


def event(kind: str, agent: str, begin_s: float, end_s: float | None) -> dict[str, Any]:
    parameters = {"agent": agent} | ({"workers": [0]} if agent == "consumers" else {})
    return {
        "kind": kind,
        "host": "one",
        "begin_s": begin_s,
        "end_s": end_s,
        "parameters": parameters,
    }


def seen_by_all(*events: dict[str, Any]) -> tuple[float, float | None]:
    (stall,) = [
        stalls.as_seen_by_all(group)
        for group in stalls.together(stalls.of(events))
        if group[0].part == "nats"
    ]
    return stall.begin_s, stall.end_s


@pytest.mark.parametrize("paused", ["shuffler", "probe", "consumers"])
def test_who_stood_still_when_it_began_tells_nothing_of_its_begin(paused: str) -> None:
    others = [silence("relay", 3.9, 11.0)]
    found = seen_by_all(
        *others, event("agent_paused", paused, 4.5, 9.5), silence(paused, 9.5, 11.02)
    )
    assert found == (3.9, 11.0)


def test_who_heard_it_last_tells_when_it_began() -> None:
    assert seen_by_all(silence("probe", 3.5, 9.0), silence("shuffler", 4.0, 8.9)) == (4.0, 8.9)


def test_of_one_who_stood_still_and_nobody_else_its_own_look_counts() -> None:
    found = seen_by_all(event("agent_paused", "probe", 4.5, 9.5), silence("probe", 9.6, 11.0))
    assert found == (9.6, 11.0)


def test_a_pause_of_another_worker_hides_nothing() -> None:
    other = event("agent_paused", "consumers", 1.0, 9.5)
    other["parameters"]["workers"] = [1]
    assert seen_by_all(other, silence("consumers", 9.4, 11.0), silence("probe", 9.0, 11.0)) == (
        9.4,
        11.0,
    )
