"""What deliveries to the consumers of one process came to: counts, ages, first fetches."""

from __future__ import annotations

from array import array
from collections.abc import Callable

from fpaas.measures.histogram_log import Recorder, of_class


class Ages:
    """How old messages were when they came; of one class, or of all."""

    def __init__(self, of: str = "") -> None:
        self.publish_to_fetch = Recorder(of_class("publish_to_fetch", of))
        self.end_to_end = Recorder(of_class("end_to_end", of))

    @property
    def recorders(self) -> list[Recorder]:
        """Both of them."""
        return [self.publish_to_fetch, self.end_to_end]


class Deliveries:
    """Deliveries to all consumers of one process.

    `first_fetch` is as fpaas.measures.first_fetch has it; `first_fetches` the same for each of
    several `streams`, by the number that consumers' logs have.

    `frame_due_ns(relay_seq) = t0_unix_ns + (relay_seq - first_seq) * frame_interval_ns` where the
    frames come from our relay at one rate. At rates by schedule, `due_ns(relay_seq - first_seq)` is
    since T0. Both are None for a foreign relay.
    """

    def __init__(
        self,
        *,
        t0_unix_ns: int,
        first_seq: int = 0,
        frame_interval_ns: float | None = None,
        due_ns: Callable[[int], int] | None = None,
        keeps_first_fetch: bool = True,
        streams: int = 1,
    ) -> None:
        self.t0_unix_ns = t0_unix_ns
        self.first_seq = first_seq
        self.frame_interval_ns = frame_interval_ns
        self.due_ns = due_ns
        self.processed = 0
        self.bytes = 0
        self.acks = 0
        self.redelivered = 0
        self.ages = Ages()
        #: By class of a mix; added to the totals once a second.
        self.ages_by_class: dict[str, Ages] = {}
        self.first_fetch: array[int] | None = array("I") if keeps_first_fetch else None
        is_split = keeps_first_fetch and streams > 1
        self.first_fetches = [array("I") for _ in range(streams)] if is_split else []

    @property
    def recorders(self) -> list[Recorder]:
        """All that is recorded of deliveries."""
        of_classes = self.ages_by_class.values()
        return [*self.ages.recorders, *(one for ages in of_classes for one in ages.recorders)]

    def add_up_classes(self) -> None:
        """Add to the ages of all what came to each class since the last time."""
        for ages in self.ages_by_class.values():
            self.ages.publish_to_fetch.samples_ns += ages.publish_to_fetch.samples_ns
            self.ages.end_to_end.samples_ns += ages.end_to_end.samples_ns

    def begin_stream(self) -> None:
        """Count stream sequences from 1 again."""
        if self.first_fetch is not None:
            self.first_fetch = array("I")
