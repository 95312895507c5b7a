"""Classes of consumers in a real run: each is owed what its filter says, counted by itself."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from fpaas.firehose.frames import Event, decode
from fpaas.firehose.synthetic import Synthetic
from fpaas.shuffler.subjects import Addresser
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
    "bench_drain_s": 2,
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
    try:
        lab.start()
        codes = lab.wait()
    finally:
        lab.end()
    assert set(codes.values()) == {0}, codes
    summary = lab.report()

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
    assert 0 < slow["delivered"] <= 4 * 5 * 3
    assert slow["expired_unread"] > slow["owed"] / 2
    # What a class cannot process is a term of its own, and nobody is given it again.
    posts = classes["posts"]["ledger"]
    assert posts["terminated"] > 0
    assert posts["delivered"] == posts["acked"] + posts["terminated"]
    assert ledger["terminated"] == posts["terminated"]
    assert ledger["unacked"] == ledger["redelivered"] == 0
    judged = {(goal["consumers"], goal["name"]) for goal in summary["goals"]}
    assert {(one["name"], "deliveries_lost_max") for one in MIX} <= judged
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
    try:
        lab.start()
        lab.sleep_until(3)
        nats_server.kill()
        nats_server.launch()
        lab.wait()
    finally:
        lab.end()
    summary = lab.report()
    ledger = summary["ledger"]
    assert ledger["unexplained"] == 0
    for term in DELIVERY_TERMS:
        assert sum(one["ledger"][term] for one in summary["classes"].values()) == ledger[term]
    assert summary["recovery"]["stream_recreated"] == 1
