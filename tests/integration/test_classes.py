"""Classes of consumers in a real run: each is owed what its filter says, counted by itself."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fpaas.firehose.frames import Event, decode
from fpaas.firehose.synthetic import Synthetic
from fpaas.shuffler.subjects import Addresser
from fpaas.verdict.goals import DEFAULT_GOALS
from tests.support.nats_servers import NatsServer
from tests.support.processes_lab import ProcessesLab

pytestmark = pytest.mark.integration

POSTS = "app.bsky.feed.post"
MIX: list[dict[str, Any]] = [
    # Whose filters overlap; and two that differ in their polls only.
    {"name": "feeds", "count": 8, "fetch": "drain", "collections": ["app.bsky.feed.*", POSTS]},
    {
        "name": "posts",
        "count": 4,
        "poll_interval_s": 0.5,
        "collections": [POSTS, "_mixed"],
        "terminate_pct": 10,
    },
    {"name": "part", "count": 4, "fetch": "drain", "partitions": [0, 7, 63]},
    {"name": "slow", "count": 4, "poll_interval_s": 3, "poll_jitter_pct": 0, "batch_size": 5},
    {"name": "accounts", "count": 2, "fetch": "drain", "kinds": ["account", "identity"]},
]
VARIABLES: dict[str, Any] = {
    "bench_mix": MIX,
    "bench_consumers": sum(one["count"] for one in MIX),
    "bench_poll_interval_s": 1,
    "bench_batch_size": 20,
    "bench_workers": 2,
    "bench_firehose_rate_per_s": 150,
    "bench_warmup_s": 0,
    "bench_measure_s": 6,
    "bench_drain_s": 5,
}
DELIVERY_TERMS = ("owed", "delivered", "expired_unread", "pending_at_end", "lost", "redelivered")


def wanted(name: str, kind: str, partition: int, collection: str) -> bool:
    """Say again, in other words, what each class is to receive."""
    if name == "feeds":
        return kind == "commit" and collection.startswith("app.bsky.feed.")
    if name == "posts":
        return kind == "commit" and collection in (POSTS, "_mixed")
    if name == "part":
        return partition in (0, 7, 63)
    return name == "slow" or kind in ("account", "identity")


def owed_of_frames(frames: int, seed: int) -> Counter[str]:
    """Count what each consumer of a class is owed of the first frames of the firehose."""
    synthetic, addresser = Synthetic(seed), Addresser()
    owed: Counter[str] = Counter()
    for index in range(frames):
        event = decode(synthetic.frame(index))
        assert isinstance(event, Event)
        subject = addresser.address(event).subject.decode()
        kind, partition, collection = subject.split(".", 4)[2:]
        owed.update(
            one["name"] for one in MIX if wanted(one["name"], kind, int(partition), collection)
        )
    return owed


def test_each_class_is_owed_what_its_filter_says(tmp_path: Path, nats_server: NatsServer) -> None:
    lab = ProcessesLab(tmp_path, {"server": nats_server}, **VARIABLES, bench_stream_max_age_s=3)
    limits = {f"{name}.end_to_end_max_ms_max": 60_000.0 for name in ("feeds", "part")}
    lab.spec = replace(
        lab.spec,
        scenario=replace(
            lab.spec.scenario, goals={**DEFAULT_GOALS, **limits, "slow.processed_per_s_min": 1000.0}
        ),
    )
    summary = lab.play_undisturbed()

    ledger, classes = summary["ledger"], summary["classes"]
    assert ledger["unexplained"] == 0
    assert ledger["stored"] == 900
    owed = owed_of_frames(ledger["stored"], lab.spec.seed)
    assert {name: one["ledger"]["owed"] for name, one in classes.items()} == {
        one["name"]: owed[one["name"]] * one["count"] for one in MIX
    }
    for term in DELIVERY_TERMS:
        assert sum(one["ledger"][term] for one in classes.values()) == ledger[term]
    assert all(one["polls"] for one in classes.values())
    pulls = [one["fetches"]["pulls"] for one in classes.values()]
    assert sum(pulls) == summary["fetches"]["pulls"]
    # Who asks for little gets little, whatever the others get; three seconds later it is gone.
    slow = classes["slow"]["ledger"]
    assert 0 < slow["delivered"] <= 4 * 5 * 4
    assert slow["expired_unread"] > slow["owed"] / 2
    # What a class cannot process is a term of its own, and nobody is given it again.
    posts = classes["posts"]["ledger"]
    assert posts["terminated"] > 0
    assert posts["delivered"] == posts["acked"] + posts["terminated"]
    assert ledger["terminated"] == posts["terminated"]
    assert ledger["unacked"] == ledger["redelivered"] == 0
    # Latencies of all are those of the classes together.
    for leg in ("publish_to_fetch", "end_to_end", "fetch_call", "fetch_call_intended"):
        own = [one["latency_ms"][leg] for one in classes.values()]
        for figure in ("count", "due_count", "open_count", "missing_count"):
            whole = summary["latency_ms"][leg][figure]
            assert whole is None or whole == sum(one[figure] for one in own), (leg, figure)
        assert max(one["max"] for one in own) == summary["latency_ms"][leg]["max"]
    judged = {(goal["consumers"], goal["name"]): goal for goal in summary["goals"]}
    assert {(one["name"], "deliveries_lost_max") for one in MIX} <= judged.keys()
    # A class is judged by its own figures; one that is missed names it.
    for name in ("feeds", "part"):
        goal = judged[name, f"{name}.end_to_end_max_ms_max"]
        assert goal["measured"] == classes[name]["latency_ms"]["end_to_end"]["max"]
        assert goal["status"] == "met"
    missed = {one["parameters"].get("goal") for one in summary["verdict"]["reason_codes"]}
    assert "slow.processed_per_s_min" in missed
    page = (lab.bundle / "report.html").read_text(encoding="utf-8")
    assert "Classes of consumers" in page

    # What the shuffler noted is what the ledger goes by: without it, nobody knows who was owed.
    (lab.bundle / "hosts" / "load" / "shuffler.classes.bin").unlink()
    blind = lab.report_again()
    assert blind["verdict"]["status"] == "invalid"
    assert blind["ledger"]["owed"] is None
    assert json.loads((lab.bundle / "summary.json").read_text())["ledger"]["unexplained"] is None


@pytest.mark.matrix
def test_a_stream_that_was_lost_is_accounted_for_by_class(
    tmp_path: Path, nats_server: NatsServer
) -> None:
    lab = ProcessesLab(tmp_path, {"server": nats_server}, **VARIABLES)
    summary = lab.play_losing_nats(nats_server, 3)
    ledger = summary["ledger"]
    assert ledger["unexplained"] == 0
    for term in DELIVERY_TERMS:
        assert sum(one["ledger"][term] for one in summary["classes"].values()) == ledger[term]
    assert summary["recovery"]["stream_recreated"] == 1


FAILING: list[dict[str, Any]] = [
    {"name": "naks", "count": 3, "nak_pct": 20, "in_progress_pct": 10, "fetch": "drain"},
    {"name": "delays", "count": 2, "nak_pct": 20, "nak_delay_s": 1, "fail_times": 2},
    {"name": "forgets", "count": 2, "no_ack_pct": 10, "fetch": "drain", "collections": [POSTS]},
    {
        "name": "gives_up",
        "count": 2,
        "nak_pct": 10,
        "no_ack_pct": 5,
        "fail_times": 3,
        "max_deliver": 3,
        "terminate_pct": 5,
        "fetch": "drain",
    },
    # Whose filter overlaps with that of the others; no failed message comes again.
    {
        "name": "once",
        "count": 2,
        "no_ack_pct": 20,
        "max_deliver": 1,
        "fetch": "drain",
        "collections": ["app.bsky.feed.*"],
    },
    {"name": "plain", "count": 2},
]


@pytest.mark.matrix
@pytest.mark.parametrize("max_age_s", [300, 4])
def test_what_fails_is_delivered_again_and_accounted_for(
    tmp_path: Path, nats_server: NatsServer, max_age_s: int
) -> None:
    variables = {
        **VARIABLES,
        "bench_mix": FAILING,
        "bench_consumers": sum(one["count"] for one in FAILING),
        "bench_batch_size": 100,
        "bench_ack_wait_s": 1,
        "bench_measure_s": 8,
        "bench_stream_max_age_s": max_age_s,
    }
    lab = ProcessesLab(tmp_path, {"server": nats_server}, **variables)
    summary = lab.play_undisturbed()
    ledger = {name: one["ledger"] for name, one in summary["classes"].items()}
    assert summary["ledger"]["unexplained"] == 0, summary["verdict"]
    assert summary["ledger"]["redelivered"] > 0
    for one in ledger.values():
        assert one["unacked"] == one["lost"] == 0
        outcomes = ("acked", "terminated", "max_deliver_reached", "failed")
        assert one["delivered"] == sum(one[name] for name in outcomes)
    # Once it was delivered again, it was acked; who gives up has what it gave up.
    assert ledger["naks"]["redelivered"] > 0.15 * ledger["naks"]["delivered"]
    assert ledger["naks"]["max_deliver_reached"] == 0
    assert ledger["forgets"]["redelivered"] > 0
    assert ledger["gives_up"]["max_deliver_reached"] > 0
    assert ledger["gives_up"]["terminated"] > 0
    given_up, delivered = ledger["once"]["max_deliver_reached"], ledger["once"]["delivered"]
    assert 0.15 * delivered < given_up < 0.25 * delivered
    assert ledger["once"]["redelivered"] == 0
    assert ledger["plain"]["redelivered"] == ledger["plain"]["failed"] == 0
    assert "acks_lost" not in {one["code"] for one in summary["verdict"]["reason_codes"]}


@pytest.mark.matrix
def test_who_takes_time_or_is_away_is_accounted_for(
    tmp_path: Path, nats_server: NatsServer
) -> None:
    own: list[dict[str, Any]] = [
        # 150 messages/s are owed.
        {"name": "keeps_up", "count": 4, "fetch": "drain", "processing_ms": 2},
        {"name": "varies", "count": 4, "processing_ms": 3, "processing_p99_ms": 20, "nak_pct": 5},
        # Each batch takes 2 s, and its messages are delivered again after one.
        {"name": "too_slow", "count": 2, "processing_ms": 100},
        {"name": "in_time", "count": 2, "processing_ms": 100, "in_progress_pct": 100},
        {"name": "away", "count": 4, "poll_interval_s": 0.5, "away_s": 2, "away_every_s": 4},
    ]
    variables = {
        **VARIABLES,
        "bench_mix": own,
        "bench_consumers": sum(one["count"] for one in own),
        "bench_ack_wait_s": 1,
        "bench_measure_s": 8,
    }
    lab = ProcessesLab(tmp_path, {"server": nats_server}, **variables)
    summary = lab.play_undisturbed()
    ledger = {name: one["ledger"] for name, one in summary["classes"].items()}
    assert summary["ledger"]["unexplained"] == 0, summary["verdict"]
    for one in ledger.values():
        assert one["unacked"] == one["lost"] == 0
        outcomes = ("acked", "terminated", "max_deliver_reached", "failed", "in_process")
        assert one["delivered"] == sum(one[name] for name in outcomes)
    assert ledger["keeps_up"]["pending_at_end"] < 0.1 * ledger["keeps_up"]["owed"]
    assert ledger["too_slow"]["redelivered"] > 0
    assert ledger["too_slow"]["in_process"] > 0
    assert ledger["in_time"]["redelivered"] == 0
    # It can process ten a second, whatever it is owed.
    assert ledger["in_time"]["acked"] <= 2 * 10 * 12
    # By what is due, nobody was late of himself; and none of it is due while away.
    away = summary["classes"]["away"]
    assert away["polls"] <= 4 * (6 / 0.5 + 2)
    assert away["fetches"]["pulls"] > away["polls"] + 8
    assert summary["fidelity"]["poll_lateness_own_ms"]["p99"] is not None
    due = summary["latency_ms"]["fetch_call_intended"]
    assert due["due_count"] is not None
