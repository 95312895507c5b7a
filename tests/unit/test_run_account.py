"""Who began a run, who was collected, what went wrong."""

from __future__ import annotations

from typing import Any

from fpaas.control.run_account import account


def test_a_host_without_a_note_was_not_reached() -> None:
    noted: dict[str, dict[str, Any]] = {
        "a": {"run_armed_id": "one", "run_collected": True},
        "b": {"run_armed_id": "one", "run_collected": False, "run_problems": ["b: is damaged"]},
        "c": {"run_armed_id": "one"},
    }
    summed = account(["a", "b", "c"], noted, "one")
    assert summed["began"]
    assert summed["collected"] == ["a"]
    assert summed["unreached"] == ["c"]
    assert summed["problems"] == ["b: is damaged"]
    assert [said.partition(":")[0] for said in summed["unreached_problems"]] == ["c"]


def test_a_run_has_begun_where_all_hosts_have() -> None:
    noted = {"a": {"run_armed_id": "two"}, "b": {"run_armed_id": "one"}}
    assert not account(["a", "b"], noted, "two")["began"]
    assert account(["a"], noted, "two")["began"]
