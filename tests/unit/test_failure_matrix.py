"""`make failure-matrix`: what was played, what was not and why, and what is played again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fpaas.control import failure_matrix
from fpaas.control.failure_matrix import Matrix
from tests.support.checkout import CHECKOUT

FAULT = {"detected_s": 1.24, "recovered_s": 3.0, "cost": {"lost_by_cause": None}}
HOST = {
    "cpu_count": 2,
    "cpu_model": "a processor",
    "mem_total_mb": 4000.0,
    "os": "Debian",
    "nats_server": "2.15.1",
}


class Played:
    """Stands in for ansible-playbook: leaves a bundle, or a refusal."""

    def __init__(self, results: Path, refused: dict[str, str]) -> None:
        self.names: list[str] = []
        self._results = results
        self._refused = refused

    def __call__(self, playbook: str, log: Path) -> int:
        name = Path(playbook).stem
        self.names.append(name)
        if name in self._refused:
            log.write_text(
                f"TASK [x]\n[ERROR]: Task failed: Action failed: {self._refused[name]}\nmore\n"
            )
            return 2
        there = len(list(self._results.glob("2026*")))
        run = self._results / f"2026010{there}T000000Z-{name}"
        run.mkdir()
        (run / "summary.json").write_text(json.dumps(summary()))
        (run / "manifest.json").write_text(json.dumps({"hosts": {"a": HOST}}))
        log.write_text("")
        return 0


def summary(**changes: Any) -> dict[str, Any]:  # noqa: ANN401
    ledger = {
        "redelivered": 7,
        "duplicate_deliveries": 2,
        "lost": 5,
        "lost_by_cause": {"max_age": 5, "other": 0},
    }
    return {
        "verdict": {
            "status": "pass",
            "reason_codes": [{"code": "redelivered", "severity": "note"}],
        },
        "ledger": {**ledger, "not_read": 0},
        "faults": [FAULT],
        "recovery": {"replayed": 41},
    } | changes


@pytest.fixture
def playbooks(tmp_path: Path) -> Path:
    directory = tmp_path / "playbooks"
    directory.mkdir()
    for name in ("failure-partition", "failure-nats-pause", "failure-of-mine", "run"):
        (directory / f"{name}.yml").write_text("")
    return directory


def fill(tmp_path: Path, playbooks: Path, *options: str, **refused: str) -> tuple[str, list[str]]:
    results = tmp_path / "results"
    results.mkdir(exist_ok=True)
    by_name = {f"failure-{name}": why for name, why in refused.items()}
    played = Played(results, by_name)
    matrix = Matrix(results, played, lambda _: None, {"options": list(options)})
    rows = matrix.fill(playbooks)
    table = failure_matrix.table(rows)
    assert (results / "failures" / failure_matrix.TABLE_NAME).read_text() == table
    return table, played.names


def test_what_was_played_and_what_was_not(tmp_path: Path, playbooks: Path) -> None:
    table, played = fill(tmp_path, playbooks, partition="a host is missing")
    assert played == ["failure-nats-pause", "failure-partition", "failure-of-mine"]
    assert "| nats-pause | pass | 1.2 s | 3.0 s | 41 | 7 | 2 | 5 (5 max age) |" in table
    assert "- partition: a host is missing" in table
    assert "Measured on 2 cores, 4 GB, a processor, Debian; nats-server 2.15.1." in table
    content = json.loads((tmp_path / "results/failures/failures.json").read_text())
    assert [row["name"] for row in content["failures"]] == ["nats-pause", "partition", "of-mine"]


def test_what_was_played_is_not_played_again_unless_its_run_is_gone(
    tmp_path: Path, playbooks: Path
) -> None:
    fill(tmp_path, playbooks, partition="a host is missing")
    _, played = fill(tmp_path, playbooks)
    assert played == ["failure-partition"]
    [run] = (tmp_path / "results").glob("*-failure-nats-pause")
    (run / "summary.json").unlink()
    _, played = fill(tmp_path, playbooks)
    assert played == ["failure-nats-pause"]


def test_other_options_are_another_table(tmp_path: Path, playbooks: Path) -> None:
    fill(tmp_path, playbooks)
    for run in (tmp_path / "results").glob("2026*"):
        run.rename(run.with_name("old-" + run.name[9:]))
    _, played = fill(tmp_path, playbooks, "-e", "bench_consumers=2")
    assert len(played) == 3


def test_the_worst_of_several_faults_counts() -> None:
    slow = FAULT | {"recovered_s": 9.0}
    row = failure_matrix.row_of(
        "of-mine", "1", summary(faults=[slow, FAULT | {"detected_s": None}])
    )
    assert "| of-mine | pass | - | 9.0 s | 41 |" in failure_matrix.table([row])


def test_what_was_lost_with_a_stream_has_its_own_causes() -> None:
    fault = FAULT | {"cost": {"lost_by_cause": {"in_delivery": 5}}}
    row = failure_matrix.row_of("of-mine", "1", summary(faults=[fault]))
    assert "| 5 (5 in delivery) |" in failure_matrix.table([row])


def test_every_failure_of_the_lab_is_known_in_its_order() -> None:
    assert failure_matrix.names(CHECKOUT / "playbooks") == list(failure_matrix.ORDER)
