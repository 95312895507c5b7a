"""Classes that join a run late: each is served from where it starts, and owed no more than that."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support import verdict_codes
from tests.support.nats_servers import NatsCluster, NatsServer
from tests.support.processes_lab import ProcessesLab

pytestmark = pytest.mark.integration

RATE_PER_S = 150
MIX: list[dict[str, Any]] = [
    {"name": "early", "count": 2},
    {"name": "all", "count": 2, "joins_at_s": 4},
    {"name": "new", "count": 3, "joins_at_s": 4, "start": "new"},
    {"name": "last", "count": 2, "joins_at_s": 4, "start": {"last_minutes": 0.03}},
    {
        "name": "posts",
        "count": 2,
        "joins_at_s": 3.5,
        "start": "new",
        "collections": ["app.bsky.feed.post"],
    },
]
VARIABLES: dict[str, Any] = {
    "bench_mix": MIX,
    "bench_consumers": sum(one["count"] for one in MIX),
    "bench_poll_interval_s": 0.5,
    "bench_batch_size": 200,
    "bench_fetch": "drain",
    "bench_workers": 2,
    "bench_firehose_rate_per_s": RATE_PER_S,
    "bench_stream_max_age_s": 3,
    "bench_warmup_s": 0,
    "bench_measure_s": 6,
    "bench_drain_s": 5,
}
DELIVERY_TERMS = ("owed", "delivered", "expired_unread", "pending_at_end", "lost", "redelivered")


def starts_of(lab: ProcessesLab, stream: int = -1) -> dict[str, list[int]]:
    """Return where the durables of each class begin in a stream, as workers noted it."""
    found: dict[str, list[int]] = {one["name"]: [] for one in MIX}
    indices = {lab.spec.durable_of(i): i for i in range(lab.spec.consumers.count)}
    for path in lab.bundle.glob("hosts/*/consumers-*.json"):
        for durable, first in json.loads(path.read_text())["starts"][stream].items():
            found[MIX[lab.spec.class_of(indices[durable])]["name"]].append(first)
    return found


def test_who_joins_late_is_owed_what_is_served_from_its_start_on(
    tmp_path: Path, nats_server: NatsServer
) -> None:
    lab = ProcessesLab(tmp_path, {"server": nats_server}, **VARIABLES)
    summary = lab.play_undisturbed()

    ledger, classes = summary["ledger"], summary["classes"]
    assert ledger["unexplained"] == 0, summary["verdict"]
    is_busy = verdict_codes.is_busy(summary)
    starts = starts_of(lab)
    assert {name: len(firsts) for name, firsts in starts.items()} == {
        one["name"]: one["count"] if one.get("joins_at_s") else 0 for one in MIX
    }
    stored = ledger["stored"]
    for name in ("all", "new", "last"):
        owed = sum(stored + 1 - first for first in starts[name])
        assert classes[name]["ledger"]["owed"] == owed, name
        # Of what the stream has, the oldest expires before the first poll.
        own = classes[name]["ledger"]
        expired = own["expired_unread"] if name == "all" or is_busy else 0
        pending = own["pending_at_end"] if is_busy else 0
        assert own["delivered"] == owed - expired - pending, name
    assert classes["early"]["ledger"]["owed"] == 2 * stored
    # By when each was stored: what had expired is owed to nobody, and what is new to all.
    assert 1 < min(starts["all"]) < min(starts["last"]) < min(starts["new"])
    assert min(starts["last"]) > RATE_PER_S * 2
    assert min(starts["new"]) > RATE_PER_S * 3
    assert 0 < classes["posts"]["ledger"]["owed"] < 2 * (stored - min(starts["posts"])) / 2
    for term in DELIVERY_TERMS:
        assert sum(one["ledger"][term] for one in classes.values()) == ledger[term]
    # No poll was due before, so none was missed, and nothing was answered by an error.
    assert classes["new"]["polls"] <= 3 * (7 / 0.5 + 2)
    assert summary["latency_ms"]["fetch_call_intended"]["open_count"] == 0 or is_busy
    assert set(summary["fetches"]["by_status"]) <= {"404", "408"}


@pytest.mark.matrix
def test_a_stream_that_was_lost_is_accounted_for_by_late_classes(
    tmp_path: Path, nats_server: NatsServer
) -> None:
    # Those of four seconds have joined when it is lost, and one has not.
    mix = [*MIX, {"name": "later", "count": 2, "joins_at_s": 7, "start": {"last_minutes": 0.02}}]
    variables = VARIABLES | {"bench_mix": mix, "bench_consumers": 13, "bench_measure_s": 9}
    lab = ProcessesLab(tmp_path, {"server": nats_server}, **variables)
    summary = lab.play_losing_nats(nats_server, 5)
    assert summary["ledger"]["unexplained"] == 0, summary["verdict"]
    assert summary["recovery"]["stream_recreated"] == 1
    for term in DELIVERY_TERMS:
        own = [one["ledger"][term] for one in summary["classes"].values()]
        assert sum(own) == summary["ledger"][term]
    assert 0 < summary["classes"]["later"]["ledger"]["owed"] < 2 * 9 * RATE_PER_S


@pytest.mark.matrix
def test_a_worker_that_is_killed_leaves_its_late_classes_to_another(
    tmp_path: Path, nats_server: NatsServer
) -> None:
    fault = {"do": "kill", "on": "worker:0", "at_s": 6, "for_s": 0.5}
    variables = VARIABLES | {"bench_measure_s": 9, "bench_faults": [fault]}
    lab = ProcessesLab(tmp_path, {"server": nats_server}, **variables)
    summary = lab.play_undisturbed()
    assert summary["ledger"]["unexplained"] == 0, summary["verdict"]
    assert summary["faults"][0]["undone"]
    assert summary["classes"]["new"]["ledger"]["delivered"] > 0


@pytest.mark.matrix
def test_in_a_cluster_the_leader_says_where_late_classes_begin(
    tmp_path: Path, nats_cluster: NatsCluster
) -> None:
    variables = VARIABLES | {"bench_stream_replicas": 3, "bench_firehose_rate_per_s": 50}
    lab = ProcessesLab(tmp_path, nats_cluster.servers, **variables)
    summary = lab.play_undisturbed()
    assert summary["ledger"]["unexplained"] == 0, summary["verdict"]
    starts = starts_of(lab)
    for name in ("all", "new", "last"):
        owed = sum(summary["ledger"]["stored"] + 1 - first for first in starts[name])
        assert summary["classes"][name]["ledger"]["owed"] == owed, name
    assert 1 < min(starts["all"]) < min(starts["last"]) < min(starts["new"])
