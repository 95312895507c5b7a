"""Has hosts measure the network between them, while nothing else uses it."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from fpaas.control.host_part import HostPart
from fpaas.control.lab_host import Host, checked, everywhere

#: How long a host lets others measure the network to it.
PATIENCE_S = 15.0
PATIENCE_FOR_EACH_S = 2.0


class Network(msgspec.Struct, frozen=True):
    """What is known of the network between hosts, and how many measure it.

    `note` is the file that names for whom it was measured, `noted` what is in it by then.
    """

    talkers: int
    is_known: bool
    note: str
    noted: str


def measure(
    parts: Mapping[str, HostPart],
    hosts: Mapping[str, Host],
    network: Network,
    run_id: str,
    show: Callable[[str], None],
) -> bool:
    """Measure; returns whether nothing is missing.

    What cannot be measured is said, and measured again for the next run. It hinders nothing.
    """
    token = f"{secrets.token_hex(16)}\n"
    serving = {name: hosts[name] for name, part in parts.items() if part.clients}
    measuring = {name: hosts[name] for name, part in parts.items() if part.servers}

    def serve(name: str, host: Host) -> None:
        part = parts[name]
        patience_s = PATIENCE_S + PATIENCE_FOR_EACH_S * part.clients
        checked(host, part.serve_network(patience_s), token)

    def ask(name: str, host: Host) -> str:
        script = parts[name].measure_network(run_id, name, network.talkers)
        return checked(host, script, token).stdout.strip("\n")

    served = everywhere(serving, serve)
    measured = everywhere(measuring, ask)
    gaps = {name: f" to {said}" for name, said in measured.of.items() if said}
    gaps |= {name: f": {error}" for name, error in (served.errors | measured.errors).items()}
    for name, what in gaps.items():
        show(f"{name}: the network was not measured{what}")
    note = Path(network.note)
    note.parent.mkdir(parents=True, exist_ok=True)
    note.write_text("" if gaps else network.noted, encoding="utf-8")
    return not gaps
