"""A fault excuses what it brought about, and nothing else: each excuse can fail."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fpaas.bundle.loader import load_bundle
from fpaas.reason import Reason
from fpaas.spec import Fault, RunSpec
from fpaas.summary import summary
from fpaas.verdict import codes, fault_excuses, verdict
from fpaas.verdict.facts import Facts
from tests.support.raw_run import HOST, RawRun

Json = dict[str, Any]
RUN = RawRun()


@pytest.fixture(scope="module")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> Json:
    directory = RUN.write(tmp_path_factory.mktemp("faults") / "run")
    return summary.analyse(load_bundle(directory))


def injected(fault: Fault, number: int = 0, **changes: Any) -> Json:  # noqa: ANN401
    """Return the event of a fault that went as planned."""
    event = {
        "kind": "fault",
        "host": HOST,
        "source": "fault",
        "begin_s": fault.at_s,
        "end_s": fault.until_s,
        "parameters": {"number": number, "agent": "faults", **fault.to_dict()},
    }
    return event | changes


def account(fault: Fault, **changes: Any) -> Json:  # noqa: ANN401
    """Return its entry in summary.faults."""
    return {
        "kind": fault.do,
        "on": [f"{HOST}: {fault.on}"],
        "parameters": fault.to_dict(),
        "began_s": fault.at_s,
        "ended_s": fault.until_s,
        "undone": True,
        "detected_s": 1.0,
        "recovered_s": 1.0,
    } | changes


def judge(
    content: Json,
    fault: Fault,
    *events: Json,
    happened: bool = True,
    facts: Facts | None = None,
    **changes: Any,  # noqa: ANN401
) -> verdict.Verdict:
    content = copy.deepcopy(content)
    spec: RunSpec = replace(
        RUN.spec, faults=[fault], firehose=replace(RUN.spec.firehose, undecodable_max_frames=1)
    )
    own = [injected(fault)] if happened else []
    content["events"] = [*own, *events]
    nothing = {"began_s": None, "ended_s": None, "undone": False}
    content["faults"] = [account(fault, **({} if happened else nothing))]
    for path, value in changes.items():
        section, _, name = path.partition("__")
        content[section][name] = value
    judged = verdict.judge(spec, content, facts or Facts(never_fetched=0))
    assert all(codes.sentence(one) for one in (*judged.reasons, *judged.notes))
    return judged


def codes_of(judged: verdict.Verdict) -> list[str]:
    return [reason.code for reason in judged.reasons]


PAUSE = Fault("pause", "relay", at_s=2.0, for_s=2.0)
GARBAGE = Fault("garbage", "relay", at_s=2.0, frames=3)


def test_what_happened_as_planned_is_no_reason(healthy: Json) -> None:
    assert judge(healthy, PAUSE).status == "pass"


def test_a_fault_that_nobody_injected_makes_a_run_invalid(healthy: Json) -> None:
    judged = judge(healthy, PAUSE, happened=False)
    assert codes_of(judged) == ["fault_not_injected"]
    # Another fault's event, or one of another host, does not stand in for it.
    for event in (
        injected(PAUSE, number=1),
        injected(replace(PAUSE, do="kill")),
        injected(PAUSE, host="elsewhere"),
    ):
        assert "fault_not_injected" in codes_of(judge(healthy, PAUSE, event, happened=False))


def test_a_fault_that_was_not_undone_makes_a_run_invalid(healthy: Json) -> None:
    event = injected(PAUSE, end_s=None)
    assert codes_of(judge(healthy, PAUSE, event, happened=False)) == ["fault_not_undone"]


@pytest.mark.parametrize(("count", "status"), [(4, "pass"), (2, "pass"), (5, "invalid")])
def test_bad_frames_are_excused_up_to_those_that_were_sent(
    healthy: Json, count: int, status: str
) -> None:
    judged = judge(healthy, GARBAGE, ledger__undecodable=count)
    assert judged.status == status
    if status == "pass":
        assert "explained_by_fault" in [note.code for note in judged.notes]


def test_a_fault_that_did_not_happen_excuses_nothing(healthy: Json) -> None:
    judged = judge(healthy, GARBAGE, happened=False, ledger__undecodable=2)
    assert codes_of(judged) == ["fault_not_injected", "frames_undecodable"]


def test_a_fault_of_another_kind_excuses_nothing(healthy: Json) -> None:
    assert codes_of(judge(healthy, PAUSE, ledger__undecodable=2)) == ["frames_undecodable"]


def stepped(*steps_ms: float) -> Json:
    t0 = RUN.spec.t0_unix_ns
    return {
        HOST: {
            "bound_ms": 0.1,
            "stepped": True,
            "steps": [{"unix_ns": t0, "step_ms": one} for one in steps_ms],
        }
    }


def began_apart(spread_ms: float, clocks_apart_ms: float | None) -> Json:
    return {"spread_ms": spread_ms, "limit_ms": 100.0, "clocks_apart_ms": clocks_apart_ms}


STEP = Fault("step_clock", HOST, at_s=2.0, for_s=2.0, step_s=3.0)


@pytest.mark.parametrize(
    ("steps_ms", "is_excused"),
    [
        ((3000.0, -2999.9), True),
        ((3000.0,), True),
        ((3000.0, -3000.0, 3000.0), False),
        ((3000.0, -1500.0), False),
        ((), False),
    ],
)
def test_steps_of_the_clock_are_excused_if_all_are_the_faults(
    healthy: Json,
    steps_ms: tuple[float, ...],
    is_excused: bool,  # noqa: FBT001
) -> None:
    content = {**healthy, "clock": stepped(*steps_ms)}
    assert ("clock_set" not in codes_of(judge(content, STEP))) == is_excused


@pytest.mark.parametrize(
    ("reason", "steps_ms", "is_explained"),
    [
        (Reason("clock_unsure", HOST, {"bound_ms": 3048.0}), (3000.0, -3000.0), True),
        (Reason("clock_unsure", HOST, {"bound_ms": 3048.0}), (), False),
        (Reason("clock_unsure", HOST, {"bound_ms": 3048.0}), (3000.0, 700.0), False),
        (Reason("start_spread", None, began_apart(1925.0, 1962.0)), (3000.0, -3000.0), True),
        (Reason("start_spread", None, began_apart(2925.0, 1962.0)), (3000.0, -3000.0), False),
        (Reason("start_spread", None, began_apart(1925.0, None)), (3000.0, -3000.0), False),
        (Reason("start_spread", None, began_apart(1925.0, 1962.0)), (3000.0, 700.0), False),
    ],
)
def test_what_follows_from_a_step_is_excused_with_it(
    healthy: Json,
    reason: Reason,
    steps_ms: tuple[float, ...],
    is_explained: bool,  # noqa: FBT001
) -> None:
    content = {**healthy, "clock": stepped(*steps_ms), "faults": [account(STEP)]}
    spec = replace(RUN.spec, faults=[STEP])
    assert bool(fault_excuses.explaining(reason, spec, content)) == is_explained


def test_a_clock_that_was_set_is_not_excused_if_goals_are_about_latencies(healthy: Json) -> None:
    spec = RUN.spec
    scenario = replace(spec.scenario, goals={"end_to_end_p99_ms_max": 1e9})
    content = {**healthy, "clock": stepped(3000.0), "faults": [account(STEP)]}
    content["events"] = [injected(STEP)]
    spec = replace(spec, faults=[STEP], scenario=scenario)
    judged = verdict.judge(spec, content, Facts(never_fetched=0))
    assert "clock_set" in codes_of(judged)


def test_lateness_outside_of_faults_is_not_excused(healthy: Json) -> None:
    late = Facts(never_fetched=0, own_lateness_p99_ms={"poll_lateness_own": 101.0})
    assert codes_of(judge(healthy, PAUSE, facts=late)) == ["poll_lateness_own"]
    on_time = Facts(never_fetched=0, own_lateness_p99_ms={"poll_lateness_own": 9.0})
    judged = judge(healthy, PAUSE, facts=on_time, fidelity__poll_lateness_own_ms={"p99": 900.0})
    assert judged.status == "pass"


def test_goals_about_faults_are_about_the_worst_and_need_all(healthy: Json) -> None:
    spec = replace(
        RUN.spec,
        faults=[PAUSE, replace(PAUSE, at_s=6.0)],
        scenario=replace(RUN.spec.scenario, goals={"fault_recovered_s_max": 5}),
    )
    happened = [injected(PAUSE), injected(spec.faults[1], number=1)]

    def status(*recovered_s: float | None) -> str:
        accounts = [account(PAUSE, recovered_s=one) for one in recovered_s]
        content = {**healthy, "events": happened, "faults": accounts}
        return verdict.judge(spec, content, Facts(never_fetched=0)).status

    assert status(2.0, 4.0) == "pass"
    assert status(2.0, 6.0) == "fail"
    assert status(2.0, None) == "invalid"


def test_a_run_is_told_apart_by_its_bundle(tmp_path: Path, healthy: Json) -> None:
    """Without faults nothing is added."""
    del tmp_path
    assert healthy["faults"] == []
