"""Specs of runs, as a scenario's playbook would make them of its variables."""

from __future__ import annotations

from fpaas import spec

TOPOLOGY = spec.Topology(
    hosts={"relay": ["a"], "nats": ["a"], "shuffler": ["a"], "consumers": ["a", "b", "c"]},
    nats_url="nats://127.0.0.1:4222",
    nats_monitoring_url="http://127.0.0.1:8222",
    relay_url="ws://127.0.0.1:2480",
)
SCENARIO = spec.Scenario("scenario-1", "baseline", "validate basic functionality")


def build(**values: object) -> spec.RunSpec:
    return spec.build(
        spec.read_variables(values),
        run_id="20260101T000000Z-scenario-1",
        scenario=SCENARIO,
        topology=TOPOLOGY,
        first_seq=1,
        t0_unix_ns=1_000_000_000_000_000_000,
    )
