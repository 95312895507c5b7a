"""Real agents' files, from a run of seconds, reported: everything must balance."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fpaas.bundle.loader import load_bundle
from tests.support import verdict_codes
from tests.support.checkout import SCRIPTS
from tests.support.cutting_proxy import CuttingProxy
from tests.support.nats_servers import NatsServer
from tests.support.processes_lab import ProcessesLab

pytestmark = pytest.mark.integration

HOST = "localhost"
FPAAS = SCRIPTS / "fpaas"


def play(
    directory: Path,
    server: NatsServer,
    values: dict[str, Any],
    consumers_url: str | None = None,
    meanwhile: Callable[[ProcessesLab], None] = lambda _: None,
) -> Path:
    """Run all agents on one host and return the bundle; `meanwhile` is called once T0 is set."""
    agents = ("relay", "shuffler", "consumers")
    lab = ProcessesLab(directory, {HOST: server}, dict.fromkeys(agents, HOST), **values)
    pid_file = directory / "nats.pid"
    pid_file.write_text(str(server.pid))
    lab.arguments["probe"] = ("--nats-pid-file", str(pid_file))
    if consumers_url:
        lab.arguments["consumers"] = ("--nats-url", consumers_url)
    try:
        lab.start()
        meanwhile(lab)
        codes = lab.wait()
    finally:
        lab.end()
    assert set(codes.values()) == {0}, codes
    lab.seal()
    return lab.bundle


def report(bundle: Path, *options: str) -> tuple[int, str, dict[str, Any]]:
    done = subprocess.run(
        [str(part) for part in (FPAAS, "report", bundle, *options)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return (
        done.returncode,
        done.stdout + done.stderr,
        json.loads((bundle / "summary.json").read_text()),
    )


SCENARIOS: dict[str, dict[str, Any]] = {
    # Fan-out that expires most of what it owes.
    "fanout": {"bench_batch_size": 20, "bench_stream_max_age_s": 3},
    "shared": {"bench_delivery": "shared", "bench_batch_size": 100},
    "partitioned": {"bench_delivery": "partitioned", "bench_batch_size": 100},
    "drain": {"bench_fetch": "drain", "bench_workers": 2},
}


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_real_run_balances(name: str, tmp_path: Path, nats_server: NatsServer) -> None:
    values = {
        "bench_consumers": 8,
        "bench_poll_interval_s": 1,
        "bench_firehose_rate_per_s": 200,
        "bench_warmup_s": 1,
        "bench_measure_s": 4,
        "bench_drain_s": 2,
    } | SCENARIOS[name]
    bundle = play(tmp_path, nats_server, values)
    code, shown, summary = report(bundle)
    assert load_bundle(bundle).problems == []
    ledger = summary["ledger"]
    assert ledger["unexplained"] == 0, shown
    reasons = summary["verdict"]["reasons"]
    # A machine busy with something else makes the load generators late, and they say so.
    assert set(verdict_codes.blamed(summary)) <= {"clock_unsure"}, shown
    assert code == (3 if reasons else 0)
    assert ledger["offered"] == ledger["published"] == ledger["stored"] == 1000
    owed = 8000 if name in ("fanout", "drain") else 1000
    assert ledger["owed"] == owed
    assert ledger["delivered"] > 0
    assert (ledger["expired_unread"] > 0) == (name == "fanout")
    if not reasons:
        assert summary["throughput"]["offered_per_s"] == pytest.approx(200, rel=0.1)
        assert summary["throughput"]["published_per_s"] == pytest.approx(200, rel=0.1)
    for leg in ("publish_ack", "publish_to_first_fetch", "end_to_end", "fetch_call"):
        assert summary["latency_ms"][leg]["count"] > 0
        assert summary["latency_ms"][leg]["clock_error_ms"] is not None
    for process in ("nats", "shuffler", "consumers", "relay"):
        assert summary["resources"]["processes"][process]["rss_mb"]["max"] > 1
    assert summary["clock"][HOST]["bound_ms"] is not None
    assert (bundle / "report.html").stat().st_size > 1000
    manifest = json.loads((bundle / "manifest.json").read_text())
    assert manifest["files"][f"hosts/{HOST}/relay.json"]["sha256"]

    # One part lost on the way: said, and the run does not count.
    (bundle / "hosts" / HOST / "consumers-0.json").unlink()
    code, shown, summary = report(bundle)
    assert code == 3
    assert "consumers-0.json" in shown
    assert summary["ledger"]["delivered"] is None
    shutil.rmtree(bundle / "hosts")
    code, shown, summary = report(bundle)
    assert code == 3
    assert "nothing was fetched" in shown


@pytest.mark.parametrize(
    ("ack_wait_s", "max_age_s", "outcome"),
    [(1, 4, "redelivered"), (30, 2, "lost")],
)
def test_what_a_broken_connection_swallowed_is_accounted_for(
    ack_wait_s: int, max_age_s: int, outcome: str, tmp_path: Path, nats_server: NatsServer
) -> None:
    """Deliveries are made and never received; they come again, or expire before they can."""
    proxy = CuttingProxy(nats_server.port)
    proxy.start()

    def cut_twice(lab: ProcessesLab) -> None:
        for at_s in (2.0, 4.5):
            lab.sleep_until(at_s)
            proxy.cut(swallow_s=0.8)

    values = {
        "bench_consumers": 8,
        "bench_poll_interval_s": 0.3,
        "bench_batch_size": 30,
        "bench_firehose_rate_per_s": 200,
        "bench_warmup_s": 1,
        "bench_measure_s": 6,
        "bench_drain_s": 3,
        "bench_ack_wait_s": ack_wait_s,
        "bench_stream_max_age_s": max_age_s,
    }
    try:
        bundle = play(tmp_path, nats_server, values, f"nats://127.0.0.1:{proxy.port}", cut_twice)
    finally:
        proxy.close()
    code, shown, summary = report(bundle)
    ledger = summary["ledger"]
    assert ledger["unexplained"] == 0, shown
    # 8 consumers' batches of up to 30, at each of two cuts.
    assert ledger[outcome] >= 8 * 30, shown
    assert summary["connections"]["reconnects"] > 0
    causes = [one["code"] for one in verdict_codes.causes(summary)]
    assert "consumer_connections" in causes, shown
    assert code in (1, 3)
    owed = ("delivered", "expired_unread", "pending_at_end", "lost")
    assert ledger["owed"] == 8 * ledger["stored"] == sum(ledger[name] for name in owed)
