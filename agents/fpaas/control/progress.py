"""A run's progress as the control node sees it, from the agents' status files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from fpaas.control.play_notes import RunProgress
from fpaas.records.control import ControlProblem, Trouble
from fpaas.records.fields import Number
from fpaas.records.status import ENDED, AgentStatus, State
from fpaas.spec import NS_PER_S, RunSpec
from fpaas.spec.faults import KINDS, NATS, OfHost, of_host
from fpaas.text import bars

#: Agents write their status every second; one silent for this long of a run is stuck or gone.
SILENT_S = 15.0
#: On a busy machine an agent may take this much longer to come up than the run allows for.
LATE_START_S = 5.0
BAR_WIDTH = 24
#: On a terminal with fewer columns than this, figures say more than a long bar.
WIDE = 100
NARROW = 12
#: A part that a fault ended or stopped has this long to be back, once that is undone.
BACK_WITHIN_S = 20.0
#: Agents that the service manager starts again, and how long that may take.
STARTED_AGAIN = ("shuffler",)
STARTED_AGAIN_WITHIN_S = 10.0
#: Without its only NATS server, a run is not worth waiting for any longer.
NATS_AWAY_S = 30.0
#: Figures that tell how far an agent is, in the order they are shown.
FIGURES = {
    "relay": ("offered",),
    "shuffler": ("read", "published"),
    "consumers": ("processed", "polls"),
}


class Progress:
    """Follows one host's agents through a run.

    `update()` with the content of their files, then ask `problems`, `finished` and `at`.
    """

    def __init__(self, run: RunSpec, host: str, agents: Iterable[str], grace_s: float) -> None:
        self.run = run
        self.host = host
        self._faults = of_host(run.faults, run.hosts, host)
        self._agents = list(agents)
        self._statuses: dict[str, AgentStatus] = {}
        self._gone: set[int] = set()
        self._nats_trouble_since_unix_ns: int | None = None
        self._give_up_unix_ns = run.settled_unix_ns + round(grace_s * NS_PER_S)

    @property
    def pids(self) -> list[int]:
        """Processes of agents that have not ended: whether they are alive is to be looked up."""
        return [s.pid for s in self._statuses.values() if s.state not in ENDED and s.pid]

    def update(self, lines: Iterable[str], gone: Iterable[int] = ()) -> None:
        """Take in status files' lines, and pids that are no more."""
        for line in lines:
            status = AgentStatus.parse(line)
            if status is not None and status.agent in self._agents:
                self._statuses[status.agent] = status
        self._gone.update(gone)
        probe = self._statuses.get("probe")
        if not self.nats_trouble or probe is None:
            self._nats_trouble_since_unix_ns = None
        elif self._nats_trouble_since_unix_ns is None:
            self._nats_trouble_since_unix_ns = probe.unix_ns

    def problems(self, now_unix_ns: int) -> list[ControlProblem]:
        """Agents that failed, died, never came up or did not end in time, and why; also NATS."""
        found = [
            self._problem_of(agent, now_unix_ns)
            for agent in self._agents
            if not any(self._explains(fault, agent, now_unix_ns) for fault in self._faults)
        ]
        found.append(self._nats_problem(now_unix_ns))
        return [problem for problem in found if problem is not None]

    def _nats_problem(self, now_unix_ns: int) -> ControlProblem | None:
        """Say that NATS stays away, if the run cannot go on without this host's server."""
        since_unix_ns = self._nats_trouble_since_unix_ns
        if since_unix_ns is None or self.run.survives_a_server:
            return None
        if any(self._explains(fault, NATS, now_unix_ns) for fault in self._faults):
            return None
        if now_unix_ns - since_unix_ns <= NATS_AWAY_S * NS_PER_S:
            return None
        return ControlProblem(
            problem=Trouble.NATS_DOWN, host=self.host, parameters={"message": self.nats_trouble}
        )

    def _explains(self, one: OfHost, agent: str, now_unix_ns: int) -> bool:
        """Whether a fault of the run's own keeps an agent from working now."""
        since_t0_s = (now_unix_ns - self.run.t0_unix_ns) / NS_PER_S
        is_on_it = KINDS[one.fault.do].shares == "process" and any(
            target.group == agent for target in one.targets
        )
        return is_on_it and one.fault.at_s <= since_t0_s <= one.fault.until_s + BACK_WITHIN_S

    def _problem_of(self, agent: str, now_unix_ns: int) -> ControlProblem | None:
        def problem(what: Trouble, **more: str | float) -> ControlProblem:
            return ControlProblem(problem=what, host=self.host, parameters={"agent": agent, **more})

        status = self._statuses.get(agent)
        if status is None:
            late_s = (now_unix_ns - self.run.t0_unix_ns) / NS_PER_S
            return problem(Trouble.NOT_STARTED) if late_s > LATE_START_S else None
        if status.state == State.FAILED:
            return problem(Trouble.FAILED, message=status.message)
        if status.state in ENDED:
            was_early = status.state == State.STOPPED and now_unix_ns < self.run.end_unix_ns
            return problem(Trouble.STOPPED) if was_early else None
        # Agents may be busy before T0; all that matters is whether they are done by then.
        silent_s = (now_unix_ns - max(status.unix_ns, self.run.t0_unix_ns)) / NS_PER_S
        if status.pid in self._gone:
            is_started_again = agent in STARTED_AGAIN and silent_s <= STARTED_AGAIN_WITHIN_S
            return None if is_started_again else problem(Trouble.DIED, pid=status.pid)
        if now_unix_ns > self._give_up_unix_ns:
            return problem(Trouble.NOT_ENDED, state=status.state)
        is_silent = silent_s > SILENT_S and not self._cannot_write(now_unix_ns)
        return problem(Trouble.SILENT, silent_s=silent_s) if is_silent else None

    def _cannot_write(self, now_unix_ns: int) -> bool:
        """Whether a fault of the run fills this host's disk, so that statuses are not written."""
        since_t0_s = (now_unix_ns - self.run.t0_unix_ns) / NS_PER_S
        return any(
            KINDS[one.fault.do].shares == "disk"
            and one.fault.at_s <= since_t0_s <= one.fault.until_s + BACK_WITHIN_S
            for one in self._faults
        )

    @property
    def nats_trouble(self) -> str:
        """What is wrong with this host's NATS now, by its probe; empty if nothing is."""
        probe = self._statuses.get("probe")
        return probe.message if probe is not None and probe.state == State.RUNNING else ""

    def finished(self, now_unix_ns: int) -> bool:
        """Whether there is nothing left to wait for: all ended, or one is in trouble."""
        if self.problems(now_unix_ns):
            return True
        return all(
            agent in self._statuses and self._statuses[agent].state in ENDED
            for agent in self._agents
        )

    @property
    def shows_figures(self) -> bool:
        """Whether there is more to show of this host than how late it is."""
        return any(agent in FIGURES for agent in self._agents)

    def at(self, now_unix_ns: int) -> RunProgress:
        """Return how far this host is."""
        total_s = (self.run.settled_unix_ns - self.run.t0_unix_ns) / NS_PER_S
        return RunProgress(
            host=self.host,
            elapsed_s=min((now_unix_ns - self.run.t0_unix_ns) / NS_PER_S, total_s),
            total_s=total_s,
            phase=self.run.phase(now_unix_ns),
            figures={agent: figures for agent in FIGURES if (figures := self._figures(agent))},
        )

    def _figures(self, agent: str) -> dict[str, Number]:
        status = self._statuses.get(agent)
        counted = status.figures if status is not None else {}
        return {name: counted[name] for name in FIGURES[agent] if name in counted}


def line(progress: RunProgress) -> str:
    """Write how far a host is in one line: time, phase, figures."""
    shown = [f"{progress.elapsed_s:4.0f} s of {progress.total_s:.0f} s", progress.phase]
    for agent, figures in progress.figures.items():
        counts = ", ".join(f"{name} {count:.0f}" for name, count in figures.items())
        shown.append(f"{agent}: {counts}")
    return f"{progress.host}: {' | '.join(shown)}"


def bar_line(progress: RunProgress, figures: Mapping[str, float], width: int) -> str:
    """Write one line with a bar and what is left, no wider than that; `figures` are all hosts'.

    Figures that do not fit are left out, the last ones first.
    """
    left_s = progress.total_s - max(0.0, progress.elapsed_s)
    bar = bars.bar(progress.elapsed_s / progress.total_s, BAR_WIDTH if width >= WIDE else NARROW)
    written = f"{progress.phase:<9} {bar} {bars.clock(left_s)} left"
    between = "  "
    for name, count in figures.items():
        figure = f"{between}{name} {count:,.0f}"
        # A line that reached the last column would be two.
        if len(written) + len(figure) >= width:
            break
        written += figure
        between = ", "
    return written[: width - 1]
