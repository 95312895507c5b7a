"""Runs whose agents' disk, a real one of a few MB, is full: for a while, or to the end."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import verdict_codes
from tests.support.all_delivered import check_all_delivered
from tests.support.nats_servers import NatsServer
from tests.support.processes_lab import LOAD_HOST, ProcessesLab

pytestmark = pytest.mark.integration

OFFERED = 700


@pytest.fixture
def lab(tmp_path: Path, nats_server: NatsServer) -> Iterator[ProcessesLab]:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    lab = ProcessesLab(
        tmp_path,
        {"nats": nats_server},
        bench_consumers=4,
        bench_poll_interval_s=0.5,
        bench_batch_size=200,
        bench_firehose_rate_per_s=100,
        bench_warmup_s=1,
        bench_measure_s=6,
        bench_drain_s=3,
        bench_workers=2,
    )
    place = files_of(lab)
    place.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "none", str(place)]
    if subprocess.run(mount, check=False).returncode:
        pytest.skip("may not mount")
    try:
        yield lab
    finally:
        lab.end()
        subprocess.run(["umount", str(place)], check=True)


def files_of(lab: ProcessesLab) -> Path:
    return lab.bundle / "hosts" / LOAD_HOST


def fill(place: Path) -> Path:
    filler = place / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))
    with pytest.raises(OSError, match="No space left"):
        (place / "more").write_bytes(bytes(8192))
    (place / "more").unlink()
    return filler


def test_a_disk_that_is_full_for_a_while_costs_nothing(lab: ProcessesLab) -> None:
    lab.start()
    lab.sleep_until(2)
    filler = fill(files_of(lab))
    lab.sleep_until(5)
    filler.unlink()
    codes = lab.wait()
    assert set(codes.values()) == {0}, codes
    summary = lab.report()
    assert verdict_codes.blamed(summary) == []
    check_all_delivered(summary, 4 * OFFERED)
    # Each agent's second is there, though it was written later.
    published = summary["latency_ms"]["publish_ack"]["count"]
    # On a busy machine, some that were due before the window are published in it.
    assert published == 600 or (verdict_codes.is_busy(summary) and published >= 600)
    for name in ("relay", "shuffler", "consumers-0", "consumers-1"):
        samples = (files_of(lab) / f"{name}.samples.jsonl").read_text().splitlines()
        assert len(samples) >= 9 or verdict_codes.is_busy(summary)


def test_a_disk_that_is_full_when_a_run_begins_is_why_it_is_invalid(lab: ProcessesLab) -> None:
    lab.launch()
    lab.arm(lead_s=15)
    filler = fill(files_of(lab))
    assert time.time_ns() < lab.spec.t0_unix_ns
    # Later there is room again, too late for those that could not begin.
    lab.sleep_until(3)
    filler.unlink()
    lab.wait()
    summary = lab.report()
    assert summary["verdict"]["status"] == "invalid"
    failed = [one for one in verdict_codes.entries(summary) if one["code"] == "agent_failed"]
    messages = {one["parameters"]["agent"]: one["parameters"]["message"] for one in failed}
    for agent in ("relay", "consumers"):
        assert "No space left on device" in messages[agent]
    # What nobody measured has no figure.
    ledger = summary["ledger"]
    assert ledger["offered"] is ledger["delivered"] is ledger["unexplained"] is None


def test_a_disk_that_stays_full_is_why_the_run_is_invalid(lab: ProcessesLab) -> None:
    lab.start()
    lab.sleep_until(2)
    # Whoever left no account before has not lived, as far as a report can tell.
    for name in ("relay", "shuffler", "consumers-0", "consumers-1"):
        lab.wait_until_kept(f"{name}.json")
    filler = fill(files_of(lab))
    codes = lab.wait()
    assert {name for name, code in codes.items() if code == 3} == {
        f"{agent} on {LOAD_HOST}" for agent in ("relay", "shuffler", "consumers", "probe")
    }
    filler.unlink()
    summary = lab.report()
    assert summary["verdict"]["status"] == "invalid"
    failed = [one for one in verdict_codes.entries(summary) if one["code"] == "agent_failed"]
    assert len(failed) == 4
    assert all("No space left on device" in one["parameters"]["message"] for one in failed)
    # All of it was played to its end.
    assert summary["ledger"]["delivered"] == 4 * OFFERED
