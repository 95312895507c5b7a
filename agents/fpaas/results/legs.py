"""Latency legs of a run: the agents' histogram logs, merged over a window, clocks corrected."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fpaas.measures import histograms
from fpaas.measures.histograms import Leg
from fpaas.reason import Reason
from fpaas.results.bundle import Bundle
from fpaas.results.clocks import Clocks
from fpaas.results.figures import Window


@dataclass
class Legs:
    """Latency legs of the window, by agent, and what each process of an agent saw by itself."""

    merged: dict[str, dict[str, Leg]]
    by_log: dict[str, list[tuple[str, dict[str, Leg]]]]

    @classmethod
    def read(cls, bundle: Bundle, window: Window) -> Legs:
        """Merge all histogram logs of a bundle, once a window.

        A log that is torn is added to the bundle's problems.
        """
        key = (cls, window)
        if key not in bundle.merged:
            bundle.merged[key] = cls._merge(bundle, window)
        legs: Legs = bundle.merged[key]
        return legs

    @classmethod
    def _merge(cls, bundle: Bundle, window: Window) -> Legs:
        legs = cls({}, {})
        clocks = Clocks(bundle)
        for agent in ("relay", "shuffler", "consumers"):
            logs = legs.by_log[agent] = []
            merged = legs.merged[agent] = {}
            for part in bundle.hosts.values():
                for path in part.histogram_logs(agent):
                    one = _read_log(path, window, clocks.shift_us(part.host))
                    if isinstance(one, str):
                        wrong = {"file": path.name, "what": one}
                        bundle.problems.append(Reason("file_unreadable", part.host, wrong))
                        continue
                    logs.append((f"{path.name.removesuffix('.hlog')} on {part.host}", one))
                    merge_into(merged, one)
        return legs

    def get(self, agent: str, leg: str) -> Leg | None:
        """One leg over all of an agent's processes."""
        return self.merged[agent].get(leg)

    def p99_ms_by_host(self, leg: str) -> dict[str, dict[str, float]]:
        """Return the worst p99 of a leg among each agent's processes: {host: {agent: ms}}."""
        worst: dict[str, dict[str, float]] = {}
        for agent, logs in self.by_log.items():
            for name, legs in logs:
                p99_us = legs[leg].percentile_us(99) if leg in legs else None
                if p99_us is not None:
                    _, _, host = name.partition(" on ")
                    of_host = worst.setdefault(host, {})
                    of_host[agent] = max(of_host.get(agent, 0.0), p99_us / 1000)
        return worst

    def worst_p99_ms(self, agent: str, leg: str) -> tuple[str, float] | None:
        """Return the process with the highest p99 of a leg, and that p99."""
        found = [
            (value / 1000, name)
            for name, legs in self.by_log[agent]
            if leg in legs and (value := legs[leg].percentile_us(99)) is not None
        ]
        return None if not found else (max(found)[1], max(found)[0])


def _read_log(
    path: Path, window: Window, shift_us: Callable[[str, float], int]
) -> dict[str, Leg] | str:
    try:
        return histograms.merge_logs(
            [path],
            from_unix_s=window.from_unix_s,
            until_unix_s=window.until_unix_s,
            shift_us=shift_us,
        )
    except Exception as error:  # noqa: BLE001 - the decoder's errors have no common class
        return f"cannot be decoded: {error}"


def merge_into(target: dict[str, Leg], source: dict[str, Leg]) -> None:
    """Merge legs into others of the same name."""
    for name, leg in source.items():
        target.setdefault(name, histograms.new_leg()).add(leg)
