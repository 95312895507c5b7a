"""When a process of the lab ended, as its host's probe was told by the kernel. Pure."""

from __future__ import annotations

from fpaas.bundle.parts import HostPart
from fpaas.records.events import PROCESS_ENDED
from fpaas.records.probe import AGENT as PROBE


def first_after(part: HostPart, process: str, last_sign_unix_ns: int) -> int | None:
    """Return when a process ended that gave its last sign of life then; None if nobody saw it.

    A host's consumers workers have one name: of those, the first that ended since.
    """
    return min(
        (
            record.begin_unix_ns
            for record in part.events.get(PROBE, ())
            if record.kind == PROCESS_ENDED
            and record.parameters.get("process") == process
            and record.begin_unix_ns >= last_sign_unix_ns
        ),
        default=None,
    )
