"""`fpaas plan`: checks variables and predicts what a run can do, before it."""

from __future__ import annotations

import json
import re
import resource
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import psutil

from fpaas import json_input, spec
from fpaas.common_time import NS_PER_S
from fpaas.consumers.pull_size import SYNTHETIC
from fpaas.errors import BadInput
from fpaas.firehose import capture
from fpaas.firehose.pace import AsCaptured
from fpaas.firehose.relay_client import subscription_url
from fpaas.firehose.synthetic import FIRST_SEQ, Synthetic
from fpaas.measures.cgroup import Cgroup
from fpaas.plan import capacity
from fpaas.plan.owed_shares import FRAMES_MAX, owed_shares
from fpaas.spec import mix
from fpaas.spec.rates import captured_speed
from fpaas.text import plan_advice, plan_text
from fpaas.verdict import codes, goals

LOCALHOST = spec.Topology(
    hosts={
        role: ["localhost"] for role in ("relay", "nats", "shuffler", "consumers", "monitoring")
    },
    nats_url="nats://127.0.0.1:4222",
    nats_monitoring_url="http://127.0.0.1:8222",
    relay_url="ws://127.0.0.1:2480",
)
#: A capture that lasts less, by its frames' times, has no pace.
PACE_LEAST_S = 0.1
RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--variables",
    metavar="FILE|JSON",
    help="JSON object of bench_* variables, or a file that contains one.",
)
@click.option(
    "--set",
    "assignments",
    metavar="NAME=VALUE",
    multiple=True,
    help="One bench_* variable; wins over --variables.",
)
@click.option(
    "--topology",
    "topology_file",
    type=click.Path(path_type=Path),
    help="JSON: hosts by group, nats_url, nats_monitoring_url, relay_url. "
    "Default: everything on this machine.",
)
@click.option("--run-id", help="Default: <UTC time>-<scenario>.")
@click.option("--scenario-name", default="custom", show_default=True)
@click.option("--scenario-title", default="", help="For the report.")
@click.option("--scenario-goal", default="", help="For the report.")
@click.option(
    "--goals",
    "goals_json",
    metavar="JSON",
    multiple=True,
    help="What the run must reach to pass, as {name: limit}, on top of the goals of every run: "
    "nothing lost, no errors, every consumer fetched. <class>.<name> is for one class of "
    "bench_mix. Repeatable: later ones win by name, and null removes one.",
)
@click.option(
    "--output", type=click.Path(dir_okay=False, path_type=Path), help="Write run.json here."
)
@click.option(
    "--format",
    "output_format",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
)
def command(
    *,
    variables: str | None,
    assignments: tuple[str, ...],
    topology_file: Path | None,
    run_id: str | None,
    scenario_name: str,
    scenario_title: str,
    scenario_goal: str,
    goals_json: tuple[str, ...],
    output: Path | None,
    output_format: str,
) -> None:
    """Check a run's variables and predict what it can do, before anything is started.

    If a variable is wrong, it exits with code 2 and a message that names the variable, its value
    and what is allowed. Warnings do not change the exit code.
    """
    values = read_variables(variables) if variables else {}
    values.update(parse_assignment(assignment) for assignment in assignments)
    topology = read_topology(topology_file) if topology_file else LOCALHOST
    if not RUN_ID.fullmatch(scenario_name):
        raise BadInput(
            f"scenario_name: {scenario_name!r} is not allowed; letters, digits, '.', '_' and '-'"
        )
    run_id = run_id or f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{scenario_name}"
    if not RUN_ID.fullmatch(run_id):
        raise BadInput(f"--run-id {run_id!r} is not allowed; letters, digits, '.', '_' and '-'")
    run = planned(
        values,
        run_id,
        spec.Scenario(scenario_name, scenario_title, scenario_goal, read_goals(goals_json)),
        topology,
    )
    plan = capacity.predict(run)
    expected = plan_advice.expectations(run, plan) + [
        f"Its goal {name} is ruled out by the parameters: {codes.sentence(excuse)}."
        for name, excuse in goals.ruled_out(run, plan, capacity.by_class(run)).items()
    ]
    warnings = plan_advice.warnings(run, plan, **limits_here(run))
    if output:
        write(output, run.to_json())
    if output_format == "json":
        click.echo(json.dumps({"plan": plan, "expected": expected, "warnings": warnings}, indent=2))
    else:
        click.echo(plan_text.describe(run, plan, expected, warnings))


