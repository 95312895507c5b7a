"""What a run owed its consumers, held against what they got."""

from __future__ import annotations

from typing import Any

from tests.support import verdict_codes


def check_all_delivered(summary: dict[str, Any], owed: int) -> None:
    """Check that nothing owed was lost, and all of it delivered.

    Consumers without CPU may not have come to the last of it: that is in the stream still, and the
    run says that the machine was busy.
    """
    ledger = summary["ledger"]
    assert ledger["owed"] == owed
    assert ledger["lost"] == ledger["expired_unread"] == 0
    assert ledger["delivered"] == owed - ledger["pending_at_end"]
    assert ledger["pending_at_end"] == 0 or verdict_codes.is_busy(summary)
