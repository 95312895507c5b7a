"""Facts about this host: machine, kernel, limits, versions. None: cannot be known."""

from __future__ import annotations

import platform
import re
import resource
import subprocess
from importlib import metadata
from pathlib import Path

import msgspec
import psutil

from fpaas.measures.cgroup import Cgroup
from fpaas.records.probe import MachineFacts
from fpaas.records.seal import NATS_SERVER, HostFacts, OpenFiles

#: Kernel settings that bound connections and throughput.
SYSCTLS = (
    "fs.file-max",
    "fs.nr_open",
    "net.core.netdev_max_backlog",
    "net.core.rmem_max",
    "net.core.somaxconn",
    "net.core.wmem_max",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.tcp_congestion_control",
    "net.ipv4.tcp_max_syn_backlog",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_tw_reuse",
    "net.ipv4.tcp_wmem",
    "vm.overcommit_memory",
    "vm.swappiness",
)
_CLOCKSOURCE = Path("/sys/devices/system/clocksource/clocksource0/current_clocksource")
_DMI = Path("/sys/class/dmi/id")
_INTERFACES = Path("/sys/class/net")
#: Vendor or product name in the firmware's tables → who runs this machine.
_HYPERVISORS = {
    "amazon ec2": "amazon",
    "bochs": "qemu",
    "firecracker": "firecracker",
    "google": "google",
    "kvm": "kvm",
    "microsoft": "microsoft",
    "openstack": "openstack",
    "parallels": "parallels",
    "qemu": "qemu",
    "virtualbox": "virtualbox",
    "vmware": "vmware",
    "xen": "xen",
}
_VERSION_TIMEOUT_S = 10


def basic() -> MachineFacts:
    """Return the facts that go into probe.json, too."""
    cgroup = Cgroup.own()
    return MachineFacts(
        cpu_count=cgroup.cores(),
        mem_total_mb=min(
            psutil.virtual_memory().total, cgroup.memory_bytes or psutil.virtual_memory().total
        )
        / 1e6,
        kernel=platform.release(),
        python=platform.python_version(),
        net_speed_mbit_per_s=_net_speed_mbit_per_s(),
    )


def _net_speed_mbit_per_s() -> int | None:
    """Return the speed that the fastest device among interfaces states; None if none does.

    Bridges and the ends of virtual cables name a speed that means nothing.
    """
    speeds = [
        stats.speed
        for name, stats in psutil.net_if_stats().items()
        if stats.isup and stats.speed > 0 and (_INTERFACES / name / "device").exists()
    ]
    return max(speeds, default=None)


def gather(nats_server: Path | None = None) -> HostFacts:
    """Return all facts of this host; `nats_server` is a binary to ask for its version."""
    cpu_info = _read(Path("/proc/cpuinfo")) or ""
    return HostFacts(
        **msgspec.structs.asdict(basic()),
        cpu_model=cpu_model(cpu_info),
        machine=platform.machine(),
        os=os_release(_read(Path("/etc/os-release")) or ""),
        virtualization=virtualization(
            dmi=" ".join(_read(_DMI / name) or "" for name in ("sys_vendor", "product_name")),
            has_hypervisor=" hypervisor" in cpu_info,
        ),
        container=container(
            has_docker_file=Path("/.dockerenv").exists(),
            systemd_container=_read(Path("/run/systemd/container")),
        ),
        clocksource=_read(_CLOCKSOURCE),
        limits=_limits(),
        sysctls={name: _sysctl(name) for name in SYSCTLS},
        versions={
            **_package_versions(),
            NATS_SERVER: nats_server_version(nats_server) if nats_server else None,
        },
    )


def cpu_model(cpu_info: str) -> str | None:
    """Find the processor's name in /proc/cpuinfo; ARM kernels state none."""
    match = re.search(r"^model name\s*:\s*(.+)$", cpu_info, re.MULTILINE)
    return match[1].strip() if match else None


def os_release(text: str) -> str | None:
    """Find the distribution's name in /etc/os-release.

    >>> os_release('ID=debian\\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"')
    'Debian GNU/Linux 12 (bookworm)'
    """
    match = re.search(r'^PRETTY_NAME="?([^"\n]+)"?$', text, re.MULTILINE)
    return match[1] if match else None


def virtualization(*, dmi: str, has_hypervisor: bool) -> str | None:
    """Name the hypervisor from the firmware's tables and the processor's flags.

    None: no sign of one. `unknown hypervisor`: the processor says that there is one, not which.
    """
    for sign, name in _HYPERVISORS.items():
        if sign in dmi.lower():
            return name
    return "unknown hypervisor" if has_hypervisor else None


def container(*, has_docker_file: bool, systemd_container: str | None) -> str | None:
    """Name what contains this host, None if nothing is known to."""
    if systemd_container:
        return systemd_container
    return "docker" if has_docker_file else None


def parse_nats_server_version(output: str) -> str | None:
    """Read `nats-server --version`.

    >>> parse_nats_server_version("nats-server: v2.15.1")
    '2.15.1'
    """
    match = re.search(r"\bv(\d+\.\d+\.\d+\S*)", output)
    return match[1] if match else None


def nats_server_version(binary: Path) -> str | None:
    """Ask a nats-server binary for its version; None if it does not run or does not tell."""
    try:
        done = subprocess.run(  # noqa: S603  the operator names the binary
            [binary, "--version"],
            capture_output=True,
            text=True,
            timeout=_VERSION_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return parse_nats_server_version(done.stdout)


def _limits() -> OpenFiles:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return OpenFiles(
        nofile_soft=None if soft == resource.RLIM_INFINITY else soft,
        nofile_hard=None if hard == resource.RLIM_INFINITY else hard,
    )


def _sysctl(name: str) -> str | None:
    value = _read(Path("/proc/sys") / name.replace(".", "/"))
    return " ".join(value.split()) if value is not None else None


def _package_versions() -> dict[str, str | None]:
    """Return versions of this package and of the libraries that its agents need."""
    requirements = metadata.requires("fpaas") or []
    names = sorted(
        re.split(r"[^\w.-]", requirement, maxsplit=1)[0]
        for requirement in requirements
        if "extra ==" not in requirement
    )
    return {name: _package_version(name) for name in ["fpaas", *names]}


def _package_version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip("\n\0 ")
    except OSError:
        return None
