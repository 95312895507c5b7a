"""Reads a sweep's runs back from their bundles, and writes its files."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

from fpaas import json_input, regular
from fpaas.bundle.loader import load_bundle
from fpaas.errors import BadInput
from fpaas.records import sweep as sweep_record
from fpaas.records.sweep import INTERRUPTED, NO_RUN, PlayedRun, Sweep
from fpaas.search import sizing
from fpaas.search.sizing import Size
from fpaas.spec import SpecError
from fpaas.summary import summary
from fpaas.sweep import record, sweep_figures
from fpaas.sweep.sweep_figures import FIGURES, Growth, Values
from fpaas.text import expected, sweep_text
from fpaas.verdict import trimming

#: Beside the sweep's directory's parent: results/sweeps/<sweep-id> and results/<run-id>.
DIRECTORY = "sweeps"
REASON_LENGTH_MAX = 300
#: If the lab takes a smaller share of a saturated host's processor, something else is to blame.
LAB_SHARE_MAX = 0.5
#: Consumers whose needs a capacity search predicts.
SIZED = (1_000, 10_000, 100_000)


def bundle_of(directory: Path, run_id: str) -> Path:
    """Return the directory of one of a sweep's runs."""
    return directory.resolve().parent.parent / run_id


def read_runs(sweep: Sweep, directory: Path, warmup_s: float | None = None) -> dict[str, Values]:
    """Judge all runs that came to their end again, by their bundles; returns figures by run id.

    `warmup_s` trims again from the raw data; otherwise summary.json is taken as it is. Raises
    SpecError if it does not suit a run.
    """
    values = {}
    for point in sweep.points:
        for run in point.runs:
            if run.status in (None, INTERRUPTED):
                continue
            try:
                content = _summary(bundle_of(directory, run.run_id), warmup_s)
            except BadInput as error:
                if run.status != NO_RUN:
                    run.status, run.reason = NO_RUN, error.message
                continue
            judge(run, content)
            if run.status in sweep_record.FINISHED:
                values[run.run_id] = sweep_figures.of_run(content)
    return values


def judge(run: PlayedRun, content: dict[str, Any]) -> None:
    """Take a run's verdict over from its summary."""
    run.status = content["verdict"]["status"]
    reasons = content["verdict"]["reasons"] or [""]
    run.reason = reasons[0][:REASON_LENGTH_MAX]
    run.limited_by = (content.get("limited_by") or {}).get("sentence") or ""
    run.overload = next(
        (
            f"{goal['meaning']}: {'; '.join(goal['why'])}"
            for goal in content.get("goals") or []
            if any(one["code"] == "polls_take_less" for one in goal.get("why_codes") or [])
        ),
        "",
    )
    run.disturbed_by = _disturbed_by(content)
    run.trimmed = trimming.words(content)


def _disturbed_by(content: dict[str, Any]) -> str:
    """Say which host something else than the lab kept busy, if nothing else is wrong with a run."""
    codes = content["verdict"].get("reason_codes") or []
    invalid = [one for one in codes if one.get("severity") == "invalid"]
    if not invalid or any(one["code"] != "host_saturated" for one in invalid):
        return ""
    processes = content["resources"]["processes"].values()
    lab_pct = sum(((one or {}).get("cpu_pct") or {}).get("mean") or 0.0 for one in processes)
    said = []
    for one in invalid:
        cores = content["resources"]["hosts"][one["host"]].get("cpu_count")
        busy_pct = one["parameters"]["busy_pct"]
        if cores is None or lab_pct > busy_pct * cores * LAB_SHARE_MAX:
            return ""
        said.append(
            f"{one['host']} was {busy_pct:.0f} % busy, and the lab took {lab_pct / cores:.0f} %"
        )
    return "; ".join(said)


def summary_of(bundle: Path) -> dict[str, Any]:
    """Read a run's summary.json. Raises BadInput that names what is wrong."""
    return _summary(bundle, None)


