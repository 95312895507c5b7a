"""Bundles of older versions stay readable, and their reports agree figure by figure."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fpaas.bundle.loader import load_bundle
from fpaas.summary.summary import analyse

BUNDLES = Path(__file__).parent.parent / "data" / "bundles"
#: Sections whose figures older reports had as they are had now; prose may be put better.
SECTIONS = (
    *("throughput", "latency_ms", "message_bytes", "resources", "jetstream", "ledger"),
    *("fetches", "connections", "plan", "storage", "order", "clock", "fidelity", "use"),
)


def figures(content: object, path: str = "") -> dict[str, object]:
    if isinstance(content, dict):
        found: dict[str, object] = {}
        for key, value in content.items():
            found |= figures(value, f"{path}/{key}")
        return found
    return {path: content}


@pytest.mark.parametrize("name", ["passing", "failing"])
def test_a_report_of_an_old_bundle_has_the_figures_that_it_had(name: str) -> None:
    before = json.loads((BUNDLES / name / "summary.json").read_text())
    bundle = load_bundle(BUNDLES / name)

    now = analyse(bundle)

    assert bundle.problems == []
    assert now["verdict"]["status"] == before["verdict"]["status"]
    # Now of what each consumer logged, and of all that the relay offered until the firehose's end;
    # then of samples: times differ by milliseconds.
    for rate in ("processed_per_s", "offered_per_s"):
        assert now["throughput"][rate] == pytest.approx(before["throughput"].pop(rate), rel=0.0002)
    for section in SECTIONS:
        old, new = figures(before[section]), figures(now[section])
        assert {path: new.get(path) for path in old} == old, section
    assert [(goal["name"], goal["status"], goal["measured"]) for goal in now["goals"]] == [
        (goal["name"], goal["status"], goal["measured"]) for goal in before["goals"]
    ]


def test_what_older_versions_did_not_measure_is_null() -> None:
    summary = analyse(load_bundle(BUNDLES / "passing"))

    assert summary["window"]["calls_by"] == "end"
    for leg in summary["latency_ms"].values():
        assert (leg["due_count"], leg["open_count"], leg["open_min_ms"]) == (None, None, None)
