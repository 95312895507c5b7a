"""Variables and hosts become a run."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from fpaas.errors import SpecError
from fpaas.spec import acks, kinds, mix, rates
from fpaas.spec.faults import Fault
from fpaas.spec.mix import SUBJECT_ROOT
from fpaas.spec.run_checks import check_faults, check_nats_hosts, check_streams
from fpaas.spec.run_parts import Consumers, Firehose, Scenario, Stream
from fpaas.spec.run_spec import EVENT_LOG, SCHEMA, STREAM_NAME, RunSpec, split_consumers
from fpaas.spec.variables import is_relay_url


@dataclass(frozen=True)
class Topology:
    """Where the parts of a lab listen; from the inventory.

    `nats_url` has a URL for each NATS host, with commas between them; `nats_monitoring_url` is what
    the probe on a NATS host asks about that host's server. `addresses` are of each host, as others
    reach it.
    """

    hosts: dict[str, list[str]]
    nats_url: str
    nats_monitoring_url: str
    relay_url: str
    addresses: dict[str, str] = field(default_factory=dict)


def build(
    values: Mapping[str, Any],
    *,
    run_id: str,
    scenario: Scenario,
    topology: Topology,
    first_seq: int | None,
    frame_bytes_mean: float | None = None,
    owed_shares: Sequence[float] = (),
    t0_unix_ns: int = 0,
) -> RunSpec:
    """Make a run from checked variables (`read_variables`) and a lab's topology.

    `first_seq` is our relay's first sequence number, None for a foreign relay; `frame_bytes_mean`
    that of the capture it plays; `owed_shares` are of a mix's classes. Raises SpecError if the
    NATS hosts cannot hold the stream, or a fault is on what there is not.
    """
    v = values
    nats_hosts = topology.hosts.get("nats")
    if nats_hosts:
        check_nats_hosts(nats_hosts, v["bench_stream_replicas"])
        kinds.check_replicas(v, nats_hosts)
    count = v["bench_consumers"]
    delivery = v["bench_delivery"]
    foreign = is_relay_url(v["bench_firehose_source"])
    rate_steps = rates.steps_of(v["bench_firehose_rate_per_s"])
    rate_per_s = v["bench_firehose_rate_per_s"]
    if rate_steps:
        offer_s = v["bench_warmup_s"] + v["bench_measure_s"]
        rate_per_s = rates.frames_in(rate_steps, offer_s) / offer_s
    pullers_per_durable = math.ceil(count / v["bench_streams"]) if delivery == "shared" else 1
    classes = mix.classes_of(v["bench_mix"], v)
    acks.check(v, classes)
    kinds.check(v)
    is_pushed = v["bench_consumer_kind"] != kinds.PULL
    is_ordered = v["bench_consumer_kind"] == kinds.ORDERED
    if owed_shares:
        pairs = zip(classes, owed_shares, strict=True)
        classes = [replace(one, owed_share=share) for one, share in pairs]
    batch_size = max([v["bench_batch_size"], *(one.batch_size for one in classes)])
    in_flight = pullers_per_durable * batch_size
    run = RunSpec(
        schema=SCHEMA,
        event_log=EVENT_LOG,
        run_id=run_id,
        scenario=scenario,
        t0_unix_ns=t0_unix_ns,
        warmup_s=v["bench_warmup_s"],
        measure_s=v["bench_measure_s"],
        drain_s=v["bench_drain_s"],
        seed=v["bench_seed"],
        firehose=Firehose(
            source=v["bench_firehose_source"],
            rate_per_s=None if foreign else rate_per_s,
            rate_steps=[] if foreign else rate_steps,
            seed=v["bench_seed"],
            first_seq=None if foreign else first_seq,
            relay_url=v["bench_firehose_source"] if foreign else topology.relay_url,
            frame_bytes_mean=frame_bytes_mean,
            undecodable_max_frames=v["bench_undecodable_max_frames"],
            replay=v["bench_relay_replay"],
            mix=v["bench_firehose_mix"],
            stuck_s=v["bench_relay_stuck_s"],
            silent_max_s=_unless_auto(v["bench_relay_silent_max_s"]),
            lag_max_s=_unless_auto(v["bench_relay_lag_max_s"]),
        ),
        stream=Stream(
            name=STREAM_NAME,
            subjects=[f"{SUBJECT_ROOT}.>"],
            storage=v["bench_stream_storage"],
            max_age_s=v["bench_stream_max_age_s"],
            max_bytes=v["bench_stream_max_bytes"],
            duplicate_window_s=v["bench_stream_duplicate_window_s"],
            replicas=v["bench_stream_replicas"],
            # One that is made again may be there before the other is gone.
            max_consumers=(2 if is_ordered else 1) * count + 100,
            compression=v["bench_stream_compression"],
            sync_interval_s=v["bench_sync_interval_s"],
            persist_mode=v["bench_stream_persist_mode"],
            count=v["bench_streams"],
        ),
        consumers=Consumers(
            count=count,
            poll_interval_s=v["bench_poll_interval_s"],
            poll_jitter_pct=v["bench_poll_jitter_pct"],
            batch_size=v["bench_batch_size"],
            delivery=delivery,
            fetch=v["bench_fetch"],
            connections=v["bench_connections"],
            workers=v["bench_workers"],
            ack=acks.NONE if is_ordered else v["bench_ack"],
            kind=v["bench_consumer_kind"],
            ack_wait_s=v["bench_ack_wait_s"],
            # Twice what can be outstanding: unacked messages wait for ack_wait before they return.
            max_ack_pending=(kinds.MAX_ACK_PENDING if is_pushed else max(1000, 2 * in_flight))
            if v["bench_max_ack_pending"] == "auto"
            else v["bench_max_ack_pending"],
            max_waiting=max(512, 2 * pullers_per_durable),
            partitions=count if delivery == "partitioned" else 0,
            classes=classes,
            inactive_threshold_s=v["bench_inactive_threshold_s"],
        ),
        nats_url=topology.nats_url,
        nats_monitoring_url=topology.nats_monitoring_url,
        hosts=topology.hosts,
        addresses=topology.addresses,
        shares=split_consumers(count, topology.hosts["consumers"]),
        variables=dict(values),
        faults=[Fault(**fault) for fault in v["bench_faults"]],
        cursor_place=v["bench_cursor_place"],
    )
    check_faults(run)
    check_streams(run)
    _check_threshold(run)
    return run


def _check_threshold(run: RunSpec) -> None:
    """Refuse a threshold that makes the server delete durables between two of their polls."""
    threshold_s = run.consumers.inactive_threshold_s
    longest_s = max(
        of_class.consumers.poll_interval_s * (1 + 2 * of_class.consumers.poll_jitter_pct / 100)
        + of_class.consumers.away_s
        for of_class in run.by_class()
    )
    if threshold_s and threshold_s <= longest_s:
        raise SpecError(
            f"bench_inactive_threshold_s: {threshold_s:g} is not allowed: polls are up to "
            f"{longest_s:g} s apart, and the server would delete durables between them; allowed: 0 "
            "(never), or more than that"
        )


def _unless_auto(value: str | float) -> float | None:
    return value if isinstance(value, float) else None
