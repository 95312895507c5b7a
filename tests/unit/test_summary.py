"""summary.json from a simulated run's raw files."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from fpaas.bundle.loader import load_bundle
from fpaas.records.events import PROCESS_ENDED, PROCESS_MISSING, EventLog
from fpaas.spec import SpecError
from fpaas.summary import summary
from fpaas.text import summary_text
from tests.support import verdict_codes
from tests.support.raw_run import HOST, RawRun, truth_of

CONTRACT: dict[str, Any] = {
    "schema": None,
    "run_id": None,
    "scenario": None,
    "delivery": None,
    "fetch": None,
    "verdict": ("status", "reasons", "reason_codes"),
    "throughput": ("offered_per_s", "published_per_s", "processed_per_s", "per_consumer_per_s"),
    "latency_ms": ("publish_ack", "publish_to_first_fetch", "end_to_end", "fetch_call"),
    "message_bytes": ("count", "mean", "p50", "p99", "max"),
    "resources": ("hosts", "processes"),
    "jetstream": ("messages", "bytes", "consumers", "consumer_lag", "slow_consumers"),
    "ledger": (
        *("offered", "not_read", "undecodable", "published", "duplicates_rejected"),
        *("publish_failed", "publish_unknown", "stored", "owed", "delivered", "expired_unread"),
        *("pending_at_end", "lost", "redelivered", "duplicate_deliveries", "unexplained"),
    ),
    "fetches": ("ok", "empty", "by_status", "client_timeout"),
    "connections": ("count", "errors", "reconnects", "slow_consumer_disconnects"),
    "fidelity": ("poll_lateness_ms", "start_spread_ms", "loop_lag_ms"),
    "plan": (),
    "clock": (HOST,),
}
LEG = (
    *("count", "min", "p50", "p90", "p99", "p999", "max"),
    *("negative_count", "clock_error_ms", "not_resolvable"),
    *("assigned_by", "due_count", "open_count", "open_min_ms", "at_least"),
    *("out_of_range_count", "missing_count", "missing_min_ms"),
)


def check_contract(content: dict[str, Any]) -> None:
    for name, members in CONTRACT.items():
        assert name in content
        for member in members or ():
            assert member in content[name], f"{name}.{member}"
    # JSON without NaN or infinity.
    json.dumps(content, allow_nan=False)


def write(directory: Path, **options: Any) -> RawRun:  # noqa: ANN401
    run = RawRun(**options)
    run.write(directory / "run")
    return run


def analyse(directory: Path, warmup_s: float | None = None) -> dict[str, Any]:
    return summary.analyse(load_bundle(directory / "run"), warmup_s)


@pytest.mark.parametrize("delivery", ["fanout", "shared", "partitioned"])
def test_a_whole_run(delivery: str, tmp_path: Path) -> None:
    run = write(tmp_path, values={"bench_delivery": delivery}, workers=2)
    content = analyse(tmp_path)
    check_contract(content)
    assert content["verdict"]["status"] == "pass"
    assert content["verdict"]["reasons"] == []
    codes = ["unread_as_planned"] if delivery == "fanout" else []
    assert verdict_codes.of_summary(content) == codes
    window = {"from_s": 5.0, "until_s": 35.0, "calls_from_s": 5.0, "calls_until_s": 35.0}
    assert content["window"] == window | {"calls_by": "end"}
    for name, figure in truth_of(run).items():
        assert content["ledger"][name] == figure, name
    throughput = content["throughput"]
    assert throughput["offered_per_s"] == pytest.approx(100, rel=0.01)
    assert throughput["published_per_s"] == pytest.approx(100, rel=0.01)
    # Each consumer's deliveries in the window add up to all of them.
    assert throughput["processed_per_s"] == pytest.approx(100, rel=0.15)
    each = throughput["per_consumer_per_s"]
    assert 0 < each["min"] <= each["p50"] <= each["p99"] <= each["max"] <= 12
    for name in CONTRACT["latency_ms"]:
        leg = content["latency_ms"][name]
        assert set(leg) == set(LEG)
        assert leg["count"] > 0
        assert leg["min"] <= leg["p50"] <= leg["p90"] <= leg["p99"] <= leg["p999"] <= leg["max"]
    assert content["latency_ms"]["publish_ack"]["count"] == 3000
    assert content["latency_ms"]["publish_ack"]["p50"] == pytest.approx(1.0, rel=0.1)
    assert content["message_bytes"]["count"] == 3500
    assert content["message_bytes"]["max"] == 7400
    host = content["resources"]["hosts"][HOST]
    assert host["cpu_pct"] == pytest.approx(40, abs=2)
    assert host["net_rx_bytes"] == 30_000_000
    processes = content["resources"]["processes"]
    assert processes["nats"]["rss_mb"] == {"mean": 90.0, "max": 90.0}
    lag = {"mean": 950, "p50": 900, "p99": 1100, "max": 1200}
    assert content["jetstream"]["consumer_lag"] == lag
    assert content["jetstream"]["messages"] == 1500
    assert content["jetstream"]["slow_consumers"] == 0
    assert content["fidelity"]["start_spread_ms"] == pytest.approx(3.0, abs=0.02)
    assert content["connections"]["count"] == 2


def test_clock_errors_are_of_the_clocks_that_were_compared(tmp_path: Path) -> None:
    write(tmp_path)
    latency = analyse(tmp_path)["latency_ms"]
    # One host, one clock; the NATS server's timestamp is compared: its bound.
    assert latency["publish_ack"]["clock_error_ms"] == 0.0
    assert latency["end_to_end"]["clock_error_ms"] == 0.0
    assert latency["publish_to_fetch"]["clock_error_ms"] == 0.08
    assert latency["publish_to_first_fetch"]["clock_error_ms"] == 0.08
    (tmp_path / "run" / "hosts" / HOST / "probe.json").unlink()
    latency = analyse(tmp_path)["latency_ms"]
    assert latency["publish_ack"]["clock_error_ms"] == 0.0
    assert latency["publish_to_fetch"]["clock_error_ms"] is None


def test_first_fetch_is_the_earliest_over_all_workers(tmp_path: Path) -> None:
    write(tmp_path / "one", workers=1)
    write(tmp_path / "three", workers=3)
    legs = [analyse(tmp_path / n)["latency_ms"]["publish_to_first_fetch"] for n in ("one", "three")]
    assert legs[0]["count"] == legs[1]["count"]
    assert legs[0]["p50"] == legs[1]["p50"]


def test_first_fetches_of_the_last_second_count(tmp_path: Path) -> None:
    polls = {"bench_consumers": 20, "bench_poll_interval_s": 0.1, "bench_batch_size": 200}
    write(tmp_path, values=polls | {"bench_measure_s": 10, "bench_firehose_rate_per_s": 50})
    # Each of 10 s x 50/s was fetched within milliseconds, and nothing is stored while draining.
    assert analyse(tmp_path)["latency_ms"]["publish_to_first_fetch"]["count"] == 500


def test_warm_up_is_trimmed_again(tmp_path: Path) -> None:
    write(tmp_path)
    content = analyse(tmp_path, warmup_s=20)
    assert (content["window"]["from_s"], content["window"]["until_s"]) == (20.0, 35.0)
    assert (content["window"]["calls_from_s"], content["window"]["calls_until_s"]) == (20.0, 35.0)
    assert content["latency_ms"]["publish_ack"]["count"] == 1500
    # The ledger is of the whole run.
    assert content["ledger"]["offered"] == 3500


@pytest.mark.parametrize("warmup_s", [-1, 35, 1000, math.inf, math.nan])
def test_a_warm_up_that_leaves_nothing_is_refused(tmp_path: Path, warmup_s: float) -> None:
    write(tmp_path)
    with pytest.raises(SpecError, match="less than 35 s"):
        analyse(tmp_path, warmup_s=warmup_s)


def paths(content: Any, prefix: str = "") -> dict[str, Any]:  # noqa: ANN401
    if not isinstance(content, dict):
        return {prefix: content}
    return {
        path: value
        for name, one in content.items()
        for path, value in paths(one, f"{prefix}.{name}".lstrip(".")).items()
    }


def test_what_was_not_measured_is_null(tmp_path: Path) -> None:
    write(tmp_path)
    for path in (tmp_path / "run" / "hosts" / HOST).iterdir():
        path.unlink()
    content = analyse(tmp_path)
    check_contract(content)
    assert content["verdict"]["status"] == "invalid"
    measured = ("throughput", "latency_ms", "message_bytes", "jetstream", "ledger", "fetches")
    for section in (*measured, "connections", "fidelity", "resources"):
        found = paths(content[section])
        # What assigns a leg to the window is no figure.
        figures = {value for path, value in found.items() if not path.endswith("assigned_by")}
        assert figures == {None}, section
    # Still a screenful.
    assert "INVALID" in next(summary_text.lines(content, "title"))
    assert any("throughput  offered -/s" in line for line in summary_text.lines(content, "title"))


NAMES = sorted(
    path
    for path in (
        *("relay.json", "relay.hlog", "relay.samples.jsonl", "shuffler.json", "shuffler.hlog"),
        *("shuffler.samples.jsonl", "consumers-0.json", "consumers-0.hlog", "probe.json"),
        *("consumers-0.samples.jsonl", "consumers-0.deliveries.cbor.gz", "probe.final.json"),
        *("consumers-0.first_fetch.bin.gz", "probe.host.jsonl", "probe.processes.jsonl"),
        *("probe.nats.jsonl", "probe.clock.jsonl"),
    )
)


@pytest.mark.parametrize("name", NAMES)
def test_a_run_without_one_file_is_reported_without_its_figures(name: str, tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "run" / "hosts" / HOST / name).unlink()
    content = analyse(tmp_path)
    check_contract(content)
    assert content["verdict"]["status"] == "invalid"
    missing = [one for one in verdict_codes.entries(content) if one["code"] == "file_missing"]
    assert [(one["host"], one["parameters"]) for one in missing] == [(HOST, {"file": name})]
    assert list(summary_text.lines(content, "title"))


def test_a_damaged_histogram_is_said(tmp_path: Path) -> None:
    write(tmp_path)
    path = tmp_path / "run" / "hosts" / HOST / "shuffler.hlog"
    path.write_text(path.read_text().replace("HIST", "HISX"))
    content = analyse(tmp_path)
    assert content["latency_ms"]["publish_ack"]["count"] is None
    unreadable = [one for one in verdict_codes.entries(content) if one["code"] == "file_unreadable"]
    assert [one["parameters"]["file"] for one in unreadable] == ["shuffler.hlog"]


def test_a_server_restart_is_seen(tmp_path: Path) -> None:
    write(tmp_path)
    path = tmp_path / "run" / "hosts" / HOST / "probe.final.json"
    path.write_text(path.read_text().replace("NAAA", "NBBB"))
    summary = analyse(tmp_path)
    assert "nats_restarted" not in verdict_codes.of_summary(summary)
    # Everything is accounted for all the same.
    notes = verdict_codes.entries(summary, "note")
    # No fault was to do that, so it costs a goal, and the errors that it caused stand.
    status = {one["name"]: one["status"] for one in summary["goals"]}
    assert status["errors_max"] != "ruled out"
    assert status["failures_max"] == "missed"
    (first,) = [one for one in notes if one["code"] == "nats_restarted_recovered"]
    assert first["host"] == HOST
    assert len(first["parameters"]["lives"]) == 2


def test_an_end_of_prometheus_is_noted(tmp_path: Path) -> None:
    t0_unix_ns = write(tmp_path).spec.t0_unix_ns
    path = tmp_path / "run" / "hosts" / HOST / "probe.events.jsonl"
    with EventLog(path) as log:
        for process, at_s in (("prometheus", 5), ("prometheus", 7), ("prometheus", 1e4), ("x", 5)):
            at_ns = t0_unix_ns + round(at_s * 1e9)
            log.begin(PROCESS_ENDED, at_ns, {"process": process, "pid": 1}, end_unix_ns=at_ns)
    notes = verdict_codes.entries(analyse(tmp_path), "note")
    (noted,) = [one for one in notes if one["code"] == "watching_ended"]
    assert noted["host"] == HOST
    assert noted["parameters"] == {"process": "prometheus", "at_s": 5.0, "times": 2}


def test_a_prometheus_that_never_ran_is_noted(tmp_path: Path) -> None:
    t0_unix_ns = write(tmp_path).spec.t0_unix_ns
    path = tmp_path / "run" / "hosts" / HOST / "probe.events.jsonl"
    with EventLog(path) as log:
        log.begin(PROCESS_ENDED, t0_unix_ns + 1, {"process": "grafana", "pid": 1})
        for process in ("prometheus", "grafana", "nats"):
            log.begin(PROCESS_MISSING, t0_unix_ns + 2, {"process": process})
    content = analyse(tmp_path)
    notes = verdict_codes.entries(content, "note")
    assert [
        (one["code"], one["host"], one["parameters"]["process"])
        for one in notes
        if one["code"].startswith("watching")
    ] == [("watching_ended", HOST, "grafana"), ("watching_missing", HOST, "prometheus")]
    assert "prometheus was not running when the run began" in "\n".join(
        summary_text.lines(content, "title")
    )


def test_what_ends_on_a_host_that_only_watches_is_noted(tmp_path: Path) -> None:
    t0_unix_ns = write(tmp_path).spec.t0_unix_ns
    run = tmp_path / "run"
    content = json.loads((run / "run.json").read_text())
    content["hosts"]["monitoring"] = ["watcher"]
    (run / "run.json").write_text(json.dumps(content))
    (run / "hosts" / "watcher").mkdir()
    with EventLog(run / "hosts" / "watcher" / "probe.events.jsonl") as log:
        log.begin(PROCESS_ENDED, t0_unix_ns + 1, {"process": "prometheus", "pid": 1})
        log.begin(PROCESS_MISSING, t0_unix_ns + 1, {"process": "grafana"})
    notes = verdict_codes.entries(analyse(tmp_path), "note")
    assert [(one["code"], one["host"]) for one in notes if one["code"].startswith("watching")] == [
        ("watching_ended", "watcher"),
        ("watching_missing", "watcher"),
    ]


def test_the_screenful_is_one(tmp_path: Path) -> None:
    write(tmp_path)
    shown = list(summary_text.lines(analyse(tmp_path), "Scenario 1"))
    # Some of them say whom ages leave out, and that this older run misses its open calls.
    assert len(shown) <= 50
    assert max(len(line) for line in shown) <= summary_text.WIDTH == 80
    text = "\n".join(shown)
    assert "PASS        Scenario 1" in text
    assert "unexplained 0" in text
    assert "owed 35,000 = delivered" in text


def test_no_figure_is_too_large_for_the_screen(tmp_path: Path) -> None:
    write(tmp_path)
    content = analyse(tmp_path)
    for leg in content["latency_ms"].values():
        bounds = dict.fromkeys(("p50", "p90", "p99", "p999", "max"), 3_599_999.9)
        leg.update(bounds, count=10**9, negative_count=7, clock_error_ms=2.5)
        leg.update(at_least=dict.fromkeys(bounds), not_resolvable=[])
    content["ledger"] |= dict.fromkeys(
        (name for name, value in content["ledger"].items() if isinstance(value, int)), 10**11
    )
    content["resources"]["hosts"] = {
        "a-host-with-a-name.of.some-length.example.com": content["resources"]["hosts"].popitem()[1]
    }
    shown = list(summary_text.lines(content, "A scenario: with a goal that takes a line " * 2))
    assert max(len(line) for line in shown) <= summary_text.WIDTH
    # What is left out is the least of what a goal may be about.
    (heads,) = (line.split() for line in shown if line.startswith("latency, ms"))
    assert heads[2:] == ["p50", "p99", "max", "count"]
    assert "± 2.50 ms publish to ack has 7 negative samples" in " ".join(" ".join(shown).split())


def test_a_server_that_fell_silent_is_named_before_what_follows_from_it(tmp_path: Path) -> None:
    run = write(tmp_path)
    host = tmp_path / "run" / "hosts" / HOST
    (host / "probe.final.json").unlink()
    silent = {"unix_ns": run.spec.t0_unix_ns + 20_000_000_000, "error": "refused", "took_ms": 1.0}
    samples = (host / "probe.nats.jsonl").read_text().splitlines()
    kept = [one for one in samples if json.loads(one)["unix_ns"] < silent["unix_ns"]]
    (host / "probe.nats.jsonl").write_text("\n".join([*kept, json.dumps(silent)]) + "\n")
    content = analyse(tmp_path)
    first, *others = verdict_codes.entries(content, "invalid")
    assert (first["code"], first["parameters"]["since_s"]) == ("nats_died", 20.0)
    assert first["parameters"]["is_running"] is True
    assert "it was frozen or stuck" in content["verdict"]["reasons"][0]
    processes = host / "probe.processes.jsonl"
    kept = [one for one in processes.read_text().splitlines() if '"nats"' not in one]
    processes.write_text("\n".join(kept) + "\n")
    gone = verdict_codes.entries(analyse(tmp_path), "invalid")[0]
    assert gone["parameters"]["is_running"] is False
    # What the probe could not ask any more is a consequence.
    assert others[-1]["parameters"] == {"file": "probe.final.json"}
    assert content["limited_by"]["what"] == "breakdown"
    assert content["limited_by"]["parameters"]["reason"]["code"] == "nats_died"


def test_what_was_delivered_of_a_stream_that_was_lost_was_in_it(tmp_path: Path) -> None:
    """NATS died with acks of publishes under way whose messages consumers had received."""
    run = write(tmp_path, values={"bench_poll_interval_s": 0.2})
    host = tmp_path / "run" / "hosts" / HOST
    (host / "probe.final.json").unlink()
    lines = (host / "probe.nats.jsonl").read_text().splitlines()
    silent = {"unix_ns": run.spec.settled_unix_ns, "error": "refused", "took_ms": 1.0}
    # Seen last ten seconds before the relay's end, and acknowledged until then.
    seen = [one for one in lines if json.loads(one)["stream"]["last_seq"] <= 2500]
    (host / "probe.nats.jsonl").write_text("\n".join([*seen, json.dumps(silent)]) + "\n")
    account = json.loads((host / "shuffler.json").read_text())
    account["stream_seqs"] = [[run.first_seq, 1, 2500]]
    (host / "shuffler.json").write_text(json.dumps(account))
    terms = analyse(tmp_path)["ledger"]
    named = ("delivered", "expired_unread", "pending_at_end", "lost")
    assert terms["owed"] == sum(terms[name] for name in named)
    assert terms["stored"] == 3500
