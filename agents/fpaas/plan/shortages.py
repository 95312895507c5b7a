"""Resources that a host has too little of for its part of a run. Pure arithmetic."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from fpaas.spec import RunSpec


@dataclass(frozen=True)
class HostSize:
    """What a host has; None: it does not say.

    Memory and disk are in 10^6 bytes; `disk_free_mb` is free where the lab's files are.
    """

    memory_mb: float | None
    disk_free_mb: float | None
    net_mbit_per_s: float | None


def shortages(spec: RunSpec, planned: dict[str, Any], host: str, has: HostSize) -> Iterator[str]:
    """Say what a host is too small for, by `capacity.predict`'s figures."""
    servers = spec.hosts["nats"]
    in_mbit, out_mbit = planned["nats_net_rx_mbit_per_s"], planned["nats_net_tx_mbit_per_s"]
    net_mbit = 0.0
    if host in servers:
        rss_mb, stream_mb = planned["nats_rss_mb"], planned["stream_bytes"] / 1e6
        if rss_mb is not None and has.memory_mb is not None and rss_mb > has.memory_mb:
            yield (
                f"{host}: NATS and its stream in memory are planned to take {rss_mb:,.0f} MB, the "
                f"host has {has.memory_mb:,.0f} MB; nats-server may be killed because "
                "memory runs out. Lower bench_stream_max_bytes or bench_stream_max_age_s, or use "
                "bench_stream_storage=file"
            )
        if rss_mb is None and has.disk_free_mb is not None and stream_mb > has.disk_free_mb:
            yield (
                f"{host}: the stream is planned to take {stream_mb:,.0f} MB on disk, "
                f"{has.disk_free_mb:,.0f} MB are free; NATS will refuse what does not fit. Lower "
                "bench_stream_max_bytes or bench_stream_max_age_s"
            )
        # The stream's leader sends each message to every other replica, too.
        copies = spec.stream.replicas - 1
        net_mbit = max(net_mbit, out_mbit / len(servers) + in_mbit * copies, in_mbit)
    if host in spec.shares:
        share = spec.shares[host].count / spec.consumers.count
        net_mbit = max(net_mbit, out_mbit * share)
    if host in spec.hosts["shuffler"] or host in spec.hosts.get("relay", []):
        net_mbit = max(net_mbit, in_mbit)
    is_alone = {one for names in spec.hosts.values() for one in names} == {host}
    if not is_alone and has.net_mbit_per_s is not None and net_mbit > has.net_mbit_per_s:
        yield (
            f"{host}: its part is planned to move {net_mbit:,.0f} Mbit/s over the network, its "
            f"fastest interface has {has.net_mbit_per_s:,.0f} Mbit/s; latencies will be those of a "
            "full link. Spread consumers over more hosts, or lower their number or the rate"
        )
