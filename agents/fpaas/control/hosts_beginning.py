"""Has hosts begin a run: starts what it needs everywhere, and gives them its T0."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from fpaas import common_time
from fpaas.control import agents_up, arming, hosts_network, run_account
from fpaas.control.host_part import NETWORK_KEPT, HostPart, said_first, waited_s
from fpaas.control.lab_host import (
    Host,
    HostError,
    checked,
    everywhere,
)
from fpaas.records import control
from fpaas.records.control import ControlProblem, Trouble
from fpaas.records.events import RUN_ARMED, EventLog
from fpaas.spec import RunSpec

LAY_OUT = "Make the run's directory, bring the plan, and restart NATS"
COME_UP = "Start the agents, recreate the stream, and wait until all are up"
ARM = "Arm the agents"


class CannotBeginError(Exception):
    """A run did not get as far as its T0; says why."""


class LeadTimes(msgspec.Struct, frozen=True):
    """How long agents have from when T0 is set, and to come up."""

    lead_s: float
    lead_s_per_1000_consumers: float
    start_patience_s: float


class Beginning:
    """Begins one run after the other on the same hosts. `show` shows a line to the user."""

    def __init__(
        self,
        parts: Mapping[str, HostPart],
        hosts: Mapping[str, Host],
        lead: LeadTimes,
        network: hosts_network.Network,
        show: Callable[[str], None],
    ) -> None:
        self._parts = parts
        self._hosts = hosts
        self._lead = lead
        self._network = network
        self._network_is_known = network.is_known
        self._show = show
        #: What making the stream said.
        self._said: list[str] = []

    def begin(self, planned: RunSpec, bundle: Path, *, free_mb: float) -> RunSpec:
        """Start all that a run needs, and give it its T0; with `free_mb`, look for room before.

        Raises CannotBeginError. What was started goes on.
        """
        planned_json = planned.to_json()

        def lay_out(name: str, host: Host) -> bool:
            script = self._parts[name].lay_out(
                planned.run_id, free_mb=free_mb, keeps_network=self._network_is_known
            )
            return NETWORK_KEPT in checked(host, script, planned_json).stdout.split()

        laid_out = everywhere(self._hosts, lay_out)
        self._stop_at(laid_out.errors, LAY_OUT, planned)
        clocks, connect_s, call_s = self._bring_up(planned)
        if self._network.talkers:
            measuring = [name for name, part in self._parts.items() if part.servers]
            if not all(laid_out.of[name] for name in measuring):
                self._network_is_known = hosts_network.measure(
                    self._parts, self._hosts, self._network, planned.run_id, self._show
                )
        armed = arming.arm(
            planned,
            common_time.now_ns(),
            self._lead.lead_s,
            self._lead.lead_s_per_1000_consumers,
            clocks,
            connect_s=connect_s,
            call_s=call_s,
        )
        armed_json = armed.to_json()

        def arm(name: str, host: Host) -> None:
            checked(host, self._parts[name].arm(planned.run_id), armed_json)

        self._stop_at(everywhere(self._hosts, arm).errors, ARM, planned)
        bundle.mkdir(parents=True, exist_ok=True)
        now = common_time.now_ns()
        with EventLog(bundle / control.EVENTS) as log:
            log.begin(RUN_ARMED, now, {}, end_unix_ns=now)
        return armed

    def _bring_up(self, planned: RunSpec) -> tuple[dict[str, arming.HostClock], float, float]:
        """Start the agents, and make the stream meanwhile; returns clocks, and the slowest's times.

        Never by two calls to one host at the same time: Ansible's connections cannot do that.
        """

        def come_up(name: str, host: Host) -> tuple[agents_up.Up, float]:
            return self._come_up(planned, name, host)

        up = everywhere(self._hosts, come_up)
        self._stop_at(up.errors, COME_UP, planned)
        while self._said:
            self._show(self._said.pop())
        return (
            {name: one.clock for name, (one, _) in up.of.items() if one.clock is not None},
            max(one.connect_s for one, _ in up.of.values()),
            max(call_s for _, call_s in up.of.values()),
        )

    def _come_up(self, planned: RunSpec, name: str, host: Host) -> tuple[agents_up.Up, float]:
        part = self._parts[name]
        agents = part.agents_of(planned, name)
        # Agents start at the first look, and come up while one host makes the stream.
        begin = part.start(agents)
        if name == next(iter(self._hosts)):
            begin += f" && {part.provision(planned.run_id, planned.nats_url)}"
        look = part.look(planned.run_id, agents)
        scripts = [part.look(planned.run_id, agents, begin)]
        slowest_s = 0.0

        def looked() -> list[str]:
            nonlocal slowest_s
            is_first = bool(scripts)
            began = time.monotonic()
            lines = checked(host, scripts.pop() if is_first else look).stdout.splitlines()
            if is_first and (said := said_first(lines)):
                self._said.append(said)
            slowest_s = max(slowest_s, time.monotonic() - began - waited_s(lines))
            return lines

        try:
            directory = part.directory(planned.run_id)
            up = agents_up.wait(looked, agents, self._lead.start_patience_s, directory)
        except agents_up.NotUpError as error:
            raise HostError(str(error)) from error
        return up, slowest_s

    # -- trouble -----------------------------------------------------------------------------------

    def _stop_at(self, errors: Mapping[str, HostError], task: str, planned: RunSpec) -> None:
        """Raise CannotBeginError if a host could not do its part."""
        if not errors:
            return
        problems = [
            ControlProblem(
                problem=Trouble.TASK_FAILED,
                host=name,
                parameters={"task": task, "message": str(error)},
            )
            for name, error in errors.items()
        ]
        sentences = run_account.sentences([*self._nats_problems(), *problems])
        where = self._parts[next(iter(errors))].directory(planned.run_id)
        raise CannotBeginError("\n".join([*sentences, f"Logs are in {where}."]))

    def _nats_problems(self) -> list[ControlProblem]:
        """Clients notice that a server does not run; only the server itself knows why."""
        servers = {n: self._hosts[n] for n, part in self._parts.items() if part.nats_server}

        def ask(name: str, host: Host) -> str:
            return host.call(self._parts[name].said()).stdout.strip("\n")

        said = everywhere(servers, ask).of
        return [
            ControlProblem(problem=Trouble.NATS_DOWN, host=name, parameters={"message": message})
            for name, message in said.items()
            if message
        ]
