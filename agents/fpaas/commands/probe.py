"""`fpaas probe`."""

from __future__ import annotations

from pathlib import Path

import click

from fpaas import agent
from fpaas.errors import BadInput
from fpaas.jetstream.nats_address import address_from_environment
from fpaas.probe import probe
from fpaas.probe.options import Options
from fpaas.probe.server_monitor import MonitoringPort
from fpaas.spec import RunSpec


@click.command
@click.option("--run", "run_json", required=True, type=click.Path(path_type=Path), help="run.json.")
@click.option(
    "--out",
    "directory",
    required=True,
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    help="The run's directory: samples go there, agents' status files are there.",
)
@click.option("--host", required=True, help="This host's name in the inventory.")
@click.option("--nats-url", envvar="NATS_URL", help="Instead of the run's.")
@click.option("--nats-monitoring-url", help="Instead of the run's.")
@click.option(
    "--nats-pid-file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File in which nats-server on this host keeps its process id.",
)
@click.option(
    "--pid-file",
    "pid_files",
    multiple=True,
    metavar="NAME=FILE",
    help="Another server on this host to measure, and the file with its process id.",
)
@click.option("--metrics-listen", metavar="HOST:PORT", help="Address that serves /metrics.")
@click.option(
    "--metrics-each-consumer/--metrics-all-consumers",
    default=False,
    show_default=True,
    help="Eight series for each durable, or for all together.",
)
def command(
    *,
    run_json: Path,
    directory: Path,
    host: str,
    nats_url: str | None,
    nats_monitoring_url: str | None,
    nats_pid_file: Path | None,
    pid_files: tuple[str, ...],
    metrics_listen: str | None,
    metrics_each_consumer: bool,
) -> None:
    """Sample this host and the lab's processes every second, NATS every five on its hosts.

    Start it before the run's T0; it ends by itself when the run has settled. On SIGTERM it writes
    what it has.
    """
    spec = RunSpec.load(run_json)
    known = sorted({name for names in spec.hosts.values() for name in names})
    if host not in known:
        raise BadInput(f"--host {host}: is not in {run_json}; there are {', '.join(known)}")
    try:
        nats = address_from_environment(nats_url or spec.nats_url)
    except ValueError as error:
        raise BadInput(f"--nats-url: {error}") from error
    on_nats_host = host in spec.hosts.get("nats", [])
    options = Options(
        spec=spec,
        directory=directory,
        host=host,
        nats=nats,
        monitoring=MonitoringPort(nats_monitoring_url or spec.nats_monitoring_url)
        if on_nats_host
        else None,
        pid_files={
            **({"nats": nats_pid_file} if nats_pid_file else {}),
            **{name: Path(path) for name, _, path in (one.partition("=") for one in pid_files)},
        },
        metrics_listen=metrics_listen,
        metrics_each_consumer=metrics_each_consumer,
    )
    agent.run_loop(probe.run(options, run_json))
