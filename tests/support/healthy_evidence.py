"""The evidence of a run in which all went well."""

from __future__ import annotations

from fpaas.ledger.evidence import Evidence
from fpaas.spec import RunSpec
from tests.support.simulated_stream import (
    fanout,
    replace,
)


def healthy() -> tuple[RunSpec, Evidence]:
    """Two consumers, nothing expired, nothing lost; one has read all, one has not."""
    spec, simulation = fanout(2)
    simulation.publish(50)
    simulation.poll(simulation.durables[0], 0, 30, "r")
    simulation.poll(simulation.durables[0], 0, 20, "r")
    simulation.poll(simulation.durables[1], 0, 30, "r")
    return spec, simulation.evidence()


def with_relay(evidence: Evidence, **changes: int) -> Evidence:
    assert evidence.relay is not None
    relay = replace(evidence.relay, **changes)
    return replace(evidence, relay=relay)
