"""What a goal is judged by: a run's figures, and what can be one of them. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fpaas.reason import Reason
from fpaas.records.paths import pick
from fpaas.spec import RunSpec


@dataclass(frozen=True)
class Measured:
    """A run's figures: summary.json, and what goals need beside it."""

    spec: RunSpec
    summary: Mapping[str, Any]
    never_fetched: int | None
    shuffler_reconnects: int = 0
    #: What failed though no fault of the run was to bring that about: each has how often as
    #: `by_itself`. None: not known.
    failures: Sequence[Reason] | None = ()
    #: How often publishes failed for good, by reason.
    publish_failures: Mapping[str, int] = field(default_factory=dict)
    #: Servers failed by faults of the run, nothing failed by itself, and the run went on.
    failed_over: bool = False
    #: Every consumer was polled for at least so long without a break; None: as the spec has it.
    polled_s: float | None = None

    def by_class(self) -> Iterator[tuple[str, Measured]]:
        """Iterate over the classes of a mix, each as if it were a run."""
        for of_class in self.spec.by_class() if self.spec.consumers.classes else ():
            name = of_class.consumers.classes[0].name
            figures = self.pick("classes", name) or {}
            never = figures.get("consumers_never_fetched")
            # In place of the figures of all.
            rates = {key: figures.get(key) for key in ("processed_per_s", "per_consumer_per_s")}
            as_run = {**figures, "throughput": rates}
            yield name, Measured(of_class, as_run, never, polled_s=self.polled_s)

    def pick(self, *path: str) -> Any:  # noqa: ANN401
        """Follow keys into the summary; None if one is missing."""
        return pick(self.summary, *path)


def _nothing(_: Measured) -> Iterator[Reason]:
    return iter(())


@dataclass(frozen=True)
class Open:
    """Calls without an end, which a percentile is to be read with.

    The figure measured is the least that it can be; `highest` is the most, None: there is none.
    """

    leg: str
    count: int
    min_ms: float | None
    highest: float | None

    def reason(self) -> Reason:
        """As the cause of a goal that cannot be judged."""
        return Reason(
            "calls_open",
            None,
            {"leg": self.leg, "open_count": self.count, "open_min_ms": self.min_ms},
        )


@dataclass(frozen=True)
class Figure:
    """What goals can be about. `causes` say why it is not as it should be.

    `open` are the calls that could still change it; None if there are none.
    """

    meaning: str
    unit: str
    measure: Callable[[Measured], float | None]
    ruled_out: Callable[[Measured], Reason | None] = lambda _: None
    causes: Callable[[Measured], Iterator[Reason]] = _nothing
    open: Callable[[Measured], Open | None] = lambda _: None
