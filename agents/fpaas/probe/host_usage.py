"""What this host is doing: processor, memory, network, disk."""

from __future__ import annotations

import os
import re
from pathlib import Path

import psutil

from fpaas import common_time
from fpaas.records.probe import HostSample

CpuTimes = dict[str, float]
#: Time in which the host's own work did not run; guest time is part of user time already.
_NOT_BUSY = ("idle", "iowait", "steal")
_COUNTED_ELSEWHERE = ("guest", "guest_nice")
_SNMP = Path("/proc/net/snmp")
_VMSTAT = Path("/proc/vmstat")
_PRESSURE = Path("/proc/pressure")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def cpu_shares_pct(before: CpuTimes, after: CpuTimes) -> dict[str, float | None]:
    """Return busy, stolen and waiting shares between two readings, in per cent of all cores.

    Busy is what this host's work used: stolen time is not in it. None where no time passed.
    """
    # iowait may run backwards (see proc(5)): such a step counts as none.
    spent = {
        name: max(0.0, after[name] - before[name])
        for name in after
        if name not in _COUNTED_ELSEWHERE
    }
    total = sum(spent.values())
    if not total:
        return dict.fromkeys(("cpu_pct", "steal_pct", "iowait_pct"))
    busy = total - sum(spent.get(name, 0.0) for name in _NOT_BUSY)
    return {
        "cpu_pct": 100 * busy / total,
        "steal_pct": 100 * spent["steal"] / total if "steal" in spent else None,
        "iowait_pct": 100 * spent["iowait"] / total if "iowait" in spent else None,
    }


class HostUsage:
    """Samples of the host; shares are of the time since the sample before."""

    def __init__(self) -> None:
        self._cpu_times = _cpu_times()

    def sample(self) -> HostSample:
        """Return a line of probe.host.jsonl."""
        before, self._cpu_times = self._cpu_times, _cpu_times()
        memory = psutil.virtual_memory()
        shares, disk = cpu_shares_pct(before, self._cpu_times), _disk()
        pressed = memory_events(_read(_VMSTAT))
        return HostSample(
            unix_ns=common_time.now_ns(),
            cpu_pct=shares["cpu_pct"],
            steal_pct=shares["steal_pct"],
            iowait_pct=shares["iowait_pct"],
            mem_mb=(memory.total - memory.available) / 1e6,
            mem_total_mb=memory.total / 1e6,
            load1=os.getloadavg()[0],
            **_network(),
            disk_read_bytes=disk["disk_read_bytes"],
            disk_write_bytes=disk["disk_write_bytes"],
            tcp_retransmits=tcp_retransmits(_read(_SNMP)),
            swap_bytes=pressed["swap_bytes"],
            oom_kills=pressed["oom_kills"],
            cpu_pressure_us=pressure_us(_read(_PRESSURE / "cpu")),
            memory_pressure_us=pressure_us(_read(_PRESSURE / "memory")),
            io_pressure_us=pressure_us(_read(_PRESSURE / "io")),
        )


def tcp_retransmits(snmp: str) -> int | None:
    """Find segments sent again in /proc/net/snmp; None where it does not say.

    >>> tcp_retransmits("Tcp: OutSegs RetransSegs\\nTcp: 100 3")
    3
    """
    names: list[str] = []
    values: list[str] = []
    for line in snmp.splitlines():
        if line.startswith("Tcp:"):
            names, values = values, line.split()
    return int(values[names.index("RetransSegs")]) if "RetransSegs" in names else None


def memory_events(vmstat: str) -> dict[str, int | None]:
    """Find bytes swapped, both ways, and processes killed for want of memory in /proc/vmstat."""
    counts = dict(line.split() for line in vmstat.splitlines())
    pages = [counts.get(name) for name in ("pswpin", "pswpout")]
    known = [int(count) for count in pages if count is not None]
    kills = counts.get("oom_kill")
    return {
        "swap_bytes": sum(known) * _PAGE_BYTES if known else None,
        "oom_kills": None if kills is None else int(kills),
    }


def pressure_us(content: str) -> int | None:
    """Find how long some task waited for a resource; None where the kernel does not say.

    >>> pressure_us("some avg10=0.00 avg60=0.00 avg300=0.00 total=17\\nfull avg10=0.00 total=3")
    17
    """
    match = re.match(r"some .*total=(\d+)", content)
    return int(match[1]) if match else None


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii")
    except OSError:
        return ""


def _cpu_times() -> CpuTimes:
    return psutil.cpu_times()._asdict()


def _network() -> dict[str, int]:
    # The loopback apart: on a lab of one host it is all the lab's traffic, on others it is none.
    counters = psutil.net_io_counters(pernic=True, nowrap=False)
    loopback = counters.pop("lo", None)
    return {
        "net_rx_bytes": sum(counter.bytes_recv for counter in counters.values()),
        "net_tx_bytes": sum(counter.bytes_sent for counter in counters.values()),
        "loopback_bytes": loopback.bytes_recv if loopback else 0,
        "net_errors": sum(counter.errin + counter.errout for counter in counters.values()),
        "net_drops": sum(counter.dropin + counter.dropout for counter in counters.values()),
    }


def _disk() -> dict[str, int | None]:
    counters = psutil.disk_io_counters(perdisk=False, nowrap=False)
    return {
        "disk_read_bytes": counters.read_bytes if counters else None,
        "disk_write_bytes": counters.write_bytes if counters else None,
    }
