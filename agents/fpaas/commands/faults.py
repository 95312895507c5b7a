"""`fpaas faults`: injects a run's faults on this host."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from fpaas import agent
from fpaas.errors import BadInput
from fpaas.faults import faults
from fpaas.faults.injection import ServiceCommands
from fpaas.faults.prepare import Preparation
from fpaas.faults.processes import Services
from fpaas.spec import RunSpec
from fpaas.spec.faults import AGENT


@click.command
@click.option("--run", "run_json", required=True, type=click.Path(path_type=Path), help="run.json.")
@click.option(
    "--out",
    "directory",
    required=True,
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    help="The run's directory: agents' status files are there, and events go there.",
)
@click.option("--host", required=True, help="This host's name in the inventory.")
@click.option(
    "--nats-pid-file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File in which nats-server on this host keeps its process id.",
)
@click.option("--nats-monitoring-url", help="That of the server on this host.  Default: the run's.")
@click.option(
    "--services",
    "services_json",
    default="{}",
    metavar="JSON",
    help="Commands of the service manager, lists of words in which {} is the service: `start`; "
    "`hold`, which keeps one that was killed from being started by itself; and `apart`, before a "
    "command that is to outlive this agent's service.",
)
def command(
    *,
    run_json: Path,
    directory: Path,
    host: str,
    nats_pid_file: Path | None,
    nats_monitoring_url: str | None,
    services_json: str,
) -> None:
    """Inject a run's faults on this host, on time, and undo them.

    Even if it is killed, a timer in a separate process undoes its faults.
    """
    commands = _commands(services_json)
    status = agent.Status(directory, AGENT)
    spec = agent.armed(run_json, RunSpec.load(run_json), status, host)
    prepare = Preparation(
        spec=spec,
        host=host,
        directory=directory,
        services=Services(directory, nats_pid_file),
        commands=ServiceCommands(commands["start"], commands["hold"]),
        monitoring_url=nats_monitoring_url or spec.nats_monitoring_url,
    )
    options = faults.Options(spec, directory, host, prepare, commands["apart"])
    agent.run_loop(faults.run(options, status))


def _commands(text: str) -> dict[str, list[str]]:
    try:
        content: Any = json.loads(text)
        commands = {name: content.pop(name, []) for name in ("start", "hold", "apart")}
        is_good = not content and all(
            isinstance(words, list) and all(isinstance(word, str) for word in words)
            for words in commands.values()
        )
    except (ValueError, AttributeError, TypeError) as error:
        raise BadInput(f"--services {text!r}: is not a JSON object of lists: {error}") from error
    if not is_good:
        raise BadInput(f"--services {text!r}: expected lists of words: start, hold, apart")
    return commands
