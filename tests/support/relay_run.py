"""The run.json by which a relay of a test's own runs."""

from __future__ import annotations

from pathlib import Path

from fpaas import spec as specs


def a_run(directory: Path, **variables: object) -> specs.RunSpec:
    """Write a run.json without T0; its relay's process is given one when it is up."""
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
    )
    (directory / "run.json").write_text(spec.to_json())
    return spec
