"""Durables that somebody pauses: NATS answers their pulls as if nothing waited for them."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import nats
import pytest

from fpaas.records.events import DURABLES_PAUSED
from tests.support.patience import PATIENCE_S
from tests.support.side_by_side import OwnLab, play_all

pytestmark = pytest.mark.integration

STREAM = "ATPROTO_FIREHOSE"
RUN = {
    "bench_consumers": 4,
    "bench_workers": 1,
    "bench_poll_interval_s": 0.5,
    "bench_batch_size": 200,
    "bench_firehose_rate_per_s": 50,
    "bench_warmup_s": 1,
    "bench_measure_s": 8,
    "bench_drain_s": 2,
}


async def pause(url: str, seconds: float | None) -> None:
    """Pause two durables for so long, or for good."""
    client = await nats.connect(url)
    until = datetime.now(UTC) + timedelta(seconds=3600 if seconds is None else seconds)
    asked = json.dumps({"pause_until": until.isoformat().replace("+00:00", "Z")}).encode()
    for name in ("fpaas-00000", "fpaas-00001"):
        subject = f"$JS.API.CONSUMER.PAUSE.{STREAM}.{name}"
        answer = await client.request(subject, asked, timeout=PATIENCE_S)
        assert json.loads(answer.data)["paused"] is True
    await client.close()


class PausedLab(OwnLab):
    """Its durables are paused `after_s` after T0, for `for_s`; None: for good."""

    after_s = 3.0
    for_s: float | None = None

    def play(self) -> dict[str, Any]:
        self.sleep_until(self.after_s)
        asyncio.run(pause(self.server.url, self.for_s))
        return self.finish()


def test_whoever_pauses_durables_makes_a_run_invalid(tmp_path: Path) -> None:
    for_good, for_a_while = (
        PausedLab(tmp_path / name, **RUN) for name in ("for_good", "for_a_while")
    )
    for_a_while.for_s = 1.5
    for summary in play_all([for_good, for_a_while], PausedLab.play):
        assert summary["verdict"]["status"] == "invalid"
        (reason,) = (
            one for one in summary["verdict"]["reason_codes"] if one["code"] == "durables_paused"
        )
        (event,) = (one for one in summary["events"] if one["kind"] == DURABLES_PAUSED)
        told = reason["parameters"]
        assert told["count"] == 2
        assert told["begin_s"] == event["begin_s"] >= 3
        assert told["end_s"] == event["end_s"]
        assert summary["ledger"]["unexplained"] == 0
    assert event["end_s"] - event["begin_s"] >= 1
    assert event["parameters"] == {"agent": "probe", "stream": STREAM, "durables": 2}
