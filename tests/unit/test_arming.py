"""When a planned run begins."""

from __future__ import annotations

import pytest

from fpaas import spec
from fpaas.commands.plan import LOCALHOST
from fpaas.control.arming import HostClock, arm
from fpaas.measures.clock_at_start import ClockAtStart
from fpaas.records.status import AgentStatus, State

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
    ("now_ns", "consumers", "t0_ns"),
    [
        (100 * S, 1000, 105 * S),
        (100 * S + 1, 1000, 105 * S + S // 10),
        (101 * S - 1, 1000, 106 * S),
        (100 * S, 1, 103 * S + S // 10),
        (100 * S, 10_000, 123 * S),
    ],
)
def test_t0_is_the_lead_away_at_a_tenth_of_a_second(
    now_ns: int, consumers: int, t0_ns: int
) -> None:
    run = planned(consumers)
    armed = arm(run, now_ns, 3, 2, {})
    assert armed.t0_unix_ns == t0_ns
    assert armed.is_armed
    assert spec.RunSpec.from_json(armed.to_json(), "armed") == armed
    assert not run.is_armed


def test_the_lead_follows_what_connecting_takes() -> None:
    run = planned(10_000)
    t0s = [arm(run, 100 * S, 3, 0, {}, connect_s=takes).t0_unix_ns for takes in (0, 0.4, 20)]
    assert t0s == [103 * S, 103 * S + 8 * S // 10, 143 * S]


def test_the_lead_follows_what_a_call_takes() -> None:
    t0s = [arm(planned(1), 100 * S, 2, 0, {}, call_s=takes).t0_unix_ns for takes in (0, 0.3, 4)]
    assert t0s == [102 * S, 102 * S + 9 * S // 10, 114 * S]


def test_nanoseconds_are_exact() -> None:
    now_ns = 1_790_000_000 * S
    assert arm(planned(1), now_ns, 0, 0, {}).t0_unix_ns == now_ns


YEAR = 365 * 86_400 * S


def clock(low_ns: int, high_ns: int, common_minus_control_ns: int) -> HostClock:
    return HostClock(ClockAtStart(low_ns, high_ns), common_minus_control_ns)


def test_each_host_is_told_what_its_clock_is_off() -> None:
    clocks = {
        "nats": clock(-100, 200, -300_000_000),
        "ahead": clock(-3 * YEAR - 1000, -3 * YEAR + 1000, -300_000_000),
        "behind": clock(2_000_000, 2_000_500, -300_000_000),
    }
    armed = arm(planned(1), 100 * S, 3, 2, clocks)
    assert armed.clock_shifts_ns == {"nats": 0, "ahead": -3 * YEAR, "behind": 2_000_250}
    # Less than a second is what a status file is old.
    assert armed.control_clock_shift_ns == 0
    assert armed.t0_unix_ns == 103 * S + S // 10
    assert armed.clock_shift_ns("ahead") == -3 * YEAR
    assert armed.clock_shift_ns("never compared") == armed.clock_shift_ns(None) == 0
    assert spec.RunSpec.from_json(armed.to_json(), "armed") == armed


@pytest.mark.parametrize("ahead_s", [-YEAR // S, -300, 300, YEAR // S])
def test_t0_is_in_the_time_of_the_nats_host_not_of_the_control_node(ahead_s: int) -> None:
    seen = [ahead_s * S - 900_000_000, ahead_s * S - 50_000_000]
    clocks = {str(number): clock(-1, 1, one) for number, one in enumerate(seen)}
    armed = arm(planned(1), 100 * S, 3, 2, clocks)
    # The latest that is known is the nearest to what is true.
    assert armed.control_clock_shift_ns == seen[1]
    assert armed.t0_unix_ns == (100 + ahead_s + 3) * S


def test_a_probes_status_tells_both_clocks() -> None:
    at_start = ClockAtStart(-5 * S - 10, -5 * S + 10)
    status = AgentStatus(
        agent="probe",
        state=State.STARTING,
        message="",
        pid=1,
        pids=[1],
        unix_ns=1005 * S,
        figures=at_start.figures(),
    )
    seen = HostClock.seen(status, 900 * S)
    assert seen == HostClock(at_start, 100 * S)
    assert HostClock.from_dict(seen.to_dict()) == seen


def test_a_probe_that_has_not_compared_clocks_tells_nothing() -> None:
    status = AgentStatus(
        agent="probe", state=State.STARTING, message="", pid=1, pids=[1], unix_ns=S, figures={}
    )
    assert HostClock.seen(status, S) is None
