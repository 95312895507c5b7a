"""`fpaas report`: exit codes, what it writes, and what it says when it cannot."""

from __future__ import annotations

import json
import os
import re
import resource
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from fpaas.cli import main
from fpaas.errors import report_command
from fpaas.probe import seal
from fpaas.results import folder
from tests.support.raw_run import HOST, RawRun


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return RawRun().write(tmp_path / "run")


def report(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["report", *[str(argument) for argument in arguments]])


def read(path: Path) -> dict[str, Any]:
    content = json.loads(path.read_text())
    assert isinstance(content, dict)
    return content


def test_run_that_never_began(run: Path) -> None:
    planned = read(run / "run.json") | {"t0_unix_ns": 0}
    (run / "run.json").write_text(json.dumps(planned))
    result = report(run)
    assert result.exit_code == 2
    assert "run.json: the run never began: it has no T0" in result.output


@pytest.mark.parametrize("is_sealed", [False, True])
def test_a_hosts_part_is_refused_and_stays_as_it_is(tmp_path: Path, *, is_sealed: bool) -> None:
    """As `.lab/current` while a run is on: what is written there is sealed, and collected."""
    run = RawRun().write(tmp_path / "run", sealed=is_sealed)
    part = run / "hosts" / HOST
    (part / "run.json").write_text((run / "run.json").read_text())
    if is_sealed:
        for path in part.glob("*.status.json"):
            path.unlink()
    before = sorted(part.iterdir())
    result = report(part)
    assert result.exit_code == 2, result.output
    assert f"{part}: is one host's part of a run, not a bundle" in result.output
    assert "`fpaas watch`" in result.output
    assert sorted(part.iterdir()) == before


