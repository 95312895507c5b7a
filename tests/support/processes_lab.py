"""A whole run of the agents as processes on this machine, with the NATS servers that a test has."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

from fpaas.commands.report import write_run
from fpaas.control import arming
from fpaas.records import files
from fpaas.records.status import AgentStatus
from fpaas.spec import NS_PER_S, RunSpec, Scenario, Topology, build, read_variables
from fpaas.spec.faults import of_host
from tests.support import control_account
from tests.support.arming import UP_WITHIN_S, wait_until_up
from tests.support.checkout import SCRIPTS
from tests.support.nats_servers import NatsServer
from tests.support.patience import PATIENCE_S
from tests.support.ports import free_port

LOAD_HOST = "load"
#: From arming to T0: agents connect meanwhile, on a machine that may be busy.
LEAD_S = 5


class ProcessesLab:
    """One run: relay (unless it is foreign), shuffler and consumers on the host `load`, and probes.

    A probe is on each host. `servers` are NATS servers by host name. `hosts` puts agents on hosts
    of their own; `environments` are by host; `arguments` are more of an agent's.
    """

    def __init__(
        self,
        directory: Path,
        servers: dict[str, NatsServer],
        hosts: dict[str, str] | None = None,
        /,
        **variables: object,
    ) -> None:
        self.environments: dict[str, dict[str, str]] = {}
        self.arguments: dict[str, tuple[str, ...]] = {}
        self._host_of = dict.fromkeys(("relay", "shuffler", "consumers"), LOAD_HOST) | (hosts or {})
        self._hosts = list(dict.fromkeys([*self._host_of.values(), *servers]))
        self.bundle = directory / "bundle"
        self._logs = directory
        self._servers = servers
        self._relay_port = free_port()
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        first_server = next(iter(servers.values()))
        topology = Topology(
            hosts={
                **{agent: [host] for agent, host in self._host_of.items()},
                "nats": list(servers),
            },
            nats_url=",".join(server.url for server in servers.values()),
            nats_monitoring_url=first_server.monitoring_url,
            relay_url=f"ws://127.0.0.1:{self._relay_port}",
        )
        self.spec: RunSpec = build(
            read_variables(variables),
            run_id="20260101T000000Z-test",
            scenario=Scenario("test", "test", "test"),
            topology=topology,
            first_seq=1,
        )

    def start(self) -> None:
        """Create the stream, start all agents and arm the run; they end by themselves."""
        self.launch()
        self.arm()

    def launch(self) -> None:
        """Create the stream and start all agents; they wait for T0."""
        self._write_spec()
        self._run("provision", "--run", self._run_json)
        listen = f"127.0.0.1:{self._relay_port}"
        host_of = self._host_of
        if self.spec.firehose.first_seq is not None:
            self._start("relay", host_of["relay"], "--listen", listen)
        self._start("shuffler", host_of["shuffler"], "--metrics-listen", "127.0.0.1:0")
        self._start_consumers()
        for host in self._hosts:
            if of_host(self.spec.faults, self.spec.hosts, host):
                self._start("faults", host, "--host", host)
        for host in self._hosts:
            if host not in self._servers:
                self._start("probe", host, "--host", host)
        for host, server in self._servers.items():
            monitoring = ("--nats-monitoring-url", server.monitoring_url)
            self._start("probe", host, "--host", host, *monitoring)
        names = [name.split(" on ") for name in self._processes]
        wait_until_up(
            *(self.bundle / "hosts" / host / f"{agent}.status.json" for agent, host in names)
        )

    def arm(self, lead_s: float = LEAD_S) -> None:
        """Set T0 once the stream is there, all are up and clocks were compared, as a playbook."""
        clocks: dict[str, arming.HostClock] = {}
        deadline = time.monotonic() + UP_WITHIN_S
        while len(clocks) < len(self._hosts):
            assert time.monotonic() < deadline, f"clocks were not compared: {sorted(clocks)}"
            time.sleep(0.05)
            clocks = {host: clock for host in self._hosts if (clock := self._clock(host))}
        self.spec = arming.arm(self.spec, time.time_ns(), lead_s, 0, clocks)
        self._write_spec()
        control_account.write(self.bundle)

    def _clock(self, host: str) -> arming.HostClock | None:
        status = AgentStatus.parse(
            (self.bundle / "hosts" / host / "probe.status.json").read_text(encoding="utf-8")
        )
        return None if status is None else arming.HostClock.seen(status, time.time_ns())

    @property
    def relay_url(self) -> str:
        """Where the relay listens."""
        return f"ws://127.0.0.1:{self._relay_port}"

    def pids(self, agent: str) -> list[int]:
        """Return the processes of an agent, itself first."""
        path = self.bundle / "hosts" / self._host_of[agent] / f"{agent}.status.json"
        pids: list[int] = json.loads(path.read_text())["pids"]
        return pids

    def kill(self, agent: str, process: int = 0) -> None:
        """Kill a process of an agent, itself or one of its workers, by SIGKILL."""
        os.kill(self.pids(agent)[process], signal.SIGKILL)

    def start_relay_again(self) -> None:
        """Start a relay in place of one that was killed."""
        self._await_end("relay")
        self._start("relay", self._host_of["relay"], "--listen", f"127.0.0.1:{self._relay_port}")
        self._await_status("relay")

    def start_shuffler_again(self) -> None:
        """Start a shuffler in place of one that was killed, as a service manager does."""
        self._await_end("shuffler")
        self._start("shuffler", self._host_of["shuffler"], "--metrics-listen", "127.0.0.1:0")
        self._await_status("shuffler")

    def start_consumers_again(self) -> None:
        """Start consumers in place of those that were killed."""
        self._await_end("consumers")
        self._start_consumers()
        self._await_status("consumers")

    def wait_until_counted(self, agent: str, figure: str, count: int) -> None:
        """Wait until an agent's status says that it has counted that many."""
        path = self.bundle / "hosts" / self._host_of[agent] / f"{agent}.status.json"
        deadline = time.monotonic() + UP_WITHIN_S
        while json.loads(path.read_text())["figures"].get(figure, 0) < count:
            assert time.monotonic() < deadline, f"{agent} did not get to {count} {figure}"
            time.sleep(0.05)

    def wait_until_kept(self, account: str, lives: int = 1) -> None:
        """Wait until a file of an agent's account is there and counts that many lives.

        Whoever is killed before that has not lived, as far as a report can tell.
        """
        deadline = time.monotonic() + UP_WITHIN_S
        while not any(
            json.loads(path.read_text()).get("lives", 1) >= lives
            for path in self.bundle.glob(f"hosts/*/{account}")
        ):
            assert time.monotonic() < deadline, f"{account}: not kept by life {lives}"
            time.sleep(0.05)

    def wait_until_ended(self, agent: str) -> None:
        """Wait until an agent has ended by itself."""
        left_s = max(0.0, self.spec.settled_unix_ns / NS_PER_S - time.time())
        process = self._processes[f"{agent} on {self._host_of[agent]}"]
        process.wait(timeout=left_s + PATIENCE_S)

    def _await_end(self, agent: str) -> None:
        self._processes[f"{agent} on {self._host_of[agent]}"].wait(timeout=PATIENCE_S)

    def _await_status(self, agent: str) -> None:
        """Wait until an agent that was started again says so itself."""
        process = self._processes[f"{agent} on {self._host_of[agent]}"]
        deadline = time.monotonic() + UP_WITHIN_S
        while self.pids(agent)[0] != process.pid:
            assert time.monotonic() < deadline, f"{agent} did not come up again"
            time.sleep(0.05)

    def _start_consumers(self) -> None:
        host = self._host_of["consumers"]
        self._start("consumers", host, "--host", host, "--metrics-listen", "")

    def sleep_until(self, seconds_after_t0: float) -> None:
        """Wait for a time of the run."""
        due_s = self.spec.t0_unix_ns / NS_PER_S + seconds_after_t0
        time.sleep(max(0.0, due_s - time.time()))

    def wait(self) -> dict[str, int]:
        """Wait until all agents have ended; returns their exit codes by `agent on host`."""
        # The probe's last look alone may take a minute.
        deadline = self.spec.settled_unix_ns / NS_PER_S + 2 * PATIENCE_S
        for process in self._processes.values():
            process.wait(timeout=max(1.0, deadline - time.time()))
        return {name: process.returncode for name, process in self._processes.items()}

    def play_undisturbed(self) -> dict[str, Any]:
        """Play a run that nobody disturbs, from its start to its report."""
        try:
            self.start()
            codes = self.wait()
        finally:
            self.end()
        assert set(codes.values()) == {0}, codes
        return self.report()

    def play_losing_nats(self, server: NatsServer, at_s: float) -> dict[str, Any]:
        """Play a run in which a NATS server is killed and started again, to its report."""
        try:
            self.start()
            self.sleep_until(at_s)
            server.kill()
            server.launch()
            self.wait()
        finally:
            self.end()
        return self.report()

    def report(self) -> dict[str, Any]:
        """Seal all hosts and report; returns summary.json."""
        self.seal()
        return self.report_again()

    def seal(self) -> None:
        """Seal all hosts' files, as before they are fetched: run.json is one of them."""
        for host in self._hosts:
            part = self.bundle / "hosts" / host
            (part / self._run_json.name).write_bytes(self._run_json.read_bytes())
            self._run("seal", part, "--host", host)

    def report_again(self, warmup_s: float | None = None) -> dict[str, Any]:
        """Report what is sealed; returns summary.json.

        In this process, for a process of its own spends most of its time on imports.
        """
        write_run(self.bundle, warmup_s)
        summary: dict[str, Any] = json.loads((self.bundle / "summary.json").read_text())
        return summary

    def end(self) -> None:
        """Kill what is left."""
        for process in self._processes.values():
            if process.poll() is None:
                process.kill()
            process.wait()

    @property
    def _run_json(self) -> Path:
        return self.bundle / "run.json"

    def _write_spec(self) -> None:
        for host in self._hosts:
            (self.bundle / "hosts" / host).mkdir(parents=True, exist_ok=True)
        files.write(self._run_json, json.loads(self.spec.to_json()))

    def _start(self, agent: str, host: str, *arguments: str) -> None:
        command = [agent, "--run", str(self._run_json), "--out", str(self.bundle / "hosts" / host)]
        log = (self._logs / f"{agent}-{host}.log").open("wb")
        self._processes[f"{agent} on {host}"] = subprocess.Popen(
            [SCRIPTS / "fpaas", *command, *arguments, *self.arguments.get(agent, ())],
            stderr=log,
            env={**os.environ, **self.environments.get(host, {})},
        )

    def _run(self, *arguments: object) -> None:
        done = subprocess.run(
            [SCRIPTS / "fpaas", *map(str, arguments)],
            capture_output=True,
            text=True,
            timeout=5 * PATIENCE_S,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert "Traceback" not in done.stderr, done.stderr
