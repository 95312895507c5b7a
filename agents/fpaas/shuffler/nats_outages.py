"""When the connection to NATS was lost, and there again."""

from __future__ import annotations

from fpaas import common_time
from fpaas.records.shuffler import NatsOutage

#: This many are remembered.
OUTAGES_MAX = 1000


class NatsOutages:
    """All of them, in order; what is noted is of the last one, and once."""

    def __init__(self) -> None:
        self.all: list[NatsOutage] = []

    def begin(self) -> None:
        """Note that the connection is lost."""
        if len(self.all) < OUTAGES_MAX:
            self.all.append(NatsOutage(common_time.now_ns()))

    def answered(self) -> None:
        """Note that there is a connection again."""
        for outage in self.all[-1:]:
            outage.answered_unix_ns = outage.answered_unix_ns or common_time.now_ns()

    def resumed(self) -> None:
        """Note that everything that was in flight, or lost with a stream, was written again."""
        for outage in self.all[-1:]:
            outage.resumed_unix_ns = outage.resumed_unix_ns or common_time.now_ns()
