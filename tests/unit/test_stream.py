from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import nats.errors
import pytest
from nats.js.api import ConsumerInfo

from fpaas.errors import RunInvalid
from fpaas.jetstream import asked, stream
from tests.support.run_specs import build


def test_every_limit_of_the_stream_is_sent() -> None:
    spec = build(bench_consumers=2000, bench_stream_max_age_s=120)

    config: dict[str, Any] = stream.stream_config(spec).as_dict()

    assert config["subjects"] == ["atproto.firehose.>"]
    assert config["storage"] == "memory"
    assert config["discard"] == "old"
    assert config["max_age"] == 120 * 10**9
    assert config["max_bytes"] == 2_000_000_000
    assert config["max_msgs"] == -1
    assert config["max_msg_size"] > 5_000_000
    assert config["max_consumers"] >= 2000
    assert config["duplicate_window"] == 120 * 10**9
    assert config["num_replicas"] == 1
    assert config["allow_direct"] is True


def test_fanout_has_a_durable_each() -> None:
    durables = asked.durables_of(build(bench_consumers=3), range(3))

    assert [durable.name for durable in durables] == ["fpaas-00000", "fpaas-00001", "fpaas-00002"]
    assert {durable.filter_subjects for durable in durables} == {("atproto.firehose.>",)}


def test_shared_has_one_durable_with_room_for_every_puller() -> None:
    spec = build(bench_consumers=1000, bench_delivery="shared")

    (durable,) = asked.durables_of(spec, range(1000))
    config = stream.durable_config(spec, durable)

    assert config.max_waiting is not None
    assert config.max_waiting >= 1000
    assert config.max_ack_pending is not None
    assert config.max_ack_pending >= 1000 * 100


def test_partitioned_durables_have_disjoint_filters() -> None:
    durables = asked.durables_of(build(bench_consumers=3, bench_delivery="partitioned"), range(3))

    assert [durable.filter_subjects for durable in durables] == [
        ("atproto.firehose.*.0.>",),
        ("atproto.firehose.*.1.>",),
        ("atproto.firehose.*.2.>",),
    ]


def test_an_echo_that_differs_is_named() -> None:
    wanted = {"max_age": 300 * 10**9, "max_consumers": 100, "storage": "memory"}

    assert stream.differences(wanted, wanted | {"max_age": 300 * 10**9 + 1, "extra": 1}) == []
    assert stream.differences(wanted, wanted | {"max_consumers": -1}) == [
        "max_consumers: asked 100, got -1"
    ]
    assert stream.differences(wanted, wanted | {"max_age": 10**9}) != []
    assert stream.differences(wanted, {}) != []


NOW = datetime(2026, 7, 4, tzinfo=UTC)


class Losing:
    """A server that answers only after so many requests."""

    def __init__(self, lost: int) -> None:
        self.left = lost

    async def add_consumer(self, name: str, wanted: Any) -> ConsumerInfo:  # noqa: ANN401
        if self.left:
            self.left -= 1
            raise nats.errors.TimeoutError
        return ConsumerInfo(name="d", stream_name=name, config=wanted, created=NOW)


def test_a_request_that_a_cluster_loses_is_made_again_once() -> None:
    spec = build(bench_consumers=1)
    durables = asked.durables_of(spec, range(1))
    server: Any = Losing(1)
    asyncio.run(stream.create_durables(server, spec, durables))
    server = Losing(2)
    with pytest.raises(RunInvalid, match="no answer to the creation of durable fpaas-00000 in 30"):
        asyncio.run(stream.create_durables(server, spec, durables))