def planned(
    values: Mapping[str, Any], run_id: str, scenario: spec.Scenario, topology: spec.Topology
) -> spec.RunSpec:
    """Return the run that bench_* variables make. Raises SpecError or BadInput that names one."""
    checked = spec.read_variables(values)
    first_seq, frame_bytes_mean = check_source(checked)
    run = spec.build(
        checked,
        run_id=run_id,
        scenario=scenario,
        topology=topology,
        first_seq=first_seq,
        frame_bytes_mean=frame_bytes_mean,
        owed_shares=shares_of(checked),
    )
    goals.check_classes(goals.stated(run), [one.name for one in run.consumers.classes])
    if first_seq is not None and not topology.hosts.get("relay"):
        raise BadInput(
            f"bench_firehose_source: {checked['bench_firehose_source']!r} is played by a relay of "
            "ours, and the group relay has no host; add one, or name a wss:// relay"
        )
    return run


def read_variables(given: str) -> dict[str, Any]:
    """Read `--variables`. Raises BadInput."""
    if given.lstrip().startswith("{"):
        try:
            return json_input.object_of(given, "--variables")
        except ValueError as error:
            raise BadInput(str(error)) from error
    return read_object(Path(given))


def read_object(path: Path) -> dict[str, Any]:
    """Read a JSON object; raises BadInput that names the file."""
    try:
        return json_input.read_object(path)
    except ValueError as error:
        raise BadInput(str(error)) from error


def read_goals(texts: Sequence[str]) -> dict[str, float | None]:
    """Merge goals as they are given on the command line into those of every run."""
    given = []
    for text in texts:
        try:
            content = json_input.loads(text)
        except ValueError as error:
            raise BadInput(f"--goals {text!r}: is not JSON: {error}") from error
        if not isinstance(content, dict):
            raise BadInput(f"--goals {text!r}: expected an object of limits by name")
        given.append(content)
    return merged_goals(given)


def merged_goals(given: Sequence[Mapping[str, Any]]) -> dict[str, float | None]:
    """Merge goals into those of every run: later ones win by name, and null takes one out."""
    merged: dict[str, Any] = dict(goals.DEFAULT_GOALS)
    for content in given:
        merged.update(content)
    return goals.read(merged, "goals")


def parse_assignment(assignment: str) -> tuple[str, str]:
    """Split NAME=VALUE."""
    name, equals, value = (part.strip() for part in assignment.partition("="))
    if not (name and equals):
        raise BadInput(f"--set {assignment!r}: expected NAME=VALUE")
    return name, value


def read_topology(path: Path) -> spec.Topology:
    """Read a lab's topology; raises BadInput that names the file and what is wrong with it."""
    return topology_of(read_object(path), str(path))


def topology_of(content: dict[str, Any], source: str) -> spec.Topology:
    """Check a lab's topology; raises BadInput that names the source and what is wrong with it."""
    try:
        topology = spec.Topology(**content)
    except TypeError as error:
        raise BadInput(f"{source}: is not a topology: {error}") from error
    hosts = topology.hosts
    if not isinstance(hosts, dict) or not all(isinstance(names, list) for names in hosts.values()):
        raise BadInput(f"{source}: hosts: expected lists of host names by group")
    for group in ("nats", "shuffler", "consumers"):
        if not hosts.get(group):
            raise BadInput(f"{source}: hosts: the group {group} has no host; it needs one at least")
    return topology


