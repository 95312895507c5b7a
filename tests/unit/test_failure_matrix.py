"""`make failure-matrix`: what was played, what was not and why, and what is played again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from msgspec import structs

from fpaas.control import failure_matrix, play_notes
from fpaas.control.failure_matrix import Matrix
from fpaas.records import files
from fpaas.records.accounts import FaultAccount, FaultCost, Recovery
from fpaas.records.manifest import Manifest, RunHost
from fpaas.records.summary import Summary
from tests.support.checkout import CHECKOUT

COST = FaultCost(
    **dict.fromkeys(set(FaultCost.__struct_fields__) - {"lost_by_cause"}), lost_by_cause=None
)
FAULT = FaultAccount(
    kind="kill",
    on=["a: nats"],
    parameters={},
    at_s=1.0,
    for_s=1.0,
    began_s=1.0,
    ended_s=2.0,
    undone=True,
    detected_s=1.24,
    served_s=3.0,
    published_s=2.0,
    recovered_s=3.0,
    cost=COST,
)
#: A run that was played.
BUNDLE = CHECKOUT / "tests" / "data" / "bundles" / "passing"
HOST = RunHost(
    kernel=None,
    python=None,
    cpu_count=2,
    cpu_model="a processor",
    mem_total_mb=4000.0,
    os="Debian",
    nats_server="2.15.1",
)


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
            log.write_text("what people read\n")
            failed = play_notes.TaskFailed("h1", "x", self._refused[name])
            files.write(log.with_suffix(play_notes.SUFFIX), failed)
            return 2
        there = len(list(self._results.glob("2026*")))
        run = self._results / f"2026010{there}T000000Z-{name}"
        run.mkdir()
        files.write(run / "summary.json", summary())
        manifest = files.read(BUNDLE / "manifest.json", Manifest)
        files.write(run / "manifest.json", structs.replace(manifest, hosts={"a": HOST}))
        log.write_text("")
        return 0


def summary(faults: Sequence[FaultAccount] = (FAULT,)) -> Summary:
    played = files.read(BUNDLE / "summary.json", Summary)
    return structs.replace(
        played,
        ledger=structs.replace(
            played.ledger,
            redelivered=7,
            duplicate_deliveries=2,
            lost=5,
            lost_by_cause={"max_age": 5, "other": 0},
        ),
        faults=list(faults),
        recovery=Recovery(
            stream_recreated=False,
            streams_lost=0,
            rewound_to_seq=None,
            replayed=41,
            lost_by_cause={},
            outages=[],
        ),
    )


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
    slow = structs.replace(FAULT, recovered_s=9.0)
    row = failure_matrix.row_of(
        "of-mine", "1", summary(faults=[slow, structs.replace(FAULT, detected_s=None)])
    )
    assert "| of-mine | pass | - | 9.0 s | 41 |" in failure_matrix.table([row])


def test_what_was_lost_with_a_stream_has_its_own_causes() -> None:
    fault = structs.replace(FAULT, cost=structs.replace(COST, lost_by_cause={"in_delivery": 5}))
    row = failure_matrix.row_of("of-mine", "1", summary(faults=[fault]))
    assert "| 5 (5 in delivery) |" in failure_matrix.table([row])


def test_every_failure_of_the_lab_is_known_in_its_order() -> None:
    assert failure_matrix.names(CHECKOUT / "playbooks") == list(failure_matrix.ORDER)
