"""`failures.json`: what each failure playbook cost, as `make failure-matrix` found it."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from fpaas.records.accounts import FaultAccount
from fpaas.records.fields import Count, doc

NAME = "failures.json"


class FailureRow(msgspec.Struct):
    """One playbook: its run, or why there is none. Figures are those of summary.json."""

    name: Annotated[str, doc("the playbook's, without `failure-`")]
    run_id: Annotated[str | None, doc("null if it was not played")] = None
    not_played: Annotated[str | None, doc("why it was not")] = None
    verdict: str | None = None
    reasons: Annotated[list[str], doc("codes, without notes")] = []
    faults: list[FaultAccount] = []
    redelivered: Count | None = None
    duplicate_deliveries: Count | None = None
    lost: Count | None = None
    lost_by_cause: Annotated[dict[str, Count], doc("without zeros")] = {}
    not_read: Count | None = None
    replayed: Count | None = None
    measured_on: Annotated[str | None, doc("hosts and server, in words")] = None


class FailureTable(msgspec.Struct, kw_only=True):
    """`failures.json`, written after each playbook."""

    conditions: Annotated[dict[str, Any], doc("what all runs had in common")]
    failures: list[FailureRow]
