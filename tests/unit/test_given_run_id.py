"""A run gets the id that the user gave only if that is well-formed and new."""

from __future__ import annotations

import pytest

from fpaas.control.given_run_id import ADVICE, refusal

TAKEN = ["20260102T030405Z-scenario-1"]
NEW = "20260102T030406Z-scenario-1"


def test_a_new_id_is_taken() -> None:
    assert refusal(NEW, TAKEN) == ""


@pytest.mark.parametrize(
    "run_id",
    ["", "x", "None", "../x", "20260102T030405Z", "20260102T030405Z-", NEW + "/..", NEW + "\n"],
)
def test_an_id_of_another_form_is_refused(run_id: str) -> None:
    said = refusal(run_id, TAKEN)
    assert said.startswith(f"run_id: {run_id!r} is not allowed; allowed: <UTC time>-<name>")
    assert ADVICE in said


def test_the_id_of_a_run_that_exists_is_refused() -> None:
    said = refusal(TAKEN[0], TAKEN)
    assert said.startswith(f"run_id: {TAKEN[0]}: there is such a run already")
    assert ADVICE in said


def test_one_id_for_several_runs_is_refused() -> None:
    said = refusal(NEW, TAKEN, runs=2)
    assert said.startswith(f"run_id: {NEW}: is the id of one run, and bench_repeat asks for 2")
