"""Whether a run can be what its run.json says: variables, hosts, shares, faults."""

from __future__ import annotations

from fpaas.errors import SpecError
from fpaas.spec import fault_checks, kinds, mix
from fpaas.spec.faults import NATS, SHUFFLER, label, targets
from fpaas.spec.run_spec import RunSpec, split_consumers
from fpaas.spec.variables import NATS_HOSTS_ALLOWED, read_variables

#: To make streams that have so many subjects takes nats-server 5 s, and four times as long for
#: twice as many.
SPLIT_PARTITIONS_MAX = 10_000


def check_run(run: RunSpec, source: str) -> None:
    """Check the run.json of a bundle, which may have been changed since `build` made it.

    Raises SpecError that names the source and what is wrong with it.
    """
    consumers, stream = run.consumers, run.stream
    values = {
        "bench_consumers": consumers.count,
        "bench_mix": mix.entries_of(consumers.classes),
        "bench_poll_interval_s": consumers.poll_interval_s,
        "bench_poll_jitter_pct": consumers.poll_jitter_pct,
        "bench_batch_size": consumers.batch_size,
        "bench_delivery": consumers.delivery,
        "bench_fetch": consumers.fetch,
        "bench_connections": consumers.connections,
        "bench_warmup_s": run.warmup_s,
        "bench_measure_s": run.measure_s,
        "bench_relay_replay": run.firehose.replay,
        "bench_firehose_mix": run.firehose.mix,
        "bench_drain_s": run.drain_s,
        "bench_cursor_place": run.cursor_place,
        "bench_undecodable_max_frames": run.firehose.undecodable_max_frames,
        "bench_streams": stream.count,
        "bench_stream_max_age_s": stream.max_age_s,
        "bench_stream_max_bytes": stream.max_bytes,
        "bench_stream_duplicate_window_s": stream.duplicate_window_s,
        "bench_stream_storage": stream.storage,
        "bench_stream_compression": stream.compression,
        "bench_stream_persist_mode": stream.persist_mode,
        "bench_ack": consumers.ack,
        "bench_consumer_kind": consumers.kind,
        "bench_max_ack_pending": consumers.max_ack_pending,
        "bench_inactive_threshold_s": consumers.inactive_threshold_s,
        "bench_stream_replicas": stream.replicas,
        "bench_faults": [fault.to_dict() for fault in run.faults],
    }
    if stream.sync_interval_s is not None:
        values["bench_sync_interval_s"] = stream.sync_interval_s
    if run.firehose.rate_per_s is not None:
        values["bench_firehose_rate_per_s"] = [
            step.entry for step in run.firehose.rate_steps
        ] or run.firehose.rate_per_s
    try:
        read = read_variables(values)
    except SpecError as error:
        raise SpecError(f"{source}: {error}") from None
    for name, value in values.items():
        if read[name] != value:
            raise SpecError(f"{source}: {name}: {value!r} is not allowed; expected {read[name]!r}")
    if not 0 <= run.t0_unix_ns < 2**63:
        raise SpecError(f"{source}: t0_unix_ns is {run.t0_unix_ns}, no time")
    hosts = run.hosts
    for group in ("nats", "shuffler", "consumers"):
        if not hosts.get(group):
            raise SpecError(f"{source}: hosts: the group {group} has no host")
    mix.classes_of(read["bench_mix"], read)
    try:
        # It is a number by now.
        kinds.check({**read, "bench_max_ack_pending": "auto"})
        kinds.check_replicas(read, hosts["nats"])
    except SpecError as error:
        raise SpecError(f"{source}: {error}") from None
    if run.shares != split_consumers(consumers.count, hosts["consumers"]):
        raise SpecError(f"{source}: shares: are not those of {consumers.count} consumers")
    try:
        check_faults(run)
        check_streams(run)
    except SpecError as error:
        raise SpecError(f"{source}: {error}") from None


def check_faults(run: RunSpec) -> None:
    """Hold the run's faults against its hosts. Raises SpecError."""
    workers = run.consumers.workers
    fault_checks.check(
        run.faults,
        run.hosts,
        length_s=run.warmup_s + run.measure_s + run.drain_s,
        plays_relay=run.firehose.rate_per_s is not None,
        workers=workers if isinstance(workers, int) else None,
    )


def check_streams(run: RunSpec) -> None:
    """Refuse what cannot be played with several streams. Raises SpecError that names it."""
    count, consumers = run.stream.count, run.consumers
    if count == 1:
        return
    said = f"bench_streams: {count} is not allowed"
    if consumers.count < count:
        raise SpecError(
            f"{said} with bench_consumers={consumers.count}: each consumer reads one stream, and "
            f"nobody would read the others; allowed: up to {consumers.count}"
        )
    if consumers.partitions > SPLIT_PARTITIONS_MAX:
        raise SpecError(
            f"{said} with bench_consumers={consumers.count} and bench_delivery=partitioned: each "
            "partition is a subject of one of the streams, and the server compares all of them; "
            f"allowed: 1, or up to {SPLIT_PARTITIONS_MAX} consumers"
        )
    if consumers.classes:
        raise SpecError(
            f"{said} with bench_mix: a class's filter may be on partitions that its consumers' "
            "stream does not have; leave one of the two out"
        )
    if len(run.hosts["nats"]) > 1:
        raise SpecError(
            f"{said} with {len(run.hosts['nats'])} NATS hosts: who leads which stream is not "
            "followed; use an inventory with one NATS host"
        )
    for number, fault in enumerate(run.faults):
        ended = {one.group for one in targets(fault, run.hosts)}
        if fault.do in ("kill", "restart") and ended & {NATS, SHUFFLER}:
            raise SpecError(
                f"{said} with {label(number, fault)}: several streams are not made again, nor does "
                "a shuffler go on with them; end the relay, the consumers or a worker, or use "
                "`pause`"
            )


def check_nats_hosts(hosts: list[str], replicas: int) -> None:
    """Refuse numbers of NATS hosts that are no lab, and replicas that they cannot hold.

    Raises SpecError.
    """
    count = len(hosts)
    if count not in NATS_HOSTS_ALLOWED:
        why = (
            "a cluster needs a majority of its servers, and two are no safer than one"
            if count == 2
            else "three already survive the loss of one, and more are not supported"
        )
        raise SpecError(
            f"inventory group nats: {count} hosts are not allowed ({', '.join(hosts)}); "
            f"allowed: 1, a single server, or 3, a JetStream cluster; {why}"
        )
    if replicas > count:
        raise SpecError(
            f"bench_stream_replicas: {replicas} is not allowed; each replica needs a NATS server "
            f"of its own, and the inventory group nats has {count} "
            f"host{'s' if count > 1 else ''} ({', '.join(hosts)})"
        )
