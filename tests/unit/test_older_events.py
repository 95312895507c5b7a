"""What samples show of runs whose agents did not note it themselves."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fpaas.bundle.bundle import Bundle
from fpaas.bundle.loader import load_bundle
from fpaas.records.events import CUT_OFF, LEADER_CHANGED
from fpaas.report import page
from fpaas.spec import NS_PER_S
from fpaas.summary import summary
from tests.support.raw_run import HOST, RawRun


def analyse(
    tmp_path: Path, spoil: Callable[[Path], None], event_log: int | None = None
) -> tuple[Bundle, dict[str, Any]]:
    """Analyse a run of agents of a version; None: of one that does not say."""
    directory = RawRun().write(tmp_path / "run", sealed=False)
    run = json.loads((directory / "run.json").read_text())
    del run["event_log"]
    if event_log is not None:
        run["event_log"] = event_log
    (directory / "run.json").write_text(json.dumps(run))
    spoil(directory / "hosts" / HOST)
    bundle = load_bundle(directory)
    return bundle, summary.analyse(bundle)


def change_lines(path: Path, from_second: int, change: Callable[[dict[str, Any]], None]) -> None:
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    t0 = RawRun().spec.t0_unix_ns
    for line in lines:
        if line["unix_ns"] >= t0 + from_second * NS_PER_S:
            change(line)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def test_a_server_that_came_back_after_the_last_sample_was_restarted(tmp_path: Path) -> None:
    def spoil(host: Path) -> None:
        final = json.loads((host / "probe.final.json").read_text())
        final["server"]["server_id"] = "another"
        (host / "probe.final.json").write_text(json.dumps(final))

    _, content = analyse(tmp_path, spoil)
    assert [event["kind"] for event in content["events"]].count("nats_restarted") == 1


def test_each_kind_is_seen_once_and_marked(tmp_path: Path) -> None:
    def spoil(host: Path) -> None:
        change_lines(host / "shuffler.samples.jsonl", 10, lambda line: line.update(nats_connects=2))
        change_lines(host / "consumers-0.samples.jsonl", 11, lambda line: line.update(reconnects=3))
        change_lines(
            host / "probe.nats.jsonl", 20, lambda line: line["varz"].update(server_id="another")
        )
        final = json.loads((host / "probe.final.json").read_text())
        final["server"]["server_id"] = "another"
        (host / "probe.final.json").write_text(json.dumps(final))
        status = json.loads((host / "relay.status.json").read_text())
        status |= {"state": "failed", "unix_ns": RawRun().spec.t0_unix_ns + 38 * NS_PER_S}
        (host / "relay.status.json").write_text(json.dumps(status))
        probe = json.loads((host / "probe.json").read_text())
        probe["clock"]["stepped"] = True
        (host / "probe.json").write_text(json.dumps(probe))

    bundle, content = analyse(tmp_path, spoil)
    found = [(event["at_s"], event["short"]) for event in content["events"]]
    assert (10.0, "reconnect") in found
    assert (11.0, "reconnect") in found
    assert {"agent": "consumers", "workers": [0], "connections": 3} in [
        event["parameters"] for event in content["events"]
    ]
    assert sum(short == "NATS restarted" for _, short in found) == 1
    assert next(at_s for at_s, short in found if short == "NATS restarted") >= 20
    assert any(short == "relay failed" for _, short in found)
    html = page.render(bundle, content)
    assert '<h2 id="events">' in html
    assert "NATS restarted" in html


def test_a_change_of_leader(tmp_path: Path) -> None:
    def spoil(host: Path) -> None:
        change_lines(host / "probe.nats.jsonl", -5, lambda line: line.update(leader="n1"))
        change_lines(host / "probe.nats.jsonl", 20, lambda line: line.update(leader="n2"))

    _, content = analyse(tmp_path, spoil)
    assert [(event["kind"], event["parameters"]) for event in content["events"]] == [
        (LEADER_CHANGED, {"leader": "n2", "before": "n1"})
    ]


def test_who_was_cut_off_as_a_slow_consumer(tmp_path: Path) -> None:
    def spoil(host: Path) -> None:
        path = host / "probe.nats.jsonl"
        change_lines(path, 20, lambda line: line["varz"].update(slow_consumers=1))
        change_lines(path, 30, lambda line: line["varz"].update(slow_consumers=3))

    _, content = analyse(tmp_path, spoil)
    found = [event for event in content["events"] if event["kind"] == CUT_OFF]
    assert [event["parameters"] for event in found] == [{"connections": 1}, {"connections": 2}]


def test_of_agents_that_note_it_themselves_samples_are_not_asked(tmp_path: Path) -> None:
    def spoil(host: Path) -> None:
        change_lines(host / "shuffler.samples.jsonl", 10, lambda line: line.update(nats_connects=2))

    kinds = [
        [event["kind"] for event in analyse(tmp_path / str(version), spoil, version)[1]["events"]]
        for version in (1, 2)
    ]
    assert kinds == [["nats_reconnected"], []]
