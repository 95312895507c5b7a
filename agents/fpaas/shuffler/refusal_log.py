"""Says in the log that the stream refuses publishes: now and then, not for each."""

from __future__ import annotations

import logging
import time

from fpaas.shuffler.publish_account import Account

log = logging.getLogger(__name__)

INTERVAL_S = 10.0


class RefusalLog:
    """Has the refusals' numbers from the account."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self._logged_s = -INTERVAL_S

    def note(self, reason: str) -> None:
        """Take a refusal in."""
        now_s = time.monotonic()
        if now_s - self._logged_s < INTERVAL_S:
            return
        self._logged_s = now_s
        log.error(
            "the stream refuses publishes: %s (%d so far); what may be taken later is repeated",
            reason,
            self._account.refusals_by_reason[reason],
        )
