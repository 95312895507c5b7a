"""Latency legs of a run: the agents' histogram logs, merged over a window, clocks corrected."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from fpaas.bundle.bundle import Bundle
from fpaas.latency import open_calls
from fpaas.latency.clocks import Clocks
from fpaas.latency.leg_kinds import LEGS
from fpaas.latency.open_calls import CallWindow
from fpaas.latency.processes import bins_of, process_of
from fpaas.measures import histograms
from fpaas.measures.figures import Window
from fpaas.measures.histogram_log import leg_of, of_class
from fpaas.measures.histograms import Leg
from fpaas.reason import Reason
from fpaas.spec import NS_PER_S, RunSpec


@dataclass
class Legs:
    """Latency legs of the window, by agent, and those of each process of an agent.

    `due` counts, by agent and leg, the calls that fell due in the window; None in a leg's place if
    that is not known of each process. `by_beginning` is false of older runs, whose calls are filed
    under when they ended; then what was open is not known.
    """

    merged: dict[str, dict[str, Leg]]
    by_log: dict[str, list[tuple[str, dict[str, Leg]]]]
    due: dict[tuple[str, str], int | None] = field(default_factory=dict)
    by_beginning: bool = True
    #: Agents with a process that was killed: calls that ended in its last second were not recorded.
    cut_short: set[str] = field(default_factory=set)
    #: By tag of an age, how many deliveries that were never made were how old, in µs, when the run
    #: ended; None if that is not known. Only the ledger knows; see ledger.undelivered.
    undelivered: Mapping[str, Counter[int] | None] = field(default_factory=dict)

    @classmethod
    def read(cls, bundle: Bundle, window: Window) -> Legs:
        """Merge all histogram logs of a bundle, once a window.

        A log that is torn is added to the bundle's problems.
        """
        key = (cls, window)
        if key not in bundle.merged:
            bundle.merged[key] = _merge(bundle, window)
        legs: Legs = bundle.merged[key]
        return legs

    def get(self, agent_name: str, leg: str) -> Leg | None:
        """One leg over all of an agent's processes, with what was never delivered."""
        found = self.merged[agent_name].get(leg)
        ages_us = self.undelivered.get(leg)
        if found is None or not ages_us or not self.by_beginning:
            return found
        complete = histograms.new_leg()
        complete.add(found)
        complete.add_open(ages_us)
        return complete

    def p99_ms_by_host(self, leg: str) -> dict[str, dict[str, float]]:
        """Return the worst p99 of a leg among each agent's processes: {host: {agent: ms}}."""
        worst: dict[str, dict[str, float]] = {}
        for agent_name, logs in self.by_log.items():
            for name, legs in logs:
                p99_us = legs[leg].percentile_us(99) if leg in legs else None
                if p99_us is not None:
                    _, _, host = name.partition(" on ")
                    of_host = worst.setdefault(host, {})
                    of_host[agent_name] = max(of_host.get(agent_name, 0.0), p99_us / 1000)
        return worst

    def worst_p99_ms(self, agent_name: str, leg: str) -> tuple[str, float] | None:
        """Return the process with the highest p99 of a leg, and that p99."""
        found = [
            (value / 1000, name)
            for name, legs in self.by_log[agent_name]
            if leg in legs and (value := legs[leg].percentile_us(99)) is not None
        ]
        return None if not found else (max(found)[1], max(found)[0])


def merge_into(target: dict[str, Leg], source: dict[str, Leg]) -> None:
    """Merge legs into others of the same name."""
    for name, leg in source.items():
        target.setdefault(name, histograms.new_leg()).add(leg)


def _merge(bundle: Bundle, window: Window) -> Legs:
    legs = Legs({}, {})
    clocks = Clocks(bundle)
    calls = call_window(bundle.spec, window)
    for agent_name in ("relay", "shuffler", "consumers"):
        logs = legs.by_log[agent_name] = []
        merged = legs.merged[agent_name] = {}
        for part in bundle.hosts.values():
            for path in part.histogram_logs(agent_name):
                name = path.name.removesuffix(".hlog")
                try:
                    by_beginning = histograms.is_by_beginning(path)
                    from_ns, until_ns = (
                        (calls.from_unix_ns, calls.until_unix_ns)
                        if by_beginning
                        else (window.from_unix_ns, window.until_unix_ns)
                    )
                    one = histograms.merge_logs(
                        [path],
                        from_unix_s=from_ns / NS_PER_S,
                        until_unix_s=until_ns / NS_PER_S,
                        endless=_tags_of_ages(bundle.spec) if by_beginning else (),
                        shift_us=_of_legs(clocks.shift_us(part.host)),
                    )
                except Exception as error:  # noqa: BLE001 - the decoder's have no common class
                    wrong = {"file": path.name, "what": f"cannot be decoded: {error}"}
                    problem = Reason("file_unreadable", part.host, wrong)
                    # Another window has met it before.
                    if problem not in bundle.problems:
                        bundle.problems.append(problem)
                    continue
                if by_beginning:
                    process = process_of(bundle, part, agent_name, name)
                    if process.died:
                        legs.cut_short.add(agent_name)
                    counts = open_calls.complete(one, process, calls)
                    _sum_up(legs.due, agent_name, {leg: counts.get(leg) for leg in one} | counts)
                else:
                    legs.by_beginning = False
                logs.append((f"{name} on {part.host}", one))
                merge_into(merged, one)
    if not legs.by_beginning or not bundle_has_all_workers(bundle):
        legs.due = {
            key: None if key[0] == "consumers" or not legs.by_beginning else count
            for key, count in legs.due.items()
        }
    return legs


def _tags_of_ages(spec: RunSpec) -> set[str]:
    """Return the tags of ages: what was due in the window may be received however long after it."""
    names = ("", *(one.name for one in spec.consumers.classes))
    return {
        of_class(kind.recorded, name)
        for kind in LEGS.values()
        if kind.is_age and kind.recorded is not None
        for name in names
    }


def _of_legs(shift_us: Callable[[str, float], int]) -> Callable[[str, float], int]:
    return lambda tag, unix_s: shift_us(leg_of(tag), unix_s)


def _sum_up(
    due: dict[tuple[str, str], int | None], agent_name: str, counts: Mapping[str, int | None]
) -> None:
    """Add what fell due to one process; what is not known of each is not known of all."""
    for leg, count in counts.items():
        before = due.get((agent_name, leg), 0)
        due[agent_name, leg] = None if before is None or count is None else before + count


def bundle_has_all_workers(bundle: Bundle) -> bool:
    """Whether all of the run's consumers were played by workers that left an account."""
    played = sum(worker.result.count for _, worker in bundle.workers if worker.result)
    return played == bundle.spec.consumers.count


def call_window(spec: RunSpec, window: Window) -> CallWindow:
    """Return the bins of a window; raw calls are filed under bins, so no finer cut is possible."""
    return CallWindow.of(bins_of(spec), window.from_unix_ns, window.until_unix_ns)
