"""Real bundles of older versions, and what the agents write now, fit the schemas."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from jsonschema import Draft202012Validator

from fpaas.cli import main
from fpaas.records import schemas
from tests.support import sweep_runs
from tests.support.kinds_of_files import name_of
from tests.support.raw_run import HOST, RawRun

BUNDLES = Path(__file__).parent.parent / "data" / "bundles"


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = RawRun(workers=2).write(tmp_path_factory.mktemp("schemas") / "run")
    result = CliRunner().invoke(main, ["report", str(run)])
    assert result.exit_code == 0, result.output
    return run


@pytest.fixture(params=["passing", "failing", "simulated"])
def bundle(request: pytest.FixtureRequest, simulated: Path) -> Path:
    return simulated if request.param == "simulated" else BUNDLES / request.param


def contents(path: Path) -> Iterator[Any]:
    if path.suffix == ".jsonl":
        yield from map(json.loads, path.read_text().splitlines())
    else:
        yield json.loads(path.read_text())


def test_every_json_file_of_a_bundle_fits_its_schema(bundle: Path) -> None:
    found = set()
    for path in [*bundle.rglob("*.json"), *bundle.rglob("*.jsonl")]:
        name = name_of(path.name)
        if name is None:
            pytest.fail(f"{path} has no schema")
        found.add(name)
        validator = Draft202012Validator(schemas.of(name))
        for content in contents(path):
            wrong = [
                f"{error.json_path}: {error.message}" for error in validator.iter_errors(content)
            ]
            assert wrong == [], path
    not_of_a_run = {"sweep", "failures"}
    at_times = {"events", "network", "invalid", "control", "metrics"}
    assert found >= schemas.FILES.keys() - at_times - not_of_a_run


def test_a_sweep_that_was_reported_fits_its_schema(tmp_path: Path) -> None:
    directory = sweep_runs.write(tmp_path, {10: 5.0, 100: 9.0, 1000: None})
    assert CliRunner().invoke(main, ["report", str(directory)]).exit_code == 3
    content = json.loads((directory / "sweep.json").read_text())
    assert content["points"][0]["figures"]["nats_cpu_pct"]["median"] == 5.0
    assert content["scaling"][0]["increments"][0].keys() == {"from", "to", "cost_per_added"}
    Draft202012Validator(schemas.of("sweep")).validate(content)


@pytest.mark.parametrize("name", schemas.FILES)
def test_a_schema_is_printed_and_says_no_to_what_does_not_fit(name: str) -> None:
    result = CliRunner().invoke(main, ["schema", name])
    assert result.exit_code == 0, result.output
    schema = json.loads(result.output)
    Draft202012Validator.check_schema(schema)
    assert schema["title"] == schemas.FILES[name].pattern
    assert not Draft202012Validator(schema).is_valid({})


def test_a_set_of_seqs_is_described(simulated: Path) -> None:
    content = json.loads((simulated / "hosts" / HOST / "shuffler.json").read_text())
    validator = Draft202012Validator(schemas.of("shuffler"))
    assert validator.is_valid(content)
    for wrong in (7, [1, 2], [[1]], [["1", 2]], [[1, 2, 3]]):
        assert not validator.is_valid(content | {"failed": wrong})


def test_a_files_name_is_as_good_as_its_kinds() -> None:
    for name, file in schemas.FILES.items():
        assert schemas.of(file.pattern) == schemas.of(name)
    assert schemas.of("consumers-0.samples.jsonl") == schemas.of("consumers.samples")
    assert schemas.of("consumers-0.status.json") == schemas.of("status")
    assert CliRunner().invoke(main, ["schema", "summary.json"]).exit_code == 0


def test_names_are_listed_and_others_refused() -> None:
    listed = CliRunner().invoke(main, ["schema"])
    assert {line.split()[0] for line in listed.output.splitlines()} == schemas.FILES.keys()
    refused = CliRunner().invoke(main, ["schema", "nonsense"])
    assert refused.exit_code == 2
    assert "nonsense" in refused.output
