"""Use of this host: processor, memory, network, disk."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterable
from pathlib import Path

import psutil

from fpaas import common_time
from fpaas.measures.cgroup import Cgroup
from fpaas.records.probe import HostSample

CpuTimes = dict[str, float]
#: Time in which the host's own work did not run; guest time is part of user time already.
_NOT_BUSY = ("idle", "iowait", "steal")
_COUNTED_ELSEWHERE = ("guest", "guest_nice")
_SNMP = Path("/proc/net/snmp")
_VMSTAT = Path("/proc/vmstat")
_PRESSURE = Path("/proc/pressure")
_INTERFACES = Path("/sys/class/net")
#: ARPHRD_NONE (WireGuard, tun), ARPHRD_TUNNEL, ARPHRD_TUNNEL6, ARPHRD_SIT, ARPHRD_IPGRE.
_TUNNELS = ("65534", "768", "769", "776", "778")
_MEMORY_EVENTS = re.compile(r"^(pswpin|pswpout|oom_kill) (\d+)$", re.MULTILINE)
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def cpu_shares_pct(before: CpuTimes, after: CpuTimes) -> dict[str, float | None]:
    """Return busy, stolen and waiting shares between two readings, in per cent of all cores.

    Busy is the time that this host's work used, without stolen time. None if no time passed.
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

    def __init__(self, cgroup: Cgroup | None = None) -> None:
        self._cgroup = cgroup or Cgroup.own()
        self._cpu_times = _cpu_times()
        self._used_us = self._cgroup.cpu_used_us()
        self._looked_ns = time.monotonic_ns()

    def sample(self) -> HostSample:
        """Return a line of probe.host.jsonl."""
        cgroup = self._cgroup
        before, self._cpu_times = self._cpu_times, _cpu_times()
        memory = psutil.virtual_memory()
        shares, disk = cpu_shares_pct(before, self._cpu_times), _disk()
        busy_pct = self._busy_of_quota_pct()
        pressed = memory_events(_read(_VMSTAT))
        used_bytes, total_bytes = memory.total - memory.available, memory.total
        if cgroup.memory_bytes is not None and cgroup.memory_bytes < total_bytes:
            total_bytes = cgroup.memory_bytes
            used_bytes = cgroup.memory_used_bytes() or 0
        oom_kills = cgroup.oom_kills()
        return HostSample(
            unix_ns=common_time.now_ns(),
            cpu_pct=shares["cpu_pct"] if busy_pct is None else busy_pct,
            steal_pct=shares["steal_pct"],
            iowait_pct=shares["iowait_pct"],
            mem_mb=used_bytes / 1e6,
            mem_total_mb=total_bytes / 1e6,
            load1=os.getloadavg()[0],
            **_network(),
            disk_read_bytes=disk["disk_read_bytes"],
            disk_write_bytes=disk["disk_write_bytes"],
            tcp_retransmits=tcp_retransmits(_read(_SNMP)),
            swap_bytes=pressed["swap_bytes"],
            oom_kills=pressed["oom_kills"] if oom_kills is None else oom_kills,
            throttled_us=cgroup.throttled_us(),
            cpu_pressure_us=pressure_us(cgroup.pressure("cpu") or _read(_PRESSURE / "cpu")),
            memory_pressure_us=pressure_us(
                cgroup.pressure("memory") or _read(_PRESSURE / "memory")
            ),
            io_pressure_us=pressure_us(cgroup.pressure("io") or _read(_PRESSURE / "io")),
        )

    def _busy_of_quota_pct(self) -> float | None:
        """Return what was used of a quota since the sample before; None if there is none."""
        used_us, now_ns = self._cgroup.cpu_used_us(), time.monotonic_ns()
        before_us, self._used_us = self._used_us, used_us
        took_us, self._looked_ns = (now_ns - self._looked_ns) / 1000, now_ns
        if used_us is None or before_us is None or took_us <= 0:
            return None
        if self._cgroup.cpu_cores is None or self._cgroup.cpu_cores > self._cgroup.cores():
            return None
        return 100 * (used_us - before_us) / took_us / self._cgroup.cpu_cores


def tcp_retransmits(snmp: str) -> int | None:
    """Find segments sent again in /proc/net/snmp; None if it does not say.

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
    """Find in /proc/vmstat bytes swapped, both ways, and processes killed as memory ran out."""
    counts = {name: int(count) for name, count in _MEMORY_EVENTS.findall(vmstat)}
    swapped = [counts[name] for name in ("pswpin", "pswpout") if name in counts]
    return {
        "swap_bytes": sum(swapped) * _PAGE_BYTES if swapped else None,
        "oom_kills": counts.get("oom_kill"),
    }


def pressure_us(content: str) -> int | None:
    """Find how long some task waited for a resource; None if the kernel does not say.

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


def counted_once(names: Iterable[str], interfaces: Path = _INTERFACES) -> set[str]:
    """Return the interfaces whose bytes no other one counts as well.

    Bridges, bonds and VLANs count what those below them do; what virtual cables and tunnels carry
    stays on the host, or leaves it by another interface.
    """
    there = set(names)
    entries = {name: _entries(interfaces / name) for name in there}
    stacked = {name for name in there if any(one.startswith("lower_") for one in entries[name])}
    inner = {
        name
        for name in there - stacked
        if "device" not in entries[name]
        and ("master" in entries[name] or _is_tunnel(interfaces / name))
    }
    # If a container's only interface is a tunnel, that is its network.
    return there - stacked - inner or there - stacked or there


def _entries(interface: Path) -> list[str]:
    """List what the kernel says of an interface; nothing if it has gone."""
    try:
        # PTH208: half the time of iterdir, each second and for each interface.
        return os.listdir(interface)  # noqa: PTH208
    except OSError:
        return []


def _is_tunnel(interface: Path) -> bool:
    return _read(interface / "type").strip() in _TUNNELS


def _network() -> dict[str, int]:
    # The loopback apart: on a lab of one host it is all the lab's traffic, on others it is none.
    counters = psutil.net_io_counters(pernic=True, nowrap=False)
    loopback = counters.pop("lo", None)
    outer = counted_once(counters)
    counters = {name: counter for name, counter in counters.items() if name in outer}
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
