"""What a probe writes about its host, the lab's processes and clocks.

`probe.json` is the account of the whole run; the others have a line a second, or an exchange.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from fpaas.records.fields import Count, Number, UnixNs
from fpaas.spec.described import doc

AGENT = "probe"
NAME = "probe.json"
HOST = "probe.host.jsonl"
PROCESSES = "probe.processes.jsonl"
CLOCK = "probe.clock.jsonl"


class HostSample(msgspec.Struct, frozen=True, kw_only=True):
    """One line of `probe.host.jsonl`. Bytes, errors and waits are counted since the host booted.

    Null: the host does not tell, or the probe is of an older version.
    """

    unix_ns: UnixNs
    cpu_pct: Annotated[
        float | None,
        doc("busy share of the cores that it may use, since the line before, per cent"),
    ]
    steal_pct: Annotated[float | None, doc("share that the hypervisor gave to others, per cent")]
    iowait_pct: Annotated[float | None, doc("share that waited for disks, per cent")]
    mem_mb: Annotated[float, doc("memory that is not available, 10^6 bytes")]
    mem_total_mb: Annotated[float, doc("that it may use, 10^6 bytes")]
    load1: Annotated[float, doc("load average over a minute")]
    net_rx_bytes: Annotated[
        Count, doc("received, each byte by the outermost interface; not the loopback's")
    ]
    net_tx_bytes: Annotated[Count, doc("sent, likewise")]
    disk_read_bytes: Annotated[Count | None, doc("of all disks")]
    disk_write_bytes: Annotated[Count | None, doc("of all disks")]
    loopback_bytes: Annotated[Count | None, doc("over the loopback, counted once")] = None
    net_errors: Annotated[Count | None, doc("packets, both ways")] = None
    net_drops: Annotated[Count | None, doc("packets, both ways")] = None
    tcp_retransmits: Annotated[Count | None, doc("segments sent again")] = None
    swap_bytes: Annotated[Count | None, doc("swapped, both ways")] = None
    oom_kills: Annotated[Count | None, doc("processes killed because memory ran out")] = None
    throttled_us: Annotated[
        Count | None, doc("time that a quota held it back, us; null: it has no quota")
    ] = None
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
    pid: Annotated[int, doc("process id")]
    cpu_pct: Annotated[float | None, doc("of one core, since the line before; null in the first")]
    cpu_s: Annotated[float | None, doc("processor time since it began, s")] = None
    rss_mb: Annotated[float, doc("memory, 10^6 bytes")]
    fds: Annotated[Count | None, doc("open file descriptors; null: not allowed to look")]
    threads: Annotated[Count, doc("how many")]
    ctx_switches_voluntary: Annotated[Count, doc("since it began")]
    ctx_switches_involuntary: Annotated[Count, doc("since it began")]


class ClockExchange(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line of `probe.clock.jsonl`: a message published, and the time at which it was stored.

    The server's clock minus this host's lies between the two offsets.
    """

    unix_ns: Annotated[UnixNs, doc("when it was sent")]
    phase: Annotated[Literal["before", "during", "after"], doc("of the run")]
    offset_low_ns: Annotated[int, doc("lower bound of the offset")]
    offset_high_ns: Annotated[int, doc("upper bound of the offset")]
    rtt_ns: Annotated[int, doc("of the exchange")]
    server: Annotated[str | None, doc("who stored it, in a cluster")] = None


class MachineFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What a host is. Null: it cannot be known."""

    cpu_count: Annotated[Number | None, doc("cores that it may use; of a quota, a part of one too")]
    mem_total_mb: Annotated[Number | None, doc("that it may use, 10^6 bytes")]
    kernel: Annotated[str | None, doc("release of the kernel")]
    python: Annotated[str | None, doc("version of Python")]
    net_speed_mbit_per_s: Annotated[
        Number | None, doc("of the fastest interface that is a device, as it says")
    ] = None


class OwnCost(msgspec.Struct, frozen=True, kw_only=True):
    """What the probe itself took, until the run had settled."""

    cpu_pct_mean: Annotated[float, doc("of one core")]
    cpu_s: Annotated[float | None, doc("processor time, s")] = None
    rss_mb_max: Annotated[float, doc("memory, the final snapshot included, 10^6 bytes")]


class Samples(msgspec.Struct, frozen=True, kw_only=True):
    """Lines of `probe.host.jsonl`."""

    taken: Annotated[Count, doc("lines")]
    missed: Annotated[Count, doc("seconds that were overslept")]


class NatsSamples(msgspec.Struct, frozen=True, kw_only=True):
    """Lines of `probe.nats.jsonl`."""

    taken: Annotated[Count, doc("lines")]
    with_errors: Annotated[Count, doc("lines with an error")]


class ClockComparison(msgspec.Struct, frozen=True, kw_only=True):
    """The NATS host's clock minus this host's: it lies within `offset_ms` ± `bound_ms`."""

    bound_ms: Annotated[Number, doc("the true offset is within this of offset_ms")]
    offset_ms: Annotated[Number, doc("of the NATS host's clock minus this one's")]
    method: Annotated[str, doc("how it was measured")]
    exchanges: Annotated[Count, doc("how many it is based on")]
    drifting: Annotated[bool, doc("no one offset explains all exchanges")] = False
    stepped: Annotated[bool, doc("not even drift does: a clock was set")] = False
    server: Annotated[str | None, doc("whose clock it was, in a cluster")] = None


class ClockStep(msgspec.Struct, frozen=True, kw_only=True):
    """The host's clock was set, as its monotonic clock shows."""

    unix_ns: Annotated[UnixNs, doc("up to a second later")]
    step_ms: Annotated[Number, doc("by how much; negative: back")]


class ProbeResult(MachineFacts, frozen=True, kw_only=True):
    """`probe.json`, written when the run has settled. Null: of an older probe."""

    host: Annotated[str | None, doc("its name in the inventory")] = None
    own: Annotated[OwnCost, doc("what the probe itself used")]
    samples: Annotated[Samples | None, doc("of the host")] = None
    nats_samples: Annotated[NatsSamples | None, doc("of NATS")] = None
    clock: Annotated[ClockComparison | None, doc("null: there was no exchange")]
    clock_by_server: Annotated[
        list[ClockComparison] | None, doc("in a cluster, by who led the clock's stream")
    ] = None
    clock_steps: Annotated[
        list[ClockStep], doc("of earlier versions; now events of kind `clock_set`")
    ] = []
    problems: Annotated[list[str], doc("what the probe could not do")] = []
