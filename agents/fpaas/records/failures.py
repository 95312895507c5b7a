"""`failures.json`: what each failure playbook cost, as `make failure-matrix` found it."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from fpaas.records.accounts import FaultAccount
from fpaas.records.fields import Count
from fpaas.spec.described import doc

NAME = "failures.json"


class FailureRow(msgspec.Struct):
    """One playbook: its run, or why there is none. Figures are those of summary.json."""

    name: Annotated[str, doc("the playbook's, without `failure-`")]
    run_id: Annotated[str | None, doc("null if it was not played")] = None
    not_played: Annotated[str | None, doc("why it was not")] = None
    verdict: Annotated[str | None, doc("of its run; null: not played")] = None
    reasons: Annotated[list[str], doc("codes, without notes")] = []
    faults: Annotated[list[FaultAccount], doc("what each fault did")] = []
    redelivered: Annotated[Count | None, doc("deliveries that NATS marked as repeats")] = None
    duplicate_deliveries: Annotated[
        Count | None, doc("repeats of what the same consumer had received")
    ] = None
    lost: Annotated[Count | None, doc("deliveries lost")] = None
    lost_by_cause: Annotated[dict[str, Count], doc("without zeros")] = {}
    not_read: Annotated[Count | None, doc("frames that were never read")] = None
    replayed: Annotated[Count | None, doc("events published again")] = None
    measured_on: Annotated[str | None, doc("hosts and server, in words")] = None


class FailureTable(msgspec.Struct, kw_only=True):
    """`failures.json`, written after each playbook."""

    conditions: Annotated[dict[str, Any], doc("what all runs had in common")]
    failures: Annotated[list[FailureRow], doc("one for each playbook")]