def check_source(values: dict[str, Any]) -> tuple[int | None, float | None]:
    """Check bench_firehose_source; returns our relay's first seq and a frame's mean size.

    None: as on the network, or not known.

    A capture's path is made absolute in `values`, and a rate that is its pace becomes steps.
    Raises BadInput if it cannot be played, SpecError if so fast is too fast.
    """
    source = values["bench_firehose_source"]
    speed = captured_speed(values["bench_firehose_rate_per_s"])
    if speed and (source == SYNTHETIC or spec.is_relay_url(source)):
        raise BadInput(
            f"bench_firehose_rate_per_s: {values['bench_firehose_rate_per_s']} is a capture's pace,"
            f" and bench_firehose_source is {source}; name a capture file there"
        )
    if source == SYNTHETIC:
        mix = values["bench_firehose_mix"]
        return FIRST_SEQ, Synthetic(values["bench_seed"], mix).bytes_mean() if mix else None
    foreign = spec.is_relay_url(source)
    try:
        if foreign:
            subscription_url(source)
    except BadInput as error:
        raise BadInput(f"bench_firehose_source: {error.message}") from error
    if values["bench_firehose_mix"]:
        raise BadInput(
            f"bench_firehose_mix: is of synthetic frames, and bench_firehose_source is {source}"
        )
    if foreign:
        return None, None
    path = Path(source)
    if not path.exists():
        raise BadInput(
            f"bench_firehose_source: {source!r} is not allowed; "
            f"{spec.VARIABLES['bench_firehose_source'].allowed} (there is no such file)"
        )
    try:
        played = capture.Capture(path)
    except BadInput as error:
        raise BadInput(f"bench_firehose_source: {error.message}") from error
    values["bench_firehose_source"] = str(path.resolve())
    if speed:
        values["bench_firehose_rate_per_s"] = _steps_of(path, played, speed)
    return played.first_seq, path.stat().st_size / played.frames - capture.LENGTH.size


def _steps_of(path: Path, played: capture.Capture, speed: float) -> list[dict[str, float]]:
    name, offsets_ns = "bench_firehose_rate_per_s", played.offsets_ns()
    if offsets_ns[-1] < PACE_LEAST_S * NS_PER_S * speed:
        lasts_s = offsets_ns[-1] / speed / NS_PER_S
        raise BadInput(
            f"{name}: by its frames' times, {path} would last {lasts_s:.3g} s, too short for a "
            f"pace of its own ({PACE_LEAST_S:g} s); give a rate"
        )
    steps = [step.entry for step in AsCaptured(offsets_ns, speed).steps()]
    read: list[dict[str, float]] = spec.VARIABLES[name].read(name, steps)
    return read


def shares_of(values: dict[str, Any]) -> list[float]:
    """Return what part of the stream each class of a mix is owed; of a foreign relay, assumed.

    Raises SpecError if the mix is none.
    """
    classes = mix.classes_of(values["bench_mix"], values)
    if not any(one.is_filtered for one in classes):
        return [1.0 for _ in classes]
    source = values["bench_firehose_source"]
    if source == SYNTHETIC or spec.is_relay_url(source):
        frames = Synthetic(values["bench_seed"], values["bench_firehose_mix"])
        return owed_shares(classes, frames.frame, FRAMES_MAX)
    played = capture.Capture(Path(source), loop=False)
    return owed_shares(classes, played.frame, played.frames)


def limits_here(run: spec.RunSpec) -> dict[str, Any]:
    """Limits of this machine, if it is the one that runs NATS and the consumers."""
    if {*run.hosts["nats"], *run.hosts["consumers"]} != {"localhost"}:
        return {}
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    cgroup = Cgroup.own()
    return {
        "open_files_limit": None if hard == resource.RLIM_INFINITY else hard,
        "memory_mb": min(psutil.virtual_memory().available, cgroup.memory_left_bytes()) / 1e6,
        "cores": cgroup.cores(),
    }


def write(path: Path, text: str) -> None:
    """Write run.json; raises BadInput that names it if that fails."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise BadInput(f"{path}: cannot be written: {error.strerror}") from error
