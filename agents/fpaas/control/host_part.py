"""What one host plays in runs, and the commands that it is given for that."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath

import msgspec

from fpaas.spec import RunSpec
from fpaas.spec.faults import of_host

#: What a host prints if it has a measurement of the network from an earlier run.
NETWORK_KEPT = "network"
#: A look at a host that is not up lasts at most this long there.
LOOK_AT_MOST_S = 2.0
LOOK_INTERVAL_S = 0.05
WAITED = "waited "
FAULTS = "faults"


class ServiceCommands(msgspec.Struct, frozen=True):
    """How `roles/_service` does it on this host; `{}` is a service."""

    #: Ends with 0 if agents of a run are at work.
    busy: list[str]
    #: Restart what comes before agents.
    first: list[list[str]]
    start: list[str]
    stop: list[str]
    #: Has servers that stay up give back their memory.
    free: list[str]
    #: Prints the last words of servers that do not run.
    said: list[str]
    unit: str


class HostPart(msgspec.Struct, frozen=True, kw_only=True):
    """`run_host_part` of `roles/run`."""

    agents: list[str]
    services: list[str]
    lab: str
    fpaas: str
    #: Of the run's directory; empty: whoever makes it.
    owner: str
    commands: ServiceCommands
    #: Empty if the host has none.
    nats_server: str
    nats_environment: dict[str, str]
    #: Fails if a limit of NATS is not in force; empty if there is none.
    limit_question: list[str]
    #: Hosts to which it measures the network, as the agent takes them, and how many measure to it.
    servers: list[str]
    clients: int
    network_listen: str
    #: How to bring what Prometheus saw of a run into its directory; empty if that is not asked for.
    keep_options: list[str]
    #: The control node's file with the login for that; empty: none is needed. Tasks' arguments can
    #: be shown (ANSIBLE_DISPLAY_ARGS_TO_STDOUT), so they have no password.
    keep_login: str

    def directory(self, run_id: str) -> str:
        """Return the run's directory on the host."""
        return f"{self.lab}/runs/{run_id}"

    def agents_of(self, run: RunSpec, host: str) -> list[str]:
        """Return the agents that it plays in a run."""
        return self.agents + self._faults(run, host)

    def lay_out(self, run_id: str, *, free_mb: float, keeps_network: bool) -> str:
        """Make the run's directory, with the run.json of stdin, and restart what comes first.

        With `free_mb`, first see to it that there is as much room, and that no run is on.
        """
        directory, lab = shlex.quote(self.directory(run_id)), shlex.quote(self.lab)
        lines = []
        if free_mb:
            lines += [
                f"if {_line(self.commands.busy)}; then echo 'a run is in progress' >&2; exit 1; fi",
                f"free=$(df --output=avail -B 1000000 {lab} | tail -n 1)",
                (
                    f'[ "$free" -ge {free_mb:.0f} ]'
                    f" || {{ echo {lab}: $free MB are free >&2; exit 1; }}"
                ),
            ]
        lines += [f"mkdir -p {directory}", f"chmod 755 {directory}"]
        if self.owner:
            owner = shlex.quote(f"{self.owner}:{self.owner}")
            lines.append(f"chown {owner} {directory}")
        lines += [
            f"ln -sfn runs/{shlex.quote(run_id)} {lab}/current",
            f"cat >{directory}/run.json",
            f"chmod 644 {directory}/run.json",
        ]
        if keeps_network and self.servers:
            copy = f"cp {lab}/network.json {directory}/network.json 2>/dev/null"
            lines.append(f"! {copy} || echo {NETWORK_KEPT}")
        lines += [_line(argv) for argv in self.commands.first]
        if self.limit_question:
            lines.append(_line(self.limit_question))
        return "\n".join(["set -e", *lines])

    def start(self, agents: Iterable[str]) -> str:
        """Start agents. By one call for all of them: so they start at the same time."""
        *command, of_one = self.commands.start
        return _line([*command, *(of_one.replace("{}", agent) for agent in agents)])

    def provision(self, run_id: str, nats_url: str) -> str:
        """Recreate the stream and its consumers."""
        run = f"{self.directory(run_id)}/run.json"
        settings = [f"{name}={value}" for name, value in self.nats_environment.items()]
        return _line(
            ["env", *settings, self.fpaas, "provision", "--run", run, "--nats-url", nats_url]
        )

    def look(self, run_id: str, agents: Sequence[str], first: str = "true") -> str:
        """Print how long it took for all agents to have a status, and all statuses there are.

        `first` is what is done before that, and takes its part of the time.
        """
        directory = self.directory(run_id)
        there = " && ".join(
            f"[ -e {shlex.quote(str(PurePosixPath(directory, f'{agent}.status.json')))} ]"
            for agent in agents
        )
        return (
            f"began=$(date +%s%N); left={round(LOOK_AT_MOST_S / LOOK_INTERVAL_S)}\n"
            f"{first} || exit\n"
            f"until {{ {there}; }} || [ $left -eq 0 ]\n"
            f"do sleep {LOOK_INTERVAL_S}; left=$((left - 1)); done\n"
            f'echo "{WAITED}$(($(date +%s%N) - began))"\n'
            f"cat {shlex.quote(directory)}/*.status.json 2>/dev/null; true"
        )

    def serve_network(self, patience_s: float) -> str:
        """Let other hosts measure the network to this one."""
        listening = ["serve", "--detach", "--listen", self.network_listen]
        limits = ["--clients", str(self.clients), "--at-most-s", f"{patience_s:g}"]
        return _line([self.fpaas, "network", *listening, *limits])

    def measure_network(self, run_id: str, host: str, talkers: int) -> str:
        """Measure the network to the hosts that it will talk to, and keep that."""
        directory = self.directory(run_id)
        options = ["--host", host, "--clients", str(talkers)]
        measure = [self.fpaas, "network", "measure", directory, *options, *self.servers]
        keep = ["cp", f"{directory}/network.json", f"{self.lab}/network.json"]
        return f"{_line(measure)} && {_line(keep)}"

    def arm(self, run_id: str) -> str:
        """Replace the plan. Agents look at it all the time: it must be there as a whole."""
        path = shlex.quote(f"{self.directory(run_id)}/run.json")
        return f"set -e\ncat >{path}.new\nchmod 644 {path}.new\nmv {path}.new {path}"

    def stop(self) -> str:
        """Stop what may be left of the agents."""
        return _line(self.commands.stop)

    def free(self) -> str:
        """Have servers that stay up give back their memory."""
        return _line(self.commands.free)

    def said(self) -> str:
        """Print the last words of servers that do not run."""
        return _line(self.commands.said)

    def keep_metrics(self, run_id: str) -> str:
        """Bring what Prometheus saw into the run's directory."""
        return _line([self.fpaas, "keep", self.directory(run_id), *self.keep_options])

    def seal(self, run: RunSpec, host: str) -> list[str]:
        """Seal the run's directory, with what units said."""
        command = [self.fpaas, "seal", self.directory(run.run_id), "--host", host]
        if self.nats_server:
            command += ["--nats-server", self.nats_server]
        for service in self.services + self._faults(run, host):
            command += ["--journal", f"{service}={self.commands.unit.replace('{}', service)}"]
        return command

    def archive(self, run_id: str) -> str:
        """Return where the run is packed, to be brought."""
        return f"{self.lab}/runs/{run_id}.tar.gz"

    def _faults(self, run: RunSpec, host: str) -> list[str]:
        return [FAULTS] if of_host(run.faults, run.hosts, host) else []


def waited_s(lines: Iterable[str]) -> float:
    """Return how long a look waited on the host, of what it printed."""
    found = [line.removeprefix(WAITED) for line in lines if line.startswith(WAITED)]
    return int(found[0]) / 1e9 if found and found[0].isdigit() else 0.0


def said_first(lines: Sequence[str]) -> str:
    """Return what was said by what was done before a look, of what that printed."""
    place = next((at for at, line in enumerate(lines) if line.startswith(WAITED)), 0)
    return "\n".join(lines[:place])


def _line(argv: Iterable[str]) -> str:
    return shlex.join(argv)