def _summary(bundle: Path, warmup_s: float | None) -> dict[str, Any]:
    path = bundle / "summary.json"
    if not bundle.is_dir():
        raise BadInput(f"{bundle}: does not exist")
    if warmup_s is not None or not path.exists():
        try:
            loaded = load_bundle(bundle)
        except SpecError as error:
            raise BadInput(f"{bundle}: {error}") from error
        try:
            return summary.analyse(loaded, warmup_s)
        except SpecError as error:
            # The option is wrong, and not the run.
            raise SpecError(f"{bundle}: {error}") from error
    try:
        content = json_input.loads(regular.read_text(path))
        if content["schema"] != summary.SCHEMA:
            raise BadInput(f"{path}: schema {content['schema']}, expected {summary.SCHEMA}")
        status, reasons = content["verdict"]["status"], content["verdict"]["reasons"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadInput(f"{path}: is not a summary of a run: {error}") from error
    if status not in (sweep_record.PASS, sweep_record.FAIL, sweep_record.INVALID):
        raise BadInput(f"{path}: has a verdict {status!r}")
    if not isinstance(reasons, list) or not all(isinstance(one, str) for one in reasons):
        raise BadInput(f"{path}: has reasons for its verdict that are not a list of sentences")
    return dict(content)


def write(
    sweep: Sweep, directory: Path, values: dict[str, Values]
) -> tuple[list[Growth], list[expected.Expectation]]:
    """Put figures into the sweep and write sweep.json, report.html and figures.csv.

    Raises OSError.
    """
    # Only the control node has what the page is made with.
    from fpaas.report import sweep_page  # noqa: PLC0415

    for point in sweep.points:
        of_point = [values[run.run_id] for run in point.trusted if run.run_id in values]
        point.figures = sweep_figures.summarise(of_point) if of_point else None
    growths = sweep_figures.growth(sweep, values)
    sweep.scaling = [
        one.record(cost=sweep_text.cost(one), sentence=sweep_text.growth(one)) for one in growths
    ]
    expectations = expected.table(sweep, growths) if sweep.name == expected.SWEEP else []
    _replace(directory / "figures.csv", figures_csv(sweep, values))
    if expectations:
        _replace(directory / "expected-results.md", expected.markdown(expectations))
    _replace(
        directory / "report.html",
        sweep_page.render(sweep, growths, expectations, _sizes(sweep, directory)),
    )
    record.write(sweep, directory)
    return growths, expectations


def _sizes(sweep: Sweep, directory: Path) -> list[Size]:
    """Return what some numbers of consumers need, if consumers were searched."""
    if sweep.search is None or list(sweep.grid) != [sweep_figures.CONSUMERS]:
        return []
    measured = [
        sizing.of_run(
            sweep.variables | point.variables, summary_of(bundle_of(directory, run.run_id))
        )
        for point, run in sweep.alike
    ]
    if not measured:
        return []
    poll_interval_s = sweep.variables["bench_poll_interval_s"]
    return [sizing.size(measured, count, poll_interval_s) for count in SIZED]


def figures_csv(sweep: Sweep, values: dict[str, Values]) -> str:
    """Return a line for each attempt at each point; a cell is empty if it was not measured.

    `at_least` names the figures that are lower bounds.
    """
    text = io.StringIO()
    out = csv.writer(text, lineterminator="\n")
    names = [one.name for one in FIGURES]
    out.writerow(["point", *sweep.grid, "repetition", "run_id", "status", *names, "at_least"])
    for point in sweep.points:
        of_point = list(point.variables.values())
        for run in point.runs or [PlayedRun("", 0, "missing")]:
            figures = values.get(run.run_id) or dict.fromkeys(names)
            cells = ["" if (one := figures[name]) is None else one.value for name in names]
            lower = [name for name in names if (one := figures[name]) and one.is_at_least]
            out.writerow(
                [
                    *(point.number, *of_point, run.repetition + 1, run.run_id, run.status),
                    *(*cells, " ".join(lower)),
                ]
            )
    return text.getvalue()


def _replace(path: Path, text: str) -> None:
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)
