"""The sources of all figures of a run, read once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from fpaas.bundle.bundle import Bundle
from fpaas.latency.clocks import Clocks
from fpaas.latency.legs import Legs
from fpaas.ledger.evidence import Evidence, worker_results
from fpaas.ledger.ledger import Ledger
from fpaas.measures.figures import Window
from fpaas.records.consumers import WorkerResult
from fpaas.spec import RunSpec


@dataclass(frozen=True)
class MeasuredRun:
    """A bundle, the window that figures are of, and the accounts that were made of both."""

    bundle: Bundle
    window: Window
    legs: Legs
    evidence: Evidence
    ledger: Ledger

    @property
    def spec(self) -> RunSpec:
        """The run's."""
        return self.bundle.spec

    @cached_property
    def clocks(self) -> Clocks:
        """How hosts' clocks differ."""
        return Clocks(self.bundle)

    @cached_property
    def results(self) -> list[WorkerResult] | None:
        """Results of the consumers workers; None if one left nothing."""
        return worker_results(self.bundle)

    @property
    def lasted(self) -> Window:
        """The stretch that rates cover: a run may have been stopped."""
        until_unix_ns = min(self.window.until_unix_ns, self.bundle.lasted_until_unix_ns)
        return Window(self.window.from_unix_ns, until_unix_ns)
