"""When a process of the lab ended, as its host's probe was told by the kernel. Pure.

For a consumers worker, its agent says so, too.
"""

from __future__ import annotations

from fpaas.bundle.parts import HostPart
from fpaas.records.events import PROCESS_ENDED
from fpaas.records.probe import AGENT as PROBE
from fpaas.spec.faults import CONSUMERS


def noted_by_agent(part: HostPart, worker: int) -> int | None:
    """Return when a consumers agent saw one of its workers end; None if it did not."""
    return min(
        (
            record.begin_unix_ns
            for record in part.events.get(CONSUMERS, ())
            if record.kind == PROCESS_ENDED and record.parameters.get("worker") == worker
        ),
        default=None,
    )


def first_after(
    part: HostPart, process: str, last_sign_unix_ns: int, worker: int | None = None
) -> int | None:
    """Return when a process ended that gave its last sign of life then; None if nobody saw it.

    To the probe, a host's consumers workers have one name: of those, the first that ended since.
    """
    ends = [
        record
        for observer in (PROBE, CONSUMERS)
        for record in part.events.get(observer, ())
        if record.kind == PROCESS_ENDED
        and record.parameters.get("process") == process
        and record.begin_unix_ns >= last_sign_unix_ns
    ]
    own = [record for record in ends if record.parameters.get("worker") == worker]
    return min((record.begin_unix_ns for record in own or ends), default=None)
