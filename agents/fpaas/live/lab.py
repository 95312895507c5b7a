"""The run that is on in this checkout's lab; in between, the one before, by its bundle."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fpaas.errors import BadInput
from fpaas.live.dump import HostDump
from fpaas.live.source import Here
from fpaas.spec import RunSpec, SpecError

#: Where playbooks put both, unless they are told another place.
LAB, RESULTS = Path(".lab"), Path("results")


class OfLab:
    """Whichever run the lab's `current` leads to; its bundle as soon as that has a verdict."""

    def __init__(self) -> None:
        self._current = LAB / "current"
        self._here = Here(self._current)
        #: Of the run that is seen as its agents tell it, until it has its verdict.
        self._awaited_id = ""

    @property
    def is_there(self) -> bool:
        """Whether there is, or was, a run."""
        return self._current.is_dir() or self._here.directory.is_dir()

    def dumps(self) -> dict[str, HostDump]:
        """Return each host's part of the run that is on, or was last. Raises BadInput."""
        self._here = self._next()
        if not self._here.directory.is_dir():
            if self._awaited_id:
                raise BadInput(
                    f"{self._awaited_id}: is over, and its files are no longer here; use "
                    f"`fpaas watch` on its bundle in the run's results_dir, which is not {RESULTS}"
                )
            raise BadInput(
                f"no run is in progress here ({self._current} does not exist); "
                "give results/<run-id>, or -i INVENTORY"
            )
        return self._here.dumps()

    def _next(self) -> Here:
        """Return the run to look at: none is left for the next before its verdict was shown."""
        if self._awaited_id and (bundle := reported(self._awaited_id)):
            self._awaited_id = ""
            return Here(bundle)
        # Before a further run, and after the last one, the link is away.
        if not self._current.is_dir():
            return self._here
        here = Here(self._current.resolve())
        try:
            run_id = RunSpec.load(here.directory / "run.json").run_id
        except (OSError, SpecError):
            return here
        if bundle := reported(run_id):
            return Here(bundle)
        self._awaited_id = run_id
        return here

    def run(self, dumps: Mapping[str, HostDump]) -> RunSpec:
        """Return what the run is. Raises BadInput."""
        return self._here.run(dumps)

    def now_unix_ns(self, run: RunSpec, dumps: Mapping[str, HostDump]) -> int:
        """Return the run's time, by this machine's clock."""
        return self._here.now_unix_ns(run, dumps)

    def summary(self) -> Mapping[str, Any] | None:
        """Return the summary of its bundle; None while it has none."""
        return self._here.summary()

    def problems(self) -> list[str]:
        """Return what its bundle lacks."""
        return self._here.problems()


def reported(run_id: str) -> Path | None:
    """Return the bundle of a run, if it is where bundles are and has a verdict."""
    bundle = RESULTS / run_id
    is_reported = (bundle / "run.json").is_file() and Here(bundle).summary() is not None
    return bundle if is_reported else None
