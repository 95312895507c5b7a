"""`fpaas report`."""

from __future__ import annotations

import contextlib
import errno
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from fpaas.bundle import own_files
from fpaas.bundle.bundle import Bundle
from fpaas.bundle.loader import load_bundle
from fpaas.errors import (
    EXIT_DONE,
    EXIT_RUN_INVALID,
    EXIT_VERDICT_FAILED,
    BadInput,
    RunInvalid,
    report_command,
)
from fpaas.finite import FiniteRange
from fpaas.records import control, files
from fpaas.records import manifest as records_manifest
from fpaas.records import sweep as sweep_record
from fpaas.records.control import InvalidMarks
from fpaas.report import sweep_report
from fpaas.search import frontier_played, played
from fpaas.summary import manifest, summary
from fpaas.sweep import record
from fpaas.text import capacity_text, expected, frontier_text, summary_text, sweep_text
from fpaas.verdict import verdict

EXIT_BY_STATUS = {
    verdict.PASS: EXIT_DONE,
    verdict.FAIL: EXIT_VERDICT_FAILED,
    verdict.INVALID: EXIT_RUN_INVALID,
}
COLOUR_BY_STATUS = {verdict.PASS: "green", verdict.FAIL: "red", verdict.INVALID: "yellow"}


@click.command
@click.argument("run_dir", type=click.Path(path_type=Path))
@click.option(
    "--warmup-s",
    type=FiniteRange(min=0),
    help="Whole seconds to leave out at the start, instead of the run's warm-up.",
)
@click.option(
    "--invalid",
    "invalid_reasons",
    multiple=True,
    metavar="REASON",
    help="Mark the run invalid for good, for a reason that its files do not show: "
    "`interrupted`, or your own words. Repeatable.",
)
@click.option(
    "--single-file",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Also write the page to FILE with summary.json and figures/ inside, to share.",
)
def command(
    run_dir: Path,
    warmup_s: float | None,
    invalid_reasons: tuple[str, ...],
    single_file: Path | None,
) -> None:
    """Merge a run's raw data into summary.json, report.html, figures/ and manifest.json in RUN_DIR.

    Raw data is only read, so a run can be reported again and again. For a sweep
    (results/sweeps/<sweep-id>), write the report of all its runs.
    """
    if not run_dir.is_dir():
        raise BadInput(f"{run_dir}: is not a run directory; expected results/<run-id>")
    if single_file and not single_file.parent.is_dir():
        raise BadInput(f"--single-file: {single_file.parent}: there is no such folder; create it")
    if single_file and own_files.has(run_dir, single_file):
        raise BadInput(f"--single-file: {single_file}: is a file of the run itself; name another")
    if not all(reason.strip() for reason in invalid_reasons):
        raise BadInput("--invalid: the reason is empty; say why the run is not to be trusted")
    if (run_dir / sweep_record.NAME).exists():
        if invalid_reasons:
            raise BadInput("--invalid is for single runs; report each one, then the sweep")
        if single_file:
            raise BadInput("--single-file is for single runs; a sweep's report links to its runs'")
        _report_sweep(run_dir, warmup_s)
        return
    status = write_run(run_dir, warmup_s, invalid_reasons, single_file)
    sys.exit(EXIT_BY_STATUS[status])


def write_run(
    run_dir: Path,
    warmup_s: float | None = None,
    invalid_reasons: Sequence[str] = (),
    single_file: Path | None = None,
) -> str:
    """Write all that is made of a run's raw data, and print the summary; returns the verdict."""
    bundle = load_bundle(run_dir)
    new_reasons = [reason for reason in invalid_reasons if reason not in bundle.invalid_reasons]
    bundle.invalid_reasons += new_reasons
    figures = summary.analyse(bundle, warmup_s)
    # If only the top of it is read, as by `head`, its files are written anyway.
    with contextlib.suppress(BrokenPipeError):
        _show(bundle, figures)
    if new_reasons:
        _write_json(run_dir / control.INVALID, InvalidMarks(reasons=bundle.invalid_reasons))
    report = run_dir / "report.html"
    tables = _write_report(report, bundle, figures)
    # After what is larger: on a full disk no verdict stands beside a report that is missing.
    _write_json(run_dir / "summary.json", figures)
    if single_file:
        _write_single(single_file, bundle, figures, tables)
    # Last, for it holds the others' checksums.
    _write_json(run_dir / records_manifest.NAME, manifest.describe(bundle))
    _renew_results(run_dir)
    click.echo(f"\nreport      {report}")
    if single_file:
        click.echo(f"alone       {single_file}")
    status: str = figures["verdict"]["status"]
    return status


