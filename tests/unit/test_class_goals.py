"""Goals of one class of a mix: read, refused, judged with what was open, and compared."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from click.testing import CliRunner

from fpaas.cli import main
from fpaas.errors import SpecError
from fpaas.summary import comparison
from fpaas.verdict import codes, goals, verdict
from fpaas.verdict.measured import Measured
from tests.support import run_specs

MIX = [
    {"name": "feeds", "count": 2, "batch_size": 10, "poll_interval_s": 5},
    {"name": "search", "count": 3, "batch_size": 500, "fetch": "drain"},
]
LATE = "feeds.fetch_call_p99_ms_max"


def figures(p99_ms: float | None, *, lost: int = 0, **leg: object) -> dict[str, Any]:
    return {
        "consumers_never_fetched": 0,
        "processed_per_s": 7.0,
        "per_consumer_per_s": {"p50": 3.5},
        "fetches": {"batch_fill_pct": 50.0},
        "ledger": {"owed": 100, "lost": lost, "expired_unread": 0, "redelivered": 4},
        "plan": {"owed": 100, "expired_unread": 0},
        "latency_ms": {"fetch_call": {"p99": p99_ms, "open_count": 0, **leg}},
    }


def judge(stated: Mapping[str, object], **classes: dict[str, Any]) -> dict[str, goals.Goal]:
    """Judge classes by goals; the figures of all consumers together are bad ones."""
    spec = run_specs.build(bench_mix=MIX, bench_consumers=5)
    spec = replace(spec, scenario=replace(spec.scenario, goals=goals.read(stated)))
    summary = {"latency_ms": {"fetch_call": {"p99": 900.0}}, "classes": classes}
    judged = goals.judge(Measured(spec, summary, 0))
    return {f"{one.consumers}: {one.name}": one for one in judged}


def test_a_class_is_judged_by_its_own_figures() -> None:
    stated = {
        LATE: 100,
        "feeds.redelivered_max": 4,
        "feeds.processed_per_s_min": 7,
        "feeds.processed_per_consumer_per_s_min": 3.5,
        "search.fetch_call_p99_ms_max": 100,
    }
    judged = judge(stated, feeds=figures(99.0), search=figures(101.0))
    assert {name.split(": ")[1]: one.status for name, one in judged.items()} == {
        **dict.fromkeys(stated, goals.MET),
        "search.fetch_call_p99_ms_max": goals.MISSED,
    }
    assert judged[f"feeds: {LATE}"].meaning == "feeds: pull sent → answered, p99"
    reason = verdict._missed(judged["search: search.fetch_call_p99_ms_max"], {})
    assert codes.sentence(reason) == (
        "search: pull sent → answered, p99: 101 ms, the goal is at most 100 ms "
        "(search.fetch_call_p99_ms_max)"
    )


@pytest.mark.parametrize(
    ("at_least", "status"),
    [({"p99": None}, goals.NOT_MEASURED), ({"p99": 100.0}, goals.MET), ({}, goals.MET)],
)
def test_open_calls_of_the_class_decide(at_least: dict[str, object], status: str) -> None:
    own = figures(90.0, at_least=at_least, open_count=2, open_min_ms=12.5)
    judged = judge({LATE: 100}, feeds=own, search=figures(1.0))
    assert judged[f"feeds: {LATE}"].status == status
    unsure = verdict._missed(judged[f"feeds: {LATE}"], {"classes": {"feeds": own}})
    assert unsure.parameters["at_least"] is ("p99" in at_least)


def test_what_was_not_measured_of_a_class_is_not_met() -> None:
    judged = judge({LATE: 100}, feeds=figures(None), search=figures(1.0))
    assert judged[f"feeds: {LATE}"].status == goals.NOT_MEASURED
    [reason] = verdict._unjudged(list(judged.values()))
    assert reason.parameters == {"goals": [LATE]}


@pytest.mark.parametrize(("limit", "judged_as"), [(5, "feeds.deliveries_lost_max"), (None, None)])
def test_a_class_has_its_own_limit_in_place_of_that_of_each(
    limit: float | None, judged_as: str | None
) -> None:
    stated = {"deliveries_lost_max": 0, "feeds.deliveries_lost_max": limit}
    judged = judge(stated, feeds=figures(1.0, lost=3), search=figures(1.0, lost=3))
    of_feeds = [one for one in judged.values() if one.consumers == "feeds"]
    assert [(one.name, one.status) for one in of_feeds] == (
        [(judged_as, goals.MET)] if judged_as else []
    )
    assert judged["search: deliveries_lost_max"].status == goals.MISSED


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("feed.fetch_call_p99_ms_max", "no class named feed; did you mean feeds? its classes: fee"),
        ("feeds.fetch_cal_p99_ms_max", "did you mean feeds.fetch_call_p99_ms_max or"),
        ("feeds.redelivered", "did you mean feeds.redelivered_max or feeds.redelivered_min?"),
        ("feeds.nats_cpu_pct_max", "of a class there are: consumers_fetched_pct, "),
    ],
)
def test_refuses_goals_of_no_class_and_of_what_no_class_has(name: str, words: str) -> None:
    result = CliRunner().invoke(
        main,
        [
            "plan",
            *("--set", f"bench_mix={json.dumps(MIX)}", "--set", "bench_consumers=5"),
            *("--goals", json.dumps({name: 1})),
        ],
    )
    assert result.exit_code == 2
    assert name in result.output
    assert words in result.output.replace("\n", " ")


def test_a_goal_of_a_class_that_is_not_there_is_not_met() -> None:
    judged = judge({"gone.redelivered_max": 9}, feeds=figures(1.0), search=figures(1.0))
    assert [(one.name, one.status) for one in judged.values()] == [
        ("gone.redelivered_max", goals.NOT_MEASURED)
    ]


def test_without_a_mix_there_are_no_classes() -> None:
    with pytest.raises(SpecError, match=r"bench_mix has no class named feeds; it has none"):
        goals.check_classes({LATE: 1}, [])


def test_the_plan_says_which_goals_of_a_class_are_ruled_out() -> None:
    result = CliRunner().invoke(
        main,
        [
            "plan",
            *("--set", f"bench_mix={json.dumps(MIX)}", "--set", "bench_consumers=5"),
            *("--goals", json.dumps({f"{one['name']}.end_to_end_p99_ms_max": 1 for one in MIX})),
        ],
    )
    said = " ".join(result.output.split())
    assert "Its goal feeds.end_to_end_p99_ms_max is ruled out" in said
    # Who fetches until empty leaves nothing lying.
    assert "search.end_to_end_p99_ms_max" not in said


def test_classes_are_compared_each_by_itself() -> None:
    before = {"classes": {"feeds": figures(1.0, clock_error_ms=0.0)}}
    after = {"classes": {"feeds": figures(9.0, clock_error_ms=0.0)}}
    rows = {row.figure: row for row in comparison.compare([before], [after]).rows}
    assert rows["classes.feeds.latency_ms.fetch_call.p99"].worse
    assert rows["classes.feeds.processed_per_s"].ratio == 1
    unclear = {"classes": {"feeds": figures(9.0, clock_error_ms=10.0)}}
    left_out = comparison.compare([before], [unclear]).left_out
    assert "clocks" in left_out["classes.feeds.latency_ms.fetch_call.p99"]
