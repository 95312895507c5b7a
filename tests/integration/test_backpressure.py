"""NATS slower than the firehose: what waits, waits in the relay, and all of it arrives, once."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from fpaas.bundle.loader import load_bundle
from fpaas.shuffler.publish_window import MAX_IN_FLIGHT
from tests.support.nats_servers import NatsServer
from tests.support.processes_lab import ProcessesLab

pytestmark = pytest.mark.integration

RATE_PER_S = 1500
#: A chunk of the socket's that was read when the window filled up, in frames of some kilobytes.
CHUNK_FRAMES = 400
RSS_MB_MAX = 200


def test_what_nats_does_not_take_waits_in_the_relay(
    tmp_path: Path, nats_server: NatsServer
) -> None:
    lab = ProcessesLab(
        tmp_path,
        {"nats": nats_server},
        bench_consumers=2,
        bench_poll_interval_s=0.5,
        bench_batch_size=500,
        bench_fetch="drain",
        bench_firehose_rate_per_s=RATE_PER_S,
        bench_warmup_s=1,
        bench_measure_s=14,
        bench_drain_s=15,
        bench_workers=1,
    )
    try:
        lab.start()
        lab.sleep_until(3)
        os.kill(nats_server.pid, signal.SIGSTOP)
        lab.sleep_until(12)
        os.kill(nats_server.pid, signal.SIGCONT)
        lab.wait()
        summary = lab.report()
    finally:
        lab.end()

    ledger = summary["ledger"]
    assert ledger["unexplained"] == 0, summary["verdict"]
    assert ledger["published"] == ledger["stored"] == ledger["offered"] == 15 * RATE_PER_S
    assert ledger["stored_twice"] == ledger["not_read"] == ledger["lost"] == 0
    assert summary["order"] == {"violations_in_stream": 0, "violations_at_consumers": 0}
    (part,) = load_bundle(lab.bundle).parts("shuffler")
    in_flight = max(sample.in_flight for sample in part.shuffler_samples)
    # What the sockets hold, or the window's bound, whichever is reached first.
    assert 100 < in_flight <= MAX_IN_FLIGHT + CHUNK_FRAMES
    # Meanwhile the relay was not read: its queue grew, and not ours.
    read_s = [sample.reading_paused_s for sample in part.shuffler_samples]
    assert read_s[-1] > 2
    memory = [one.rss_mb for one in part.process_samples if one.process == "shuffler"]
    assert max(memory) < RSS_MB_MAX
