"""Who began a run, who was collected, what went wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from fpaas.control.run_account import account, record
from fpaas.records import control, files
from fpaas.records.control import ControlAccount, ControlProblem

DAMAGED = {
    "problem": "not_brought",
    "host": "b",
    "parameters": {"task": "Bring it", "message": "is damaged", "directory": "/b"},
}


def test_a_host_without_a_note_was_not_reached() -> None:
    noted: dict[str, dict[str, Any]] = {
        "a": {"run_armed_id": "one", "run_collected": True},
        "b": {"run_armed_id": "one", "run_collected": False, "run_problems": [DAMAGED]},
        "c": {"run_armed_id": "one"},
    }
    summed = account(["a", "b", "c"], noted, "one")
    assert summed["began"]
    assert summed["collected"] == ["a"]
    assert summed["unreached"] == ["c"]
    assert summed["problems"] == [DAMAGED]
    assert len(summed["sentences"]) == 1
    assert summed["unreached_problems"] == [{"problem": "not_reached", "host": "c"}]


def test_a_run_has_begun_where_all_hosts_have() -> None:
    noted = {"a": {"run_armed_id": "two"}, "b": {"run_armed_id": "one"}}
    assert not account(["a", "b"], noted, "two")["began"]
    assert account(["a"], noted, "two")["began"]


def test_what_a_playbook_knows_is_a_record(tmp_path: Path) -> None:
    known = {"run_id": "one", "problems": [DAMAGED], "git_commit": None, "nats_tls": True}
    path = tmp_path / control.NAME
    path.write_text(record(json.dumps(known), 7))
    read = files.read(path, ControlAccount)
    assert read == ControlAccount(
        run_id="one",
        problems=[msgspec.convert(DAMAGED, ControlProblem)],
        events=7,
        nats_tls=True,
    )
    with pytest.raises(ValueError, match="git_comit"):
        record(json.dumps(known | {"git_comit": "abc"}), 7)
    with pytest.raises(ValueError, match="nats_tls"):
        record(json.dumps(known | {"nats_tls": "yes"}), 7)
