"""The run.json by which a relay of a test's own runs."""

from __future__ import annotations

import time
from pathlib import Path

from fpaas import spec as specs

#: A busy machine takes seconds to start a relay.
T0_IN_S = 8


def a_run(directory: Path, **variables: object) -> specs.RunSpec:
    values = specs.read_variables(
        {
            "bench_warmup_s": 0,
            "bench_measure_s": 2,
            "bench_drain_s": 0,
            "bench_firehose_rate_per_s": 500,
            "bench_seed": 5,
            **variables,
        }
    )
    spec = specs.build(
        values,
        run_id="test",
        scenario=specs.Scenario("test", "test", "test"),
        topology=specs.Topology(
            {"relay": ["localhost"], "consumers": ["localhost"]},
            "nats://127.0.0.1",
            "http://127.0.0.1",
            "ws://127.0.0.1",
        ),
        first_seq=1,
        t0_unix_ns=time.time_ns() + T0_IN_S * specs.NS_PER_S,
    )
    (directory / "run.json").write_text(spec.to_json())
    return spec