def _report_sweep(directory: Path, warmup_s: float | None) -> None:
    sweep = record.load(directory)
    values = sweep_report.read_runs(sweep, directory, warmup_s)
    try:
        growths, expectations = sweep_report.write(sweep, directory, values)
    except OSError as error:
        raise _cannot_write(directory, Path(error.filename or directory), error) from error
    _renew_results(directory.resolve().parent)
    for line in sweep_text.lines(sweep, growths):
        click.echo(line)
    if expectations:
        click.echo("\n" + expected.text(expectations))
    click.echo(f"\nreport      {directory / 'report.html'}\n")
    searched = capacity_text if sweep.search else frontier_text if sweep.frontier else None
    if searched is not None:
        for line in searched.lines(sweep):
            click.echo(line)
    if sweep.frontier is not None:
        is_done = isinstance(frontier_played.state(sweep), list)
    else:
        is_done = not sweep.incomplete if sweep.search is None else played.has_answer(sweep)
    if not is_done:
        sys.exit(EXIT_RUN_INVALID)


def _renew_results(inside: Path) -> None:
    """Rewrite the page of the folder that it lies in; a report does not fail for it."""
    from fpaas.report import results_page  # noqa: PLC0415

    wrong = results_page.renew(inside.resolve().parent)
    if wrong:
        click.echo(wrong, err=True)


def _show(bundle: Bundle, figures: dict[str, Any]) -> None:
    scenario = bundle.spec.scenario
    shown = summary_text.lines(figures, f"{scenario.title}: {scenario.goal} ({bundle.spec.run_id})")
    click.secho(next(shown), bold=True, fg=COLOUR_BY_STATUS[figures["verdict"]["status"]])
    for line in shown:
        click.echo(line)


def _write_report(path: Path, bundle: Bundle, figures: dict[str, Any]) -> dict[str, str]:
    # Only the control node has what the page is made with.
    from fpaas.report import figure_files, page  # noqa: PLC0415

    run_dir = path.parent
    _write(path, page.render(bundle, figures))
    directory = run_dir / figure_files.DIRECTORY
    try:
        directory.mkdir(exist_ok=True)
    except OSError as error:
        raise _cannot_write(run_dir, directory, error) from error
    tables = figure_files.of_run(bundle, figures, figures["window"]["from_s"])
    for name, content in tables.items():
        _write(directory / name, content, run_dir)
        parquet = (directory / name).with_suffix(".parquet")
        _write(parquet, figure_files.as_parquet(content), run_dir)
    return tables


def _write_single(
    path: Path, bundle: Bundle, figures: dict[str, Any], tables: dict[str, str]
) -> None:
    from fpaas.report import page  # noqa: PLC0415

    _write(
        path,
        page.render(
            bundle, figures, {**tables, "summary.json": files.encode(figures, indent=2).decode()}
        ),
        bundle.directory,
    )


def _write_json(path: Path, content: object) -> None:
    _write(path, files.encode(content, indent=2).decode())


def _write(path: Path, content: str | bytes, run_dir: Path | None = None) -> None:
    """Replace a file as a whole, or leave none of it.

    Raises RunInvalid or BadInput that names it.
    """
    temporary = path.with_name(path.name + ".tmp")
    try:
        try:
            temporary.write_bytes(content if isinstance(content, bytes) else content.encode())
            temporary.replace(path)
        except OSError:
            temporary.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise _cannot_write(run_dir or path.parent, path, error) from error


def _cannot_write(directory: Path, path: Path, error: OSError) -> click.ClickException:
    message = f"{path}: cannot be written: {error.strerror}"
    if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
        return BadInput(f"{message}; copy the run to where you may write")
    return RunInvalid(f"{message}; make room and run {report_command(directory)} again")
