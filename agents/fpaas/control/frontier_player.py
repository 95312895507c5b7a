"""Plays the search for a frontier: each run's outcome decides on the next point of the grid."""

from __future__ import annotations

from fpaas.control.capacity_player import Searcher
from fpaas.control.capacity_question import RISING
from fpaas.records.sweep import Sweep
from fpaas.search import frontier_played
from fpaas.spec import SpecError
from fpaas.text import frontier_text

AXES = 2


def prepare(sweep: Sweep) -> None:
    """Have a sweep over a grid search for its frontier. Raises SpecError if it cannot."""
    names = list(sweep.grid)
    if len(names) != AXES or not {*names} <= RISING.keys():
        allowed = ", ".join(RISING)
        raise SpecError(f"frontier_grid: expected values of two variables of {allowed}")
    sweep.frontier = {
        name: sorted(map(float, values), reverse=not RISING[name])
        for name, values in sweep.grid.items()
    }


class FrontierPlayer(Searcher):
    """Walks along the frontier; the grid's other points follow from those on it."""

    def outline(self) -> str:
        """Say what would be played."""
        most = frontier_played.grid(self._sweep).points_max
        return (
            f"searches for the frontier by at most {most} of {len(self._sweep.points)} points, "
            f"into {self._directory}"
        )

    def _play_all(self) -> None:
        self._show(f"{self.outline()}: {self._sweep.sweep_id}")
        by_load = {frontier_played.load_of(self._sweep, one): one for one in self._sweep.points}
        while not isinstance(step := frontier_played.state(self._sweep), list):
            self._show(frontier_text.progress(self._sweep, step, self._run_number()))
            self._try(by_load[step])

    def _finish(self) -> str:
        """Show the frontier."""
        super()._finish()
        self._show("\n".join(frontier_text.lines(self._sweep)))
        return ""
