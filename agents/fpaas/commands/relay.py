"""`fpaas relay`."""

from __future__ import annotations

import math
from pathlib import Path

import click

from fpaas import agent
from fpaas.errors import BadInput, RunInvalid
from fpaas.finite import FiniteRange, WholeRange
from fpaas.firehose.capture import Capture
from fpaas.firehose.pace import AsCaptured, AtRate, pace_of
from fpaas.firehose.synthetic import Synthetic
from fpaas.metrics import parse_listen
from fpaas.records.status import State
from fpaas.relay import cursors, relay
from fpaas.relay.source import Pace
from fpaas.spec import REPLAYS, Fault, RunSpec, fault_checks, faults, frame_mix, is_relay_url

SYNTHETIC = "synthetic"
LISTEN = "127.0.0.1:2480"


@click.command
@click.option(
    "--source",
    metavar="synthetic|FILE",
    help=f"Frames drawn from --seed, or a capture.  [default: {SYNTHETIC}, or the run's]",
)
@click.option(
    "--rate-per-s",
    type=FiniteRange(0, 1_000_000, min_open=True),
    default=450.0,
    show_default=True,
    help="Frame i is due i / rate seconds after the start.",
)
@click.option(
    "--pace",
    type=click.Choice(["schedule", "capture"]),
    default="schedule",
    show_default=True,
    help="By --rate-per-s, or by a capture's own times.",
)
@click.option(
    "--speed",
    type=FiniteRange(0, min_open=True),
    default=1.0,
    show_default=True,
    help="With --pace capture: how many times faster.",
)
@click.option("--seed", type=WholeRange(0), default=1, show_default=True)
@click.option(
    "--mix",
    "mix_json",
    metavar="JSON",
    help="Synthetic frames of each kind in 1000, as in bench_firehose_mix.",
)
@click.option(
    "--loop/--once", default=True, show_default=True, help="What to do at the end of a capture."
)
@click.option("--max-frames", type=WholeRange(1), help="Offer no more frames than this.")
@click.option("--listen", default=LISTEN, show_default=True, metavar="HOST:PORT")
@click.option("--metrics-listen", metavar="HOST:PORT", help="Address that serves /metrics.")
@click.option("--duration-s", type=FiniteRange(0, min_open=True), help="Then end.")
@click.option(
    "--replay-window-frames",
    type=WholeRange(1),
    default=cursors.REPLAY_WINDOW_FRAMES,
    show_default=True,
    help="How many frames back a cursor may reach.",
)
@click.option(
    "--max-lag-frames",
    type=WholeRange(1),
    default=cursors.MAX_LAG_FRAMES,
    show_default=True,
    help="A live subscriber further behind is closed.",
)
@click.option(
    "--replay",
    type=click.Choice(REPLAYS),
    default=REPLAYS[0],
    show_default=True,
    help="Whether a replay begins with the cursor's own frame or after it.",
)
@click.option(
    "--faults",
    "faults_json",
    metavar="JSON",
    help="Faults by schedule, as in bench_faults; at_s counts from the start.",
)
@click.option("--run", "run_json", type=click.Path(path_type=Path), help="Play this run.json.")
@click.option(
    "--out",
    "directory",
    type=click.Path(path_type=Path, file_okay=False, exists=True, writable=True),
    help="Directory for relay.json, relay.hlog and samples; required with --run.",
)
@click.pass_context
def command(
    context: click.Context,
    *,
    source: str | None,
    rate_per_s: float,
    pace: str,
    speed: float,
    seed: int,
    mix_json: str | None,
    loop: bool,
    max_frames: int | None,
    listen: str,
    metrics_listen: str | None,
    duration_s: float | None,
    replay_window_frames: int,
    max_lag_frames: int,
    replay: str,
    faults_json: str | None,
    run_json: Path | None,
    directory: Path | None,
) -> None:
    """Serve com.atproto.sync.subscribeRepos, frames drawn from a seed or replayed from a capture.

    Frames fall due on schedule whether or not somebody subscribes. It serves until --duration-s or
    SIGTERM; after --max-frames or the end of --once it offers nothing new, but still replays. With
    --run it offers what run.json says from its T0 on, and ends when the run has settled.
    """
    spec = None
    if run_json is not None:
        spec = _run_of(context, run_json, directory)
        source = source or spec.firehose.source
        seed = spec.firehose.seed
        replay = spec.firehose.replay
        max_frames = spec.frames_due()
    host, port = parse_listen(listen)
    status = agent.Status(directory, relay.AGENT)
    try:
        mix = spec.firehose.mix if spec else frame_mix.MIX.read("--mix", mix_json or {})
        frames = _source(source or SYNTHETIC, seed, mix, loop=loop)
        if spec is not None and frames.first_seq != spec.firehose.first_seq:
            raise BadInput(
                f"{source}: begins with seq {frames.first_seq}, but {run_json} expects "
                f"{spec.firehose.first_seq}; is it another file than the run was planned with?"
            )
        if run_json is not None and spec is not None:
            spec = agent.armed(run_json, spec, status, spec.only_host("relay"))
        options = relay.Options(
            source=frames,
            pace=pace_of(spec.firehose) if spec else _pace(pace, frames, rate_per_s, speed),
            rules=cursors.Rules(
                replay_window_frames, max_lag_frames, inclusive=replay == REPLAYS[0]
            ),
            total=max_frames,
            host=host,
            port=port,
            t0_unix_ns=spec.t0_unix_ns if spec else None,
            run=spec,
            duration_s=duration_s,
            directory=directory,
            faults=tuple(spec.faults) if spec else _faults(faults_json, duration_s),
            metrics_listen=metrics_listen,
            cuts_unix_ns=spec.cuts_unix_ns if spec else (),
        )
        agent.run_loop(relay.run(options, status))
    except (BadInput, RunInvalid) as error:
        status.set(State.FAILED, error.message)
        raise


