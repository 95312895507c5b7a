"""What the plan predicts is what a real run does: expiry, lag and the stream's size within 10 %."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support import verdict_codes
from tests.support.nats_servers import NatsServer
from tests.support.processes_lab import LOAD_HOST, ProcessesLab

pytestmark = pytest.mark.integration

TOLERANCE = 0.1
TIMES = {"bench_warmup_s": 2, "bench_measure_s": 9, "bench_drain_s": 1}
SCENARIOS: dict[str, dict[str, Any]] = {
    # 10 messages/s of the 100/s that each is owed: nine tenths expire.
    "fanout, once": {
        "bench_consumers": 20,
        "bench_poll_interval_s": 2,
        "bench_batch_size": 20,
        "bench_firehose_rate_per_s": 100,
        "bench_stream_max_age_s": 4,
    },
    "shared, drain": {
        "bench_consumers": 10,
        "bench_delivery": "shared",
        "bench_fetch": "drain",
        "bench_poll_interval_s": 1,
        "bench_firehose_rate_per_s": 100,
        "bench_stream_max_age_s": 5,
    },
}


@pytest.mark.parametrize("name", SCENARIOS)
def test_predictions_hold(name: str, tmp_path: Path, nats_server: NatsServer) -> None:
    lab = ProcessesLab(tmp_path, {"server": nats_server}, **TIMES, **SCENARIOS[name])
    summary = lab.play_undisturbed()
    plan, ledger, jetstream = summary["plan"], summary["ledger"], summary["jetstream"]
    assert ledger["owed"] == plan["owed"]
    assert LOAD_HOST in summary["use"]
    if verdict_codes.is_busy(summary):
        # Polls that came late are no part of any plan.
        return
    expired = ledger["expired_unread"] / ledger["owed"]
    planned = plan["expired_unread"] / plan["owed"]
    assert expired == pytest.approx(planned, rel=TOLERANCE)
    assert (expired > 0.5) == (name == "fanout, once")
    assert jetstream["bytes"] == pytest.approx(plan["stream_bytes"], rel=TOLERANCE)
    assert jetstream["messages"] == pytest.approx(plan["stream_messages"], rel=TOLERANCE)
    if name == "fanout, once":
        # A single durable that is emptied all the time is anywhere between nothing and one poll.
        lag = jetstream["consumer_lag"]["mean"]
        assert lag == pytest.approx(plan["consumer_lag_mean"], rel=TOLERANCE)
