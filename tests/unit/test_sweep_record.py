from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fpaas.errors import BadInput
from fpaas.records.sweep import PlayedRun, Sweep, SweepPoint
from fpaas.spec import SpecError
from fpaas.sweep import record
from tests.support import sweep_runs

STATUSES = ("pass", "fail", "invalid", "interrupted", "no run", None)


def sweep(consumers: list[int], repeats: int = 1, **variables: float) -> Sweep:
    return Sweep(
        sweep_id="s",
        name="sweep",
        title="Sweep",
        grid={"bench_consumers": consumers},
        repeats=repeats,
        variables={"bench_measure_s": 300.0, **variables},
        hosts={"nats": ["a"]},
        points=[SweepPoint(i, {"bench_consumers": n}) for i, n in enumerate(consumers, 1)],
    )


def test_what_was_written_is_read_back(tmp_path: Path) -> None:
    one = sweep([1, 2])
    one.points[0].runs.append(PlayedRun("r1", 0, "pass", took_s=3.5))
    record.write(one, tmp_path)
    assert record.load(tmp_path) == one
    assert json.loads((tmp_path / "sweep.json").read_text())["schema"] == 1


@given(
    st.lists(
        st.lists(st.tuples(st.integers(0, 1), st.sampled_from(STATUSES)), max_size=4),
        min_size=1,
        max_size=5,
    )
)
def test_a_finished_point_is_never_played_again_and_all_others_are(
    attempts: list[list[tuple[int, str | None]]],
) -> None:
    before = sweep(list(range(1, len(attempts) + 1)), repeats=2)
    for point, runs in zip(before.points, attempts, strict=True):
        point.runs = [PlayedRun(f"r{i}", rep, status) for i, (rep, status) in enumerate(runs)]
    resumed = record.resume(before, sweep(before.grid["bench_consumers"], repeats=2))
    missing = [(repetition, point.number) for repetition, point in resumed.missing()]
    for number, runs in enumerate(attempts, 1):
        for repetition in (0, 1):
            finished = any(r == repetition and s in ("pass", "fail") for r, s in runs)
            assert ((repetition, number) in missing) == (not finished)
    tried = [
        any(r == repetition and s in ("invalid", "no run") for r, s in attempts[number - 1])
        for repetition, number in missing
    ]
    # Each in playing order, those that were tried in vain last.
    assert sorted(zip(tried, missing, strict=True)) == list(zip(tried, missing, strict=True))
    # A run that was on when the sweep ended counts for nothing.
    assert all(run.status is not None for point in resumed.points for run in point.runs)


def test_a_grid_may_grow_and_keeps_what_was_played() -> None:
    before = sweep([10, 50])
    before.points[1].runs = [PlayedRun("r", 0, "pass")]
    grown = record.resume(before, sweep([10, 20, 50], repeats=3))
    assert [len(point.runs) for point in grown.points] == [0, 0, 1]
    missing = [(repetition, point.number) for repetition, point in grown.missing()]
    assert missing == [(0, 1), (0, 2), (1, 1), (1, 2), (1, 3), (2, 1), (2, 2), (2, 3)]


def test_what_all_points_shared_may_come_to_follow_from_what_is_swept() -> None:
    before = sweep([10])
    before.variables["bench_stream_duplicate_window_s"] = 300.0
    assert record.resume(before, sweep([10, 50])).variables == {"bench_measure_s": 300.0}


def test_a_grid_that_lost_points_is_refused() -> None:
    with pytest.raises(SpecError, match=r"lacks: bench_consumers=50.*choose another sweep_id"):
        record.resume(sweep([10, 50]), sweep([10]))


def test_other_conditions_are_refused_by_name() -> None:
    with pytest.raises(SpecError, match="another bench_measure_s: 300, now 10"):
        record.resume(sweep([1]), sweep([1], bench_measure_s=10.0))
    other = sweep([1])
    other.hosts = {"nats": ["b"]}
    with pytest.raises(SpecError, match="another inventory group nats"):
        record.resume(sweep([1]), other)


@pytest.mark.parametrize(
    ("statuses", "is_now"),
    [
        ([], "missing"),
        (["interrupted"], "missing"),
        ([None], "missing"),
        (["invalid", "interrupted"], "invalid"),
        (["no run"], "invalid"),
        (["invalid", "fail"], "done"),
        (["pass"], "done"),
    ],
)
def test_a_point_is_what_its_runs_make_it(statuses: list[str | None], is_now: str) -> None:
    runs = [PlayedRun("r", 0, status) for status in statuses]
    assert SweepPoint(1, {}, runs).status == is_now


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot be read"),
        ("{", "its end is missing"),
        ("", "is empty"),
        ('{"schema": 1}', "missing required field `sweep_id`"),
        ("[]", "is not what it should be"),
    ],
)
def test_a_file_that_is_none_is_named(tmp_path: Path, content: str | None, message: str) -> None:
    if content is not None:
        (tmp_path / "sweep.json").write_text(content)
    with pytest.raises(BadInput, match=message) as raised:
        record.load(tmp_path)
    assert "sweep.json" in raised.value.message


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"grid": {}}, "the grid is empty, or has a variable without values"),
        ({"schema": 9}, "schema 9, expected 1"),
        ({"grid": {"bench_consumers": 10}}, r"`\$\.grid"),
        ({"grid": {"bench_consumers": [11]}}, "point 1 is not on the grid"),
        ({"variables": []}, r"`\$\.variables`"),
        ({"hosts": {"nats": [None]}}, r"`\$\.hosts"),
        ({"repeats": 0}, r"`\$\.repeats`"),
        ({"points": [{"number": 2, "variables": {}, "runs": []}]}, "points are numbered from 1"),
    ],
)
def test_a_file_that_is_no_sweep_is_refused_with_what_is_wrong(
    tmp_path: Path, changed: dict[str, Any], message: str
) -> None:
    directory = sweep_runs.write(tmp_path, {10: 15.5})
    path = directory / "sweep.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changed))
    with pytest.raises(BadInput, match=message):
        record.load(directory)


def test_a_run_of_the_wrong_kind_is_refused(tmp_path: Path) -> None:
    directory = sweep_runs.write(tmp_path, {10: 15.5})
    path = directory / "sweep.json"
    path.write_text(path.read_text().replace('"repetition": 0', '"repetition": "0"'))
    with pytest.raises(BadInput, match=r"points.*runs.*repetition"):
        record.load(directory)


def test_the_same_grid_goes_on_whatever_the_order_of_its_variables() -> None:
    before, now = sweep([10]), sweep([10])
    before.points[0].variables = {"bench_consumers": 10, "bench_poll_interval_s": 5.0}
    before.points[0].runs = [PlayedRun("one", 1, "pass")]
    now.points[0].variables = {"bench_poll_interval_s": 5.0, "bench_consumers": 10}
    assert record.resume(before, now).points[0].runs == before.points[0].runs
