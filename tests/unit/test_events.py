from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fpaas.report import page
from fpaas.results import summary
from fpaas.results.bundle import Bundle
from fpaas.spec import NS_PER_S
from tests.raw_run import HOST, RawRun


def analyse(tmp_path: Path, spoil: Callable[[Path], None]) -> tuple[Bundle, dict[str, Any]]:
    directory = RawRun().write(tmp_path / "run", sealed=False)
    spoil(directory / "hosts" / HOST)
    bundle = Bundle.load(directory)
    return bundle, summary.analyse(bundle)


def change_lines(path: Path, from_second: int, change: Callable[[dict[str, Any]], None]) -> None:
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    t0 = RawRun().spec.t0_unix_ns
    for line in lines:
        if line["unix_ns"] >= t0 + from_second * NS_PER_S:
            change(line)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def test_a_quiet_run_has_none(tmp_path: Path) -> None:
    _, content = analyse(tmp_path, lambda _: None)
    assert content["events"] == []


def test_each_kind_is_seen_once_and_marked(tmp_path: Path) -> None:
    def spoil(host: Path) -> None:
        change_lines(host / "shuffler.samples.jsonl", 10, lambda line: line.update(nats_connects=2))
        change_lines(host / "consumers-0.samples.jsonl", 11, lambda line: line.update(reconnects=3))
        change_lines(
            host / "probe.nats.jsonl", 20, lambda line: line["varz"].update(server_id="another")
        )
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
    assert any(
        "worker 0 reconnected, 3 connections" in event["sentence"] for event in content["events"]
    )
    assert sum(short == "NATS restarted" for _, short in found) == 1
    assert next(at_s for at_s, short in found if short == "NATS restarted") >= 20
    assert any(short == "relay failed" for _, short in found)
    html = page.render(bundle, content)
    assert "<h2>Events</h2>" in html
    assert "NATS restarted" in html


def test_a_server_that_fell_silent(tmp_path: Path) -> None:
    def silence(line: dict[str, Any]) -> None:
        for name in ("varz", "stream", "lag"):
            line.pop(name)

    _, content = analyse(
        tmp_path, lambda host: change_lines(host / "probe.nats.jsonl", 15, silence)
    )
    assert [event["short"] for event in content["events"]] == ["NATS silent"]


def test_a_change_of_leader(tmp_path: Path) -> None:
    def spoil(host: Path) -> None:
        change_lines(host / "probe.nats.jsonl", -5, lambda line: line.update(leader="n1"))
        change_lines(host / "probe.nats.jsonl", 20, lambda line: line.update(leader="n2"))

    _, content = analyse(tmp_path, spoil)
    assert [event["sentence"] for event in content["events"]] == [
        "n2 leads the stream in place of n1"
    ]
