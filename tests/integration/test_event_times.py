"""What happens to connections and servers is noted by those who see it, when it happens."""

from __future__ import annotations

import json
import time
import urllib.request
from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from fpaas.records import events
from fpaas.spec import NS_PER_S
from tests.support import verdict_codes
from tests.support.nats_servers import NatsServer
from tests.support.patience import PATIENCE_S
from tests.support.processes_lab import ProcessesLab

pytestmark = pytest.mark.integration

#: On a calm machine it is 0.02 s; samples would be 1 s late, or 1.5 s.
TOLERANCE_S = 0.8
#: What times are off by that tell when a busy machine let a process go on.
BUSY_S = 6.0
#: The probe samples NATS at 5.5 s and 10.5 s.
CUT_AT_S, KILLED_AT_S, LAUNCHED_AT_S, LOOKED_AT_S = 2, 4, 6, 10


def test_lost_connections_and_a_restart_are_known_from_begin_to_end(
    tmp_path: Path, nats_server: NatsServer, labs: list[ProcessesLab]
) -> None:
    lab = ProcessesLab(
        tmp_path,
        {"nats": nats_server},
        bench_consumers=6,
        bench_workers=2,
        bench_connections="per_consumer",
        bench_poll_interval_s=0.5,
        bench_firehose_rate_per_s=50,
        bench_warmup_s=1,
        bench_measure_s=10,
        bench_drain_s=2,
        bench_faults=[{"do": "disconnect", "on": "relay", "at_s": CUT_AT_S, "close_code": 1012}],
    )
    labs.append(lab)
    pid_file = tmp_path / "nats.pid"
    pid_file.write_text(str(nats_server.pid))
    lab.arguments["probe"] = ("--nats-pid-file", str(pid_file))
    lab.start()
    lab.sleep_until(KILLED_AT_S)
    killed_s = since_t0(lab, time.time())
    nats_server.kill()
    lab.sleep_until(LAUNCHED_AT_S)
    launched_s = since_t0(lab, time.time())
    nats_server.launch()
    pid_file.write_text(str(nats_server.pid))
    lab.sleep_until(LOOKED_AT_S)
    deadline = time.monotonic() + PATIENCE_S
    while not (connected_s := connections_since(lab, nats_server)):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    lab.wait()

    summary = lab.report()
    happened = summary["events"]
    tolerance_s = BUSY_S if verdict_codes.is_busy(summary) else TOLERANCE_S

    (cut,) = of_kind(happened, events.RELAY_RECONNECTED)
    assert cut["begin_s"] == pytest.approx(CUT_AT_S, abs=tolerance_s)
    # It tries again within a tenth of a second.
    assert cut["end_s"] == pytest.approx(CUT_AT_S + 0.1, abs=tolerance_s)
    assert cut["parameters"]["code"] == 1012
    (restart,) = of_kind(happened, events.NATS_RESTARTED)
    assert restart["begin_s"] == pytest.approx(killed_s, abs=tolerance_s)
    assert restart["end_s"] == pytest.approx(launched_s, abs=tolerance_s)
    # When the probe was connected again, not with its next sample.
    assert restart["noticed_s"] < LOOKED_AT_S + tolerance_s - TOLERANCE_S
    lost = {one["parameters"]["agent"]: one for one in of_kind(happened, events.NATS_RECONNECTED)}
    assert lost.keys() == {"shuffler", "consumers"}
    for agent, one in lost.items():
        assert one["begin_s"] == pytest.approx(killed_s, abs=tolerance_s)
        assert one["end_s"] == pytest.approx(connected_s[agent], abs=tolerance_s)
    assert lost["consumers"]["parameters"]["workers"] == [0, 1]
    assert lost["consumers"]["parameters"]["connections"] == 6
    assert lost["shuffler"]["parameters"]["connections"] == 1


def of_kind(happened: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [event for event in happened if event["kind"] == kind]


def since_t0(lab: ProcessesLab, unix_s: float) -> float:
    return unix_s - lab.spec.t0_unix_ns / NS_PER_S


def connections_since(lab: ProcessesLab, server: NatsServer) -> dict[str, float]:
    """Return when the server had all connections of each agent, as it says itself; none before."""
    since: dict[str, float] = {}
    counted: Counter[str] = Counter()
    with urllib.request.urlopen(
        f"{server.monitoring_url}/connz?limit=100", timeout=PATIENCE_S
    ) as answer:
        for one in json.load(answer)["connections"]:
            if "name" not in one:
                # It has yet to say who it is.
                continue
            _, agent, *number = one["name"].split("-")
            # Each agent has others, too, that ask about the stream.
            if agent == "shuffler" and number:
                continue
            if agent == "consumers" and not number[-1].isdigit():
                continue
            at_s = since_t0(lab, datetime.fromisoformat(one["start"]).timestamp())
            since[agent] = max(since.get(agent, at_s), at_s)
            counted[agent] += 1
    return since if (counted["shuffler"], counted["consumers"]) == (1, 6) else {}
