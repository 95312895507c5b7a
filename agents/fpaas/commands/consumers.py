"""`fpaas consumers`: play many consumers, of a run or on their own."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from fpaas import common_time, spec
from fpaas.agent import Status, armed, run_loop
from fpaas.consumers import consumers
from fpaas.consumers.consumer_figures import Figures
from fpaas.errors import BadInput
from fpaas.records.status import CONNECT_S
from fpaas.spec import NS_PER_S, VARIABLES, RunSpec, Share

#: A standalone agent without --duration-s plays until Ctrl-C.
ENDLESS_S = 10 * 365 * 86_400.0
SUMMARY_INTERVAL_S = 5.0
CONNECT_ALLOWANCE_S = 1.0
#: Options of the standalone mode and the run variables whose ranges they share.
_VARIABLE_OF_OPTION = {
    "--count": "bench_consumers",
    "--poll-interval-s": "bench_poll_interval_s",
    "--poll-jitter-pct": "bench_poll_jitter_pct",
    "--batch-size": "bench_batch_size",
    "--delivery": "bench_delivery",
    "--fetch": "bench_fetch",
    "--connections": "bench_connections",
    "--workers": "bench_workers",
}


Decorator = Callable[[Callable[..., None]], Callable[..., None]]


def _option(name: str, text: str, envvar: str | None = None) -> Decorator:
    default = VARIABLES[_VARIABLE_OF_OPTION[name]].default
    return click.option(name, default=str(default), show_default=True, envvar=envvar, help=text)


@click.command(name="consumers")
@click.option(
    "--run",
    "run_path",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Play this run.json; its parameters then replace the options below.",
)
@click.option("--host", help="Host whose share of the run's consumers to play.")
@click.option(
    "--out",
    type=click.Path(file_okay=False, exists=True, path_type=Path),
    help="The run's directory, for results.",
)
@click.option("--nats-url", envvar="NATS_URL", help="Default: the run's, or nats://127.0.0.1:4222.")
@click.option(
    "--metrics-listen",
    default="127.0.0.1:8082",
    show_default=True,
    help="Address that serves /metrics to Prometheus; empty: none.",
)
@_option("--count", "Consumers to play.", "CONSUMER_COUNT")
@_option("--poll-interval-s", "Between two polls of a consumer.", "POLL_INTERVAL_SECONDS")
@_option("--poll-jitter-pct", "Of the interval, either way.")
@_option("--batch-size", "Messages a pull asks for.", "BATCH_SIZE")
@_option("--delivery", "fanout, shared or partitioned.")
@_option("--fetch", "once a poll, or drain.")
@_option("--connections", "auto or per_consumer.")
@_option("--workers", "Processes: auto or a number.")
@click.option("--duration-s", default=None, help="How long to play.  [default: until Ctrl-C]")
def command(
    *,
    run_path: Path | None,
    host: str | None,
    out: Path | None,
    nats_url: str | None,
    metrics_listen: str,
    duration_s: str | None,
    **options: str,
) -> None:
    """Play many consumers: those of a run, or polling ones on their own.

    On their own they pull from the existing stream; missing durables are created
    and removed at the end.
    """
    listen = metrics_listen or None
    if run_path is None:
        if out is not None or host is not None:
            raise BadInput("--out and --host belong to a run; add --run, or leave them out")
        _play_standalone(options, nats_url or "nats://127.0.0.1:4222", duration_s, listen)
        return
    if out is None or host is None:
        raise BadInput("--run needs --out, the run directory, and --host, whose share to play")
    run = RunSpec.load(run_path)
    share = run.shares.get(host)
    if share is None:
        raise BadInput(
            f"--host: {host!r} plays no consumers in {run_path}; it has {', '.join(run.shares)}"
        )
    status = Status(out, consumers.AGENT)
    if not run.is_armed:
        play = consumers.Play(run, share, nats_url or run.nats_url, None, None)
        connect_s = run_loop(consumers.connecting_s(play))
        status.figures = {} if connect_s is None else {CONNECT_S: connect_s}
    run = armed(run_path, run, status, host)
    if common_time.now_ns() >= run.end_unix_ns:
        raise BadInput(f"{run_path}: the run is over; its T0 (t0_unix_ns) is {run.t0_unix_ns}")
    run_loop(consumers.run(consumers.Play(run, share, nats_url or run.nats_url, out, listen)))


def _play_standalone(
    options: dict[str, str], nats_url: str, duration_s: str | None, metrics_listen: str | None
) -> None:
    values = {
        name: VARIABLES[name].read(option, options[option.lstrip("-").replace("-", "_")])
        for option, name in _VARIABLE_OF_OPTION.items()
    }
    seconds = ENDLESS_S
    if duration_s is not None:
        seconds = VARIABLES["bench_measure_s"].read("--duration-s", duration_s)
    run = _standalone_run(values, nats_url, seconds)
    share = Share(0, values["bench_consumers"])
    run_loop(_with_durables(consumers.Play(run, share, nats_url, None, metrics_listen)))


def _standalone_run(values: dict[str, Any], nats_url: str, seconds: float) -> RunSpec:
    # A foreign relay's frames have no due time that we could know.
    checked = spec.read_variables({**values, "bench_firehose_source": "wss://bsky.network"})
    return spec.build(
        {**checked, "bench_warmup_s": 0.0, "bench_measure_s": seconds, "bench_drain_s": 0.0},
        run_id="standalone",
        scenario=spec.Scenario("standalone", "standalone", ""),
        topology=spec.Topology({"consumers": ["here"]}, nats_url, "", ""),
        first_seq=None,
    )


async def _with_durables(play: consumers.Play) -> None:
    # Agents of runs need none of it, and start by the thousand.
    from fpaas.jetstream import asked, stream  # noqa: PLC0415

    durables = asked.durables_of(play.spec, range(play.share.count))
    async with stream.jetstream(play.nats_url) as context:
        missing = await stream.missing_durables(context, durables)
    try:
        async with stream.jetstream(play.nats_url) as context:
            await stream.create_durables(context, play.spec, missing)
        t0_unix_ns = common_time.now_ns() + round(CONNECT_ALLOWANCE_S * NS_PER_S)
        await consumers.run(
            replace(play, spec=replace(play.spec, t0_unix_ns=t0_unix_ns)), _Summary()
        )
    finally:
        if missing:
            async with stream.jetstream(play.nats_url) as context:
                await stream.remove_durables(context, missing)


class _Summary:
    """Prints how it goes, every few seconds."""

    def __init__(self) -> None:
        self._at = time.monotonic()
        self._last = Figures()

    def __call__(self, figures: Figures) -> None:
        now = time.monotonic()
        if now - self._at < SUMMARY_INTERVAL_S:
            return
        seconds = now - self._at
        rate = (figures.processed - self._last.processed) / seconds
        mb_rate = (figures.bytes - self._last.bytes) / seconds / 1e6
        troubled = figures.refused + figures.client_timeout + figures.lost
        click.echo(
            f"{rate:.0f} msg/s, {mb_rate:.2f} MB/s; in all {figures.processed} messages, "
            f"{figures.polls} polls: {figures.ok} with messages, {figures.empty} empty, "
            f"{troubled} in trouble; {figures.connections} connections",
            err=True,
        )
        self._at = now
        # Figures are updated in place.
        self._last = Figures(processed=figures.processed, bytes=figures.bytes)
