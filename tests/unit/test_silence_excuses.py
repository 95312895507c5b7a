"""Only faults on the events' way explain a relay's silence."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fpaas.bundle import relay_silence
from fpaas.spec import Fault
from tests.support import run_specs

SPEC = replace(
    run_specs.build(),
    hosts={"relay": ["r"], "shuffler": ["s"], "nats": ["n"], "consumers": ["c"]},
)


@pytest.mark.parametrize(
    ("fault", "explains"),
    [
        (Fault("silence", "relay", 5), True),
        (Fault("kill", "shuffler", 5, 1), True),
        (Fault("pause", "nats", 5, 1), True),
        (Fault("pause", "nats:leader", 5, 1), True),
        (Fault("limit", "s", 5, 1), True),
        (Fault("partition", "consumers", 5, 1, peer="nats"), True),
        (Fault("pause", "consumers", 5, 1), False),
        (Fault("kill", "worker:0", 5, 1), False),
        (Fault("limit", "c", 5, 1), False),
        (Fault("fill_disk", "shuffler", 5, 1), False),
        (Fault("step_clock", "relay", 5, 1), False),
    ],
)
def test_what_explains_silence(fault: Fault, *, explains: bool) -> None:
    spec = replace(SPEC, faults=[fault])
    assert bool(relay_silence._faults(spec)) is explains