@pytest.mark.parametrize(
    "name", ["run.json", "control.json", "x", f"hosts/{HOST}/shuffler.hlog", f"hosts/{HOST}/x"]
)
def test_what_is_no_regular_file_is_refused_and_not_waited_for(run: Path, name: str) -> None:
    (run / name).unlink(missing_ok=True)
    os.mkfifo(run / name)
    command = [sys.executable, "-m", "fpaas.cli", "report", str(run)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2, done.stderr
    assert f"{run / name}: " in done.stderr
    assert "is no regular file" in done.stderr
    assert not (run / "summary.json").exists()


def test_a_good_run(run: Path) -> None:
    (run / "control.json").write_text('{"git_commit": "abc123", "problems": []}')
    result = report(run)
    assert result.exit_code == 0, result.output
    assert "PASS" in result.output
    assert str(run / "report.html") in result.output
    assert "\x1b[" not in result.output
    assert read(run / "summary.json")["verdict"]["status"] == "pass"
    assert (run / "report.html").stat().st_size > 1000
    assert (run / "figures" / "series.csv").stat().st_size > 1000
    manifest = read(run / "manifest.json")
    assert manifest["git_commit"] == "abc123"
    assert manifest["hosts"][HOST]["clock"]["bound_ms"] == 0.08
    assert manifest["hosts"][HOST]["limits"]
    files = manifest["files"]
    assert {"run.json", "summary.json", "report.html", f"hosts/{HOST}/relay.json"} <= set(files)
    assert not list(run.rglob("*.tmp"))


def test_a_missed_goal_exits_1(tmp_path: Path) -> None:
    raw = RawRun()
    run = raw.write(tmp_path / "run", sealed=False)
    path = run / "hosts" / HOST / "consumers-0.json"
    content = read(path)
    content["fetches"]["by_status"] = {"503": 3}
    path.write_text(json.dumps(content))
    seal.seal(run / "hosts" / HOST, HOST)
    result = report(run)
    assert result.exit_code == 1, result.output
    assert "3 answered with 503" in result.output


def test_a_reason_from_outside_is_kept(run: Path) -> None:
    result = report(run, "--invalid", "interrupted by hand", "--invalid", "another")
    assert result.exit_code == 3
    assert "interrupted by hand" in result.output
    result = report(run, "--invalid", "another")
    assert result.exit_code == 3
    given = read(run / "summary.json")["verdict"]["reason_codes"][:2]
    assert [one["code"] for one in given] == ["marked_invalid"] * 2
    words = [one["parameters"]["text"] for one in given]
    assert words == ["interrupted by hand", "another"]
    result = report(run, "--invalid", " ")
    assert result.exit_code == 2
    assert "--invalid: the reason is empty" in result.output


def test_warm_up_is_trimmed_again_and_back(run: Path) -> None:
    assert report(run, "--warmup-s", "20").exit_code == 0
    assert read(run / "summary.json")["window"]["from_s"] == 20
    assert report(run).exit_code == 0
    assert read(run / "summary.json")["window"]["from_s"] == 5
    result = report(run, "--warmup-s", "99")
    assert result.exit_code == 2
    assert "99" in result.output


def test_what_is_no_run_exits_2(tmp_path: Path) -> None:
    for path in (tmp_path / "missing", tmp_path):
        result = report(path)
        assert result.exit_code == 2
        assert str(path) in result.output


@pytest.mark.parametrize(
    "name", ["report.html", "summary.json", "run.json", "figures/x.html", f"hosts/{HOST}/x.html"]
)
def test_a_single_file_replaces_none_of_the_runs_own(run: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "link").symlink_to(run)
    (run / "figures").mkdir(exist_ok=True)
    before = (run / "run.json").read_bytes()
    for way in (run, tmp_path / "link"):
        result = report("--single-file", way / name, run)
        assert result.exit_code == 2, result.output
        assert f"--single-file: {way / name}: is a file of the run itself" in result.output
    assert (run / "run.json").read_bytes() == before
    assert not (run / "summary.json").exists()


def test_a_single_file_needs_a_folder_and_is_refused_before_the_report(run: Path) -> None:
    result = report("--single-file", run / "not there" / "x.html", run)
    assert result.exit_code == 2
    assert f"--single-file: {run}/not there: there is no such folder" in result.output
    assert not (run / "summary.json").exists()


def test_advised_commands_are_as_a_shell_takes_them(tmp_path: Path) -> None:
    assert report_command(Path("results/one")) == "`fpaas report results/one`"
    run = RawRun().write(tmp_path / "my results" / "it's one")
    (row,) = folder.read(run.parent)
    (advised,) = re.findall("`(.*)`", row.problem)
    assert shlex.split(advised) == ["fpaas", "report", str(run)]


def test_an_interrupted_run_is_reported_with_what_there_is(run: Path) -> None:
    for agent in ("consumers", "shuffler"):
        path = run / "hosts" / HOST / f"{agent}.status.json"
        path.write_text(path.read_text().replace("done", "stopped"))
    for path in (run / "hosts" / HOST).glob("probe.final.json"):
        path.unlink()
    result = report(run)
    assert result.exit_code == 3
    content = read(run / "summary.json")
    assert content["ledger"]["published"] == 3500
    assert content["ledger"]["stored"] is None
    assert (run / "report.html").exists()


# A limit on file size is the portable way to make writing fail midway.
LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), resource.RLIM_INFINITY))
from fpaas.cli import main
from fpaas.errors import report_command
from fpaas.probe import seal
from fpaas.results import folder
main(["report", sys.argv[2]])
"""


@pytest.mark.parametrize(
    "limit_bytes",
    [100, 50_000],  # room for nothing, for summary.json alone
)
def test_a_full_disk_is_said_and_leaves_no_part(run: Path, limit_bytes: int) -> None:
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[1] == resource.RLIM_INFINITY
    done = subprocess.run(
        # Half a .pyc would stay, and fail whoever imports it next.
        [sys.executable, "-B", "-c", LIMITED, str(limit_bytes), str(run)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 3, done.stderr
    assert str(run / "report.html") in done.stderr
    assert "cannot be written" in done.stderr
    assert "PASS" in done.stdout
    # A verdict without its report would be taken for a whole bundle.
    assert not (run / "summary.json").exists()
    assert not (run / "report.html").exists()
    assert not list(run.rglob("*.tmp"))
    assert report(run).exit_code == 0


def test_a_place_that_cannot_be_written_is_said(run: Path) -> None:
    (run / "summary.json").mkdir()
    result = report(run)
    assert result.exit_code == 3
    assert str(run / "summary.json") in result.output
    assert not list(run.rglob("*.tmp"))
