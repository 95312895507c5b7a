"""Waiting for a run's T0."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from fpaas import agent, common_time
from fpaas.errors import RunInvalid
from fpaas.records import files
from fpaas.records.status import State
from fpaas.spec import NS_PER_S, SETTLE_S
from tests.support.raw_run import RawRun


def test_agent_waits_until_the_run_is_armed(tmp_path: Path) -> None:
    run_json, run = tmp_path / "run.json", RawRun().spec
    planned = replace(run, t0_unix_ns=0)
    status = agent.Status(tmp_path, "relay")
    seen: list[object] = []

    def arm() -> None:
        seen.append(json.loads((tmp_path / "relay.status.json").read_text())["state"])
        files.write(run_json, json.loads(run.to_json()))

    run_json.write_text(planned.to_json())
    arming = threading.Timer(0.2, arm)
    arming.start()
    assert agent.armed(run_json, planned, status, "load") == run
    arming.join()
    assert seen == [State.STARTING]


@pytest.mark.parametrize(("host", "ahead_s"), [("near", 0), ("far", 300), ("unknown", 0)])
def test_agent_goes_by_the_common_time_once_it_is_armed(
    host: str, ahead_s: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(common_time, "_shift_ns", 0)
    shifts = {"near": 0, "far": -300 * NS_PER_S}
    run = replace(RawRun().spec, clock_shifts_ns=shifts)
    agent.armed(tmp_path / "run.json", run, agent.Status(tmp_path, "relay"), host)
    assert time.time_ns() - common_time.now_ns() == pytest.approx(ahead_s * NS_PER_S, abs=1e8)
    assert common_time.clock()() == pytest.approx(common_time.now_ns(), abs=1e8)


def test_run_that_nobody_arms_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_json, planned = tmp_path / "run.json", replace(RawRun().spec, t0_unix_ns=0)
    run_json.write_text(planned.to_json())
    monkeypatch.setattr(agent, "ARMED_WITHIN_S", 0.1)
    with pytest.raises(RunInvalid, match="got no T0 within"):
        agent.armed(run_json, planned, agent.Status(tmp_path, "relay"), None)
    assert json.loads((tmp_path / "relay.status.json").read_text())["state"] == State.FAILED


@pytest.mark.parametrize(
    ("states", "took_s"),
    [
        # Over, with nobody left to wait for.
        ({"shuffler": State.DONE, "consumers": State.FAILED}, 0.0),
        ({"shuffler": State.DONE, "consumers": State.RUNNING}, SETTLE_S),
        # It is on another host.
        ({"shuffler": State.DONE}, SETTLE_S),
    ],
)
def test_a_run_has_settled_when_agents_have_ended_or_had_time_to(
    tmp_path: Path, states: dict[str, State], took_s: float
) -> None:
    for name, state in states.items():
        agent.Status(tmp_path, name).set(state)
    run = RawRun().spec
    now_unix_ns = common_time.now_ns()
    run = replace(run, t0_unix_ns=run.t0_unix_ns - run.end_unix_ns + now_unix_ns)

    async def play() -> bool:
        awaited = ("shuffler", "consumers")
        return await agent.sleep_until_settled(run, tmp_path, awaited, asyncio.Event())

    assert asyncio.run(play())
    slept_s = (common_time.now_ns() - now_unix_ns) / NS_PER_S
    assert (slept_s >= SETTLE_S) == (took_s >= SETTLE_S)
