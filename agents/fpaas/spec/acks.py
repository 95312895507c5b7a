"""What consumers acknowledge: each message, none, or all up to one by an ack of that. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fpaas.errors import SpecError
from fpaas.spec.mix import ConsumerClass

EXPLICIT, NONE, ALL = "explicit", "none", "all"
ACKS = (EXPLICIT, NONE, ALL)
WORDS = {
    EXPLICIT: "each message is acknowledged",
    NONE: "nothing is acknowledged, and nothing sent again",
    ALL: "an ack is of all messages before it, too",
}
#: Variables by which a class treats messages differently.
_OF_ONE_MESSAGE = (
    *("terminate_pct", "nak_pct", "no_ack_pct", "in_progress_pct"),
    *("max_deliver", "processing_ms"),
)


def check(values: Mapping[str, Any], classes: Sequence[ConsumerClass]) -> None:
    """Refuse what needs an ack of each message if there is none. Raises SpecError that names it."""
    ack = values["bench_ack"]
    if ack == EXPLICIT:
        return
    for one in classes:
        for name in _OF_ONE_MESSAGE:
            if getattr(one, name):
                raise SpecError(
                    f"bench_mix: {one.name}: {name}: {getattr(one, name):g} is not allowed with "
                    f"bench_ack={ack}; it is about the answer to a single message, which only "
                    f"bench_ack={EXPLICIT} has"
                )
    if ack == ALL and values["bench_delivery"] == "shared":
        raise SpecError(
            f"bench_ack: {ALL} is not allowed with bench_delivery=shared; a consumer's ack would "
            "be of what the others received, too, and had not processed yet"
        )
    if ack == NONE and values["bench_max_ack_pending"] != "auto":
        raise SpecError(
            f"bench_max_ack_pending: {values['bench_max_ack_pending']} is not allowed with "
            f"bench_ack={NONE}; no message waits for an ack"
        )
