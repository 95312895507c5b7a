"""A capacity search for real: killed in the middle of a run, resumed, answered."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from fpaas.commands import report, size
from fpaas.records import sweep as sweep_record
from fpaas.search import played
from fpaas.search.capacity import Answer, StoppedBy
from fpaas.sweep import record
from tests.support.playbook_lab import Lab, read_until

pytestmark = [pytest.mark.integration, pytest.mark.matrix]

SEARCH_S = 1500
#: Each consumer is delivered 5 messages/s, and the goal allows 52: ten consumers, by design.
RATE_PER_S = 5
VARIABLES: dict[str, Any] = {
    "capacity_most": 16,
    "capacity_resolution_pct": 50,
    "capacity_long_run": False,
    "goals": {"processed_per_s_max": 52, "fetch_call_p99_ms_max": None},
    "bench_consumers": 2,
    "bench_firehose_rate_per_s": RATE_PER_S,
    "bench_poll_interval_s": 1,
    "bench_fetch": "drain",
    "bench_warmup_s": 2,
    "bench_measure_s": 6,
    "bench_drain_s": 2,
    "sweep_id": "tried",
}


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    made = Lab(tmp_path)
    made.variables |= VARIABLES
    yield made
    made.end()


def test_a_search_that_was_killed_goes_on_to_its_answer(lab: Lab) -> None:
    directory = lab.results / "sweeps/tried"
    process = lab.start("capacity.yml")
    try:
        read_until(process, "run 2: ")
    finally:
        process.kill()
    process.communicate(timeout=30)
    again = lab.start("capacity.yml")
    output, _ = again.communicate(timeout=SEARCH_S)
    sys.stdout.write(output)
    if "the same command continues" in " ".join(output.split()):
        pytest.skip("others keep this machine busy")
    assert again.returncode == 0

    sweep = record.load(directory)
    runs = [run for point in sweep.points for run in point.runs]
    assert [run.status for run in runs].count(sweep_record.INTERRUPTED) == 1
    answer = played.state(sweep)
    assert isinstance(answer, Answer)
    assert (answer.holds_at, answer.stopped_at) == (8, 12)
    assert answer.stopped_by is StoppedBy.SYSTEM
    sentence = "Holds at 8 consumers in 3 of 3, fails at 12 consumers in 3 of 3."
    assert sentence in output
    assert "cost there per 1,000 consumers, scaled up from 8: CPU of NATS" in output
    page = (directory / "report.html").read_text()
    assert sentence in page
    assert "What consumers need" in page

    reported = CliRunner().invoke(report.command, [str(directory)])
    assert reported.exit_code == 0, reported.output
    assert sentence in reported.output
    arguments = ["--consumers", "50000", "--poll", "30", "--from", str(directory)]
    sized = CliRunner().invoke(size.command, [*arguments, "--format", "json"])
    assert sized.exit_code == 0, sized.output
    [one] = json.loads(sized.output)
    assert one["nats_cores"]["low"] <= one["nats_cores"]["value"] <= one["nats_cores"]["high"]
    assert one["beyond"] > 1
