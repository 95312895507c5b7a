"""Entry point of `fpaas`: loads only the command that was asked for, so agents start fast."""

from __future__ import annotations

import contextlib
import errno
import importlib
import logging
import os
import signal
import sys
from collections.abc import Iterator

import click

from fpaas.errors import BadInput
from fpaas.spec import SpecError
from fpaas.text import plain_output

#: Command → one line of help, in the order of a run.
COMMANDS = {
    "relay": "Serve a firehose: synthetic, or from a capture file.",
    "record": "Capture a relay's firehose to a file that `relay` replays.",
    "shuffler": "Publish a relay's firehose into the JetStream stream.",
    "consumers": "Play many consumers.",
    "probe": "Sample this host, the lab's processes and NATS.",
    "plan": "Check variables and predict what a run can do.",
    "watch": "Watch a run in progress, or look at a finished one.",
    "login": "Print how to log in to a lab's NATS with other tools.",
    "report": "Merge a run's raw data into summary.json and report.html.",
    "results": "List all runs and sweeps, and write results/index.html.",
    "compare": "Compare runs.",
    "metrics": "Serve the metrics that Prometheus kept of a run.",
    "provision": "Recreate a run's stream and consumers.",
    "size": "Predict what consumers need, from measured runs.",
    "explain": "Say what a verdict's reason means, and what to do.",
    "schema": "Print JSON Schema of a file of a run.",
}
#: Used by the playbooks, not by people.
HIDDEN_COMMANDS = {
    "network": "Measure the network between hosts, before a run.",
    "seal": "Describe this host and checksum a run's files, before they are fetched.",
    "keep": "Keep what Prometheus saw of a run in its directory.",
    "payload": "Make the agents' environment for a kind of host.",
    "server": "Find a nats-server or a Prometheus for a kind of host.",
    "failures": "Run all failures that the hosts support, into one table.",
    "faults": "Inject a run's faults on this host.",
    "guard": "Clean up after a playbook that was killed.",
}
#: Of a program that writes to a pipe which nobody reads any longer, as shells see it.
EXIT_READER_GONE = 128 + signal.SIGPIPE


class LazyGroup(click.Group):
    """Imports `fpaas.commands.<name>` when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """Commands for people, in order."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import a command."""
        if cmd_name not in COMMANDS and cmd_name not in HIDDEN_COMMANDS:
            return None
        module = importlib.import_module(f"fpaas.commands.{cmd_name}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """List commands without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Print help, if that is asked for."""
        with _errors_as_messages(ctx):
            return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> object:
        """Run the command."""
        with _errors_as_messages(ctx):
            return super().invoke(ctx)


@contextlib.contextmanager
def _errors_as_messages(ctx: click.Context) -> Iterator[None]:
    """Turn the project's errors into messages with the right exit code."""
    try:
        yield
    except SpecError as error:
        raise BadInput(str(error)) from error
    except BrokenPipeError:
        # Not by click, whose exit code for this is that of a verdict that failed.
        # What is still to be written goes nowhere, or Python would complain at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        ctx.exit(EXIT_READER_GONE)
    except OSError as error:
        if error.errno != errno.ENOSPC or error.filename is not None:
            raise
        raise BadInput(f"the output cannot be written: {error.strerror}") from error


def _open_what_is_closed() -> None:
    """Have output that the shell closed (`>&-`) go nowhere: Python has None in its place.

    The descriptor is opened, too, or the next file that is opened would be some child's output.
    """
    for descriptor, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            opened = os.open(os.devnull, os.O_RDWR)
            os.dup2(opened, descriptor)
            os.set_inheritable(descriptor, True)  # noqa: FBT003  the name is its own
            mode = "r" if name == "stdin" else "w"
            setattr(sys, name, open(descriptor, mode, encoding="utf-8", closefd=False))  # noqa: SIM115


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--log-level",
    envvar="LOG_LEVEL",
    default="INFO",
    show_default=True,
    type=click.Choice(["DEBUG", "INFO", "WARNING", "ERROR"], case_sensitive=False),
)
@click.version_option(package_name="fpaas")
def main(log_level: str) -> None:
    """Find out what NATS JetStream can feed from the ATProto firehose, at what cost.

    Exit codes: 0 done, 1 the verdict failed, 2 wrong arguments or bad input, 3 the run is invalid,
    141 its output was closed.
    """
    _open_what_is_closed()
    plain_output.use(os.environ)
    logging.basicConfig(
        stream=sys.stderr,
        level=log_level.upper(),
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )


if __name__ == "__main__":
    main()
