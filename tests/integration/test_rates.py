"""A firehose whose rate changes by a schedule, through all real parts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fpaas.spec import check_run
from tests.support.nats_servers import NatsServer
from tests.support.processes_lab import ProcessesLab

pytestmark = [pytest.mark.integration, pytest.mark.matrix]

VARIABLES: dict[str, Any] = {
    "bench_consumers": 4,
    "bench_poll_interval_s": 0.5,
    "bench_fetch": "drain",
    "bench_firehose_rate_per_s": [
        {"for_s": 1.5, "rate_per_s": 40},
        {"for_s": 1, "rate_per_s": 40, "to_per_s": 400},
        {"for_s": 0.5, "rate_per_s": 2000},
    ],
    "bench_warmup_s": 0,
    "bench_measure_s": 6,
    "bench_drain_s": 2,
}


def test_each_frame_is_due_by_the_schedule(tmp_path: Path, nats_server: NatsServer) -> None:
    lab = ProcessesLab(tmp_path, {"server": nats_server}, **VARIABLES)
    summary = lab.play_undisturbed()
    check_run(lab.spec, "run.json")
    frames = 2 * (60 + 220 + 1000)
    assert summary["ledger"]["unexplained"] == 0, summary["verdict"]
    assert summary["ledger"]["offered"] == summary["ledger"]["stored"] == frames
    assert summary["plan"]["frames_offered"] == frames
    for leg in ("due_to_sent", "due_to_read", "due_to_ack"):
        figures = summary["latency_ms"][leg]
        assert figures["due_count"] == frames
        assert figures["count"] == frames
        # By the mean rate, frames would be seconds late, or ahead of their time.
        assert figures["negative_count"] == 0
        assert figures["p50"] < 1000
    end_to_end = summary["latency_ms"]["end_to_end"]
    assert end_to_end["negative_count"] == 0
    assert end_to_end["count"] == 4 * frames
