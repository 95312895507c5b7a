"""`fpaas shuffler`."""

from __future__ import annotations

import os
from pathlib import Path

import click

from fpaas import agent
from fpaas.errors import BadInput
from fpaas.firehose.relay_client import DEFAULT_RELAY, subscription_url
from fpaas.jetstream.nats_address import address_from_environment
from fpaas.shuffler import service, timeline
from fpaas.shuffler.cursor_places import CursorBucket, CursorFile, CursorPlace
from fpaas.shuffler.shuffler import Endpoints
from fpaas.spec import RunSpec

DEFAULT_NATS = "nats://127.0.0.1:4222"


@click.command
@click.option(
    "--run",
    "run_json",
    type=click.Path(path_type=Path),
    help="run.json: shuffle this run, then end. Without it: until stopped.",
)
@click.option(
    "--out",
    "directory",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    help="The run's directory, for its account and samples.",
)
@click.option(
    "--relay",
    help="Host or ws(s):// URL of the relay. Default: the run's; without a run RELAY_HOST, or "
    f"{DEFAULT_RELAY}.",
)
@click.option("--nats-url", envvar="NATS_URL", help=f"Default: the run's, or {DEFAULT_NATS}.")
@click.option("--metrics-listen", default="127.0.0.1:8080", show_default=True)
@click.option(
    "--cursor-file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Resume here after a restart; without a run only. Default: CURSOR_FILE.",
)
@click.option(
    "--cursor-kv",
    metavar="BUCKET",
    help="Resume there: key `cursor` of a key-value bucket, made if it does not exist. "
    "Default: CURSOR_KV.",
)
def command(
    *,
    run_json: Path | None,
    directory: Path | None,
    relay: str | None,
    nats_url: str | None,
    metrics_listen: str,
    cursor_file: Path | None,
    cursor_kv: str | None,
) -> None:
    """Publish a relay's firehose into the stream ATPROTO_FIREHOSE, every frame byte for byte.

    In a run it waits for T0, ends by itself, and writes an account of every event to --out; on
    SIGTERM it writes what it has.
    """
    if (run_json is None) != (directory is None):
        raise BadInput("--run and --out belong together")
    if run_json is not None and (cursor_file or cursor_kv):
        raise BadInput("--cursor-file, --cursor-kv: run.json says where a run begins; leave it out")
    spec = RunSpec.load(run_json) if run_json else None
    # A run's relay is part of the run: an environment left over from elsewhere must not change it.
    default_relay = (
        spec.firehose.relay_url if spec else os.environ.get("RELAY_HOST") or DEFAULT_RELAY
    )
    default_nats = spec.nats_url if spec else DEFAULT_NATS
    try:
        nats = address_from_environment(nats_url or default_nats)
    except ValueError as error:
        raise BadInput(f"--nats-url: {error}") from error
    endpoints = Endpoints(
        relay_url=subscription_url(relay or default_relay),
        nats=nats,
        metrics_listen=metrics_listen,
    )
    if run_json and spec and directory:
        status = agent.Status(directory, timeline.AGENT)
        spec = agent.armed(run_json, spec, status, spec.only_host("shuffler"))
        agent.run_loop(timeline.run(spec, directory, endpoints))
    else:
        agent.run_loop(service.serve(endpoints, _cursor_place(cursor_file, cursor_kv, endpoints)))


def _cursor_place(
    cursor_file: Path | None, cursor_kv: str | None, endpoints: Endpoints
) -> CursorPlace | None:
    """Return where the cursor is kept; the command line wins."""
    if not cursor_file and not cursor_kv:
        cursor_kv = os.environ.get("CURSOR_KV")
        cursor_file = Path(path) if (path := os.environ.get("CURSOR_FILE")) else None
    if cursor_file and cursor_kv:
        raise BadInput("--cursor-file, --cursor-kv: a cursor has one place; leave one out")
    if cursor_kv:
        return CursorBucket(cursor_kv, endpoints.relay_url, endpoints.nats)
    return CursorFile(cursor_file, endpoints.relay_url) if cursor_file else None
