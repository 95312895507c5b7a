"""Reads a results folder. Whatever lies in it becomes a row; what is broken says how."""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path

import click
import msgspec

from fpaas import regular
from fpaas.bundle import lacking
from fpaas.errors import BadInput, report_command
from fpaas.legible import legible
from fpaas.records import control, summary
from fpaas.records import sweep as sweep_record
from fpaas.results import entry
from fpaas.results.entry import Entry
from fpaas.sweep import record

SWEEPS = "sweeps"
#: Files that the folder of one run or one sweep has: the page would be among its evidence.
OF_ONE = {
    **dict.fromkeys(("run.json", summary.NAME, control.EVENTS), "run"),
    sweep_record.NAME: "sweep",
}


def read(results: Path) -> list[Entry]:
    """Return a row for each run and sweep, newest first. Raises BadInput without a folder."""
    try:
        inside = sorted(results.iterdir())
    except OSError as error:
        raise BadInput(f"{results}: {error.strerror}; expected a folder of runs") from error
    for one in inside:
        if one.name in OF_ONE and one.is_file():
            said = f"is a {OF_ONE[one.name]}: it has {one.name}; expected the folder of runs"
            raise BadInput(f"{results}: {said}")
    rows = [
        _run(results, one)
        for one in inside
        if one.name != SWEEPS
        and not one.name.startswith(".")
        and not one.is_symlink()
        and one.is_dir()
    ]
    sweeps = results / SWEEPS
    if sweeps.is_dir():
        rows += [_sweep(results, one) for one in sorted(sweeps.iterdir()) if one.is_dir()]
    return sorted(rows, key=lambda row: (row.began, row.name), reverse=True)


def _run(results: Path, directory: Path) -> Entry:
    began = entry.began_at(directory.name, directory.stat().st_mtime)
    page = _page(results, directory)
    try:
        content = msgspec.json.decode(regular.read_bytes(directory / "summary.json"))
        row = entry.of_summary(content, _name(directory), began, page)
        wrong = _run_json_wrong(directory) or lacking.sentence(directory)
        return _broken(directory, began, page, wrong) if wrong else row
    except FileNotFoundError:
        if (directory / "run.json").exists():
            said = f"there is no summary.json; {report_command(directory)} writes one"
        elif (directory / control.EVENTS).exists():
            said = "the run is in progress, or was killed before it was collected"
            return _broken(directory, began, page, said, entry.NOT_COLLECTED)
        else:
            said = "is not a run: it has neither run.json nor summary.json"
    except OSError as error:
        said = f"summary.json: cannot be read: {error.strerror}"
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        said = f"summary.json: is not JSON: {error}; {report_command(directory)} writes it again"
    except entry.UnreadableError as error:
        said = f"summary.json {error}; {report_command(directory)} writes it again"
    return _broken(directory, began, page, said)


def _run_json_wrong(directory: Path) -> str:
    """Say what is wrong with what was run: without it no verdict can be checked, or be true."""
    try:
        content = msgspec.json.decode(regular.read_bytes(directory / "run.json"))
    except OSError as error:
        return f"run.json: cannot be read: {error.strerror}; hosts' parts have a copy of it"
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return f"run.json: is not JSON: {error}; hosts' parts have a copy of it"
    return "" if isinstance(content, dict) else "run.json: is not a JSON object"


def _sweep(results: Path, directory: Path) -> Entry:
    began = entry.began_at(directory.name, directory.stat().st_mtime)
    page = _page(results, directory)
    try:
        sweep = record.load(directory)
    except click.ClickException as error:
        return _broken(directory, began, page, error.message)
    except RecursionError as error:
        return _broken(directory, began, page, f"{sweep_record.NAME}: is not JSON: {error}")
    ids = [run.run_id for point in sweep.points for run in point.runs]
    if ids:
        began = entry.began_at(min(ids), directory.stat().st_mtime)
    done = sum(point.status == "done" for point in sweep.points)
    return Entry(
        name=f"{SWEEPS}/{_name(directory)}",
        kind=entry.SWEEP,
        began=began,
        path=page,
        scenario=sweep.title,
        status=f"{done} of {len(sweep.points)} points",
        why=f"over {', '.join(sweep.grid)}",
    )


def _page(results: Path, directory: Path) -> str | None:
    page = directory / "report.html"
    try:
        return str(page.relative_to(results)) if page.is_file() else None
    except OSError:
        return None


def _broken(
    directory: Path, began: datetime, page: str | None, said: str, status: str = ""
) -> Entry:
    return Entry(
        name=_name(directory),
        kind=entry.BROKEN,
        began=began,
        path=page,
        status=status,
        problem=legible(said),
    )


def _name(directory: Path) -> str:
    """Return its name, legible whatever bytes it is of."""
    return legible(os.fsencode(directory.name).decode(errors="replace"))
