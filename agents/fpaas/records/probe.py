"""What a probe writes: once a second of its host and of the lab's processes, and of clocks."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from fpaas.records.fields import Count, UnixNs, doc

HOST = "probe.host.jsonl"
PROCESSES = "probe.processes.jsonl"
CLOCK = "probe.clock.jsonl"


class HostSample(msgspec.Struct, frozen=True, kw_only=True):
    """One line of `probe.host.jsonl`. Bytes, errors and waits are counted since the host booted.

    Null: the host does not tell, or the probe is of an older version.
    """

    unix_ns: UnixNs
    cpu_pct: Annotated[float | None, doc("busy share of all cores since the line before, per cent")]
    steal_pct: Annotated[float | None, doc("share that the hypervisor gave to others, per cent")]
    iowait_pct: Annotated[float | None, doc("share that waited for disks, per cent")]
    mem_mb: Annotated[float, doc("memory that is not available, 10^6 bytes")]
    mem_total_mb: Annotated[float, doc("10^6 bytes")]
    load1: Annotated[float, doc("load average over a minute")]
    net_rx_bytes: Annotated[Count, doc("received by all interfaces but the loopback")]
    net_tx_bytes: Annotated[Count, doc("sent by all interfaces but the loopback")]
    disk_read_bytes: Count | None
    disk_write_bytes: Count | None
    loopback_bytes: Annotated[Count | None, doc("over the loopback, counted once")] = None
    net_errors: Annotated[Count | None, doc("packets, both ways")] = None
    net_drops: Annotated[Count | None, doc("packets, both ways")] = None
    tcp_retransmits: Annotated[Count | None, doc("segments sent again")] = None
    swap_bytes: Annotated[Count | None, doc("swapped, both ways")] = None
    oom_kills: Annotated[Count | None, doc("processes killed for want of memory")] = None
    cpu_pressure_us: Annotated[
        Count | None, doc("time in which some task waited for a processor, us")
    ] = None
    memory_pressure_us: Annotated[
        Count | None, doc("time in which some task waited for memory, us")
    ] = None
    io_pressure_us: Annotated[Count | None, doc("time in which some task waited for disks, us")] = (
        None
    )


class ProcessSample(msgspec.Struct, frozen=True, kw_only=True):
    """One line of `probe.processes.jsonl`: one live process of the lab."""

    unix_ns: UnixNs
    process: Annotated[str, doc("relay, nats, shuffler, consumers or probe")]
    pid: int
    cpu_pct: Annotated[float | None, doc("of one core, since the line before; null in the first")]
    cpu_s: Annotated[float | None, doc("processor time since it began, s")] = None
    rss_mb: Annotated[float, doc("memory, 10^6 bytes")]
    fds: Annotated[Count | None, doc("open file descriptors; null: not allowed to look")]
    threads: Count
    ctx_switches_voluntary: Annotated[Count, doc("since it began")]
    ctx_switches_involuntary: Annotated[Count, doc("since it began")]


class ClockExchange(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line of `probe.clock.jsonl`: a message published, and the time at which it was stored.

    The server's clock minus this host's lies between the two offsets.
    """

    unix_ns: Annotated[UnixNs, doc("when it was sent")]
    phase: Annotated[Literal["before", "during", "after"], doc("of the run")]
    offset_low_ns: int
    offset_high_ns: int
    rtt_ns: int
    server: Annotated[str | None, doc("who stored it, in a cluster")] = None