_OPTIONS = {"loop": "--loop/--once", "faults_json": "--faults", "mix_json": "--mix"}


def _faults(text: str | None, duration_s: float | None) -> tuple[Fault, ...]:
    """Read --faults. Raises SpecError that names the entry and what is wrong with it."""
    entries = faults.LIST.read("--faults", text or [])
    own = [Fault(**entry) for entry in entries]
    for number, fault in enumerate(own):
        if not fault.is_by_relay:
            raise BadInput(f"--faults[{number}]: {fault.do} is nothing that a relay does by itself")
    length_s = math.inf if duration_s is None else duration_s
    fault_checks.check(
        own, {faults.RELAY: ["relay"]}, length_s=length_s, plays_relay=True, workers=None
    )
    return tuple(own)


def _run_of(context: click.Context, run_json: Path, directory: Path | None) -> RunSpec:
    """Load the run; options that it decides must not be given as well."""
    decided = (
        "rate_per_s",
        "pace",
        "speed",
        "seed",
        "loop",
        "max_frames",
        "duration_s",
        "replay",
        "faults_json",
        "mix_json",
    )
    for name in decided:
        if context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE:
            option = _OPTIONS.get(name, f"--{name.replace('_', '-')}")
            raise BadInput(f"{option}: {run_json} says this; give one or the other")
    if directory is None:
        raise BadInput("--out: is required with --run")
    spec = RunSpec.load(run_json)
    if is_relay_url(spec.firehose.source):
        raise BadInput(
            f"{run_json}: reads the foreign relay {spec.firehose.source}; it needs no relay of ours"
        )
    return spec


def _source(source: str, seed: int, mix: dict[str, int], *, loop: bool) -> Synthetic | Capture:
    if source == SYNTHETIC:
        return Synthetic(seed, mix, keeps=True)
    if mix:
        raise BadInput(f"--mix: is of synthetic frames, and --source is {source}")
    if is_relay_url(source):
        raise BadInput(f"--source: {source} is a relay; capture it with `fpaas record` first")
    return Capture(Path(source), loop=loop)


def _pace(pace: str, frames: Synthetic | Capture, rate_per_s: float, speed: float) -> Pace:
    if pace == "schedule":
        return AtRate(rate_per_s)
    if not isinstance(frames, Capture):
        raise BadInput("--pace capture: needs a capture as --source")
    return AsCaptured(frames.offsets_ns(), speed)
