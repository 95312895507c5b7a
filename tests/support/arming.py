"""Gives a run its T0 once its agents are up: how long they take to start proves nothing."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path

from fpaas.records import files
from fpaas.spec import NS_PER_S, RunSpec
from tests.support.patience import PATIENCE_S

#: A busy machine takes seconds to start an agent, and starts many at once.
UP_WITHIN_S = 2 * PATIENCE_S


def wait_until_up(*statuses: Path) -> None:
    """Wait until each of these status files is there; an agent writes it when it waits for T0."""
    deadline = time.monotonic() + UP_WITHIN_S
    while missing := [path for path in statuses if not path.exists()]:
        assert time.monotonic() < deadline, f"agents did not come up: {missing}"
        time.sleep(0.02)


def arm_once_up(run_json: Path, *agents: str, lead_s: float) -> RunSpec:
    """Wait for agents beside `run_json`, set T0 a lead, seconds, from then, and return the run."""
    wait_until_up(*(run_json.parent / f"{agent}.status.json" for agent in agents))
    spec = RunSpec.load(run_json)
    spec = replace(spec, t0_unix_ns=time.time_ns() + round(lead_s * NS_PER_S))
    # Never half a file, for agents that are reading it.
    files.write(run_json, json.loads(spec.to_json()))
    return spec
