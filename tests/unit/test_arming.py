"""When a planned run begins."""

from __future__ import annotations

import pytest

from fpaas import spec
from fpaas.commands.plan import LOCALHOST
from fpaas.control.arming import arm

S = spec.NS_PER_S


def planned(consumers: int) -> spec.RunSpec:
    return spec.build(
        spec.read_variables({"bench_consumers": consumers}),
        run_id="one",
        scenario=spec.Scenario("one", "", ""),
        topology=LOCALHOST,
        first_seq=1,
    )


@pytest.mark.parametrize(
    ("now_ns", "consumers", "t0_s"),
    [
        (100 * S, 1000, 105),
        (100 * S + 1, 1000, 106),
        (101 * S - 1, 1000, 106),
        (100 * S, 1, 104),
        (100 * S, 10_000, 123),
    ],
)
def test_t0_is_the_lead_away_at_a_whole_second(now_ns: int, consumers: int, t0_s: int) -> None:
    run = planned(consumers)
    armed = arm(run, now_ns, 3, 2)
    assert armed.t0_unix_ns == t0_s * S
    assert armed.is_armed
    assert spec.RunSpec.from_json(armed.to_json(), "armed") == armed
    assert not run.is_armed


def test_nanoseconds_are_exact() -> None:
    now_ns = 1_790_000_000 * S
    assert arm(planned(1), now_ns, 0, 0).t0_unix_ns == now_ns
