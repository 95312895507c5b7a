"""Faults of a host's network: cut off from others (nft), slow (tbf), late (netem). As root."""

from __future__ import annotations

import ipaddress
import json
import socket
from collections.abc import Iterable

from fpaas.faults.injection import InjectionError
from fpaas.faults.undo import Run, Undo, UndoError, run
from fpaas.records.events import Value
from fpaas.spec import Fault

#: The handle that marks a queueing discipline as the lab's, for cleaning up.
HANDLE = "f9aa:"
#: The burst of a capped link, in seconds of its rate and at least …
BURST_S = 0.01
BURST_MIN_BYTES = 32_000
#: … and how long a packet waits before it is dropped.
QUEUE_MS = 400
#: Messages of nft and tc if there is nothing to remove.
ABSENT = ["No such file or directory", "Invalid handle", "Cannot delete qdisc with handle of zero"]


class Partition:
    """No packet goes between this host and others, in either direction."""

    def __init__(self, number: int, addresses: Iterable[str]) -> None:
        self._table = f"fpaas_fault_{number}"
        self._addresses = sorted({one for name in addresses for one in _resolved(name)})
        self.undo: list[Undo] = [Run(["nft", "delete", "table", "inet", self._table], ABSENT)]

    def begin(self) -> None:
        """Cut, all at once. Raises InjectionError."""
        _run(["nft", "-f", "-"], self.rules())

    def rules(self) -> str:
        """Return the rules, as `nft -f` takes them."""
        lines = []
        for chain, side in (("input", "saddr"), ("output", "daddr")):
            drops = [f"ip{'6' if ':' in one else ''} {side} {one} drop" for one in self._addresses]
            hook = f"type filter hook {chain} priority -300; policy accept;"
            lines.append(f"chain {chain} {{ {hook} {'; '.join(drops)}; }}")
        return f"table inet {self._table} {{\n" + "\n".join(lines) + "\n}\n"

    def parameters(self) -> dict[str, Value]:
        """Return the addresses that it is cut off from."""
        return {"addresses": ", ".join(self._addresses)}


class Slow:
    """Traffic from this host to others goes through a narrow link, or arrives later."""

    def __init__(self, addresses: Iterable[str], kind: list[str]) -> None:
        self._kind = kind
        self._devices = sorted({_device(one) for name in addresses for one in _resolved(name)})
        for device in self._devices:
            _check_free(device)
        self.undo: list[Undo] = [
            Run(["tc", "qdisc", "del", "dev", device, "root", "handle", HANDLE], ABSENT)
            for device in self._devices
        ]

    def begin(self) -> None:
        """Begin on every device that leads to others. Raises InjectionError."""
        for device in self._devices:
            _run(["tc", "qdisc", "add", "dev", device, "root", "handle", HANDLE, *self._kind])

    def parameters(self) -> dict[str, Value]:
        """Return the devices."""
        return {"devices": ", ".join(self._devices)}


def slow(fault: Fault, addresses: Iterable[str]) -> Slow:
    """Return a link that is capped, or delays everything without dropping any of it."""
    if fault.mbit_per_s is not None:
        bits_per_s = round(fault.mbit_per_s * 1e6)
        burst_bytes = max(BURST_MIN_BYTES, round(bits_per_s / 8 * BURST_S))
        rate = ["rate", f"{bits_per_s}bit", "burst", f"{burst_bytes}b"]
        return Slow(addresses, ["tbf", *rate, "latency", f"{QUEUE_MS}ms"])
    delay_us = round(1000 * (fault.delay_ms or 0.0))
    return Slow(addresses, ["netem", "delay", f"{delay_us}us", "limit", "1000000"])


def _resolved(name: str) -> set[str]:
    """Return the addresses of a name. Raises InjectionError."""
    try:
        found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except OSError as error:
        raise InjectionError(f"{name}: is not an address: {error}") from error
    return {str(ipaddress.ip_address(str(one[4][0]).partition("%")[0])) for one in found}


def _device(address: str) -> str:
    """Return the device that leads to an address. Raises InjectionError."""
    try:
        [route] = json.loads(_run(["ip", "-json", "route", "get", address]))
        return str(route["dev"])
    except (ValueError, KeyError) as error:
        raise InjectionError(f"{address}: `ip route get` does not say where it is") from error


def _check_free(device: str) -> None:
    """Refuse a device that is shaped by others, or loops back. Raises InjectionError."""
    if device == "lo":
        raise InjectionError("the other hosts are on this one: there is no link between them")
    listed = json.loads(_run(["tc", "-json", "qdisc", "show", "dev", device, "root"]) or "[]")
    if any(one.get("handle") not in (None, "0:", HANDLE) and one.get("root") for one in listed):
        kinds = ", ".join(str(one.get("kind")) for one in listed)
        raise InjectionError(f"{device}: is shaped by others already ({kinds})")


def _run(argv: list[str], text: str | None = None) -> str:
    try:
        return run(argv, text)
    except UndoError as error:
        raise InjectionError(str(error)) from error
