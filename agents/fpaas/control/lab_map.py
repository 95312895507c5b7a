"""A lab's map, from its inventory: which host plays what, listens where and talks to which.

Pure logic: inventory groups and each host's own address and ports in, a map out.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from fpaas.spec import SpecError

#: Parts of the load, in the data's way; the group of each has its name.
PARTS = ("relay", "nats", "shuffler", "consumers")
#: Its hosts watch the others; their own probe tells what that costs.
MONITORING = "monitoring"
#: On the same hosts, of a lab that has one.
GRAFANA = "grafana"
#: Groups as run.json has them.
GROUPS = (*PARTS, MONITORING)
#: On every host.
PROBE = "probe"
#: Services that a host listens with, by the part that it plays.
PORTS = {
    "relay": ("relay_port", "relay_metrics_port"),
    "nats": ("nats_port", "nats_monitoring_port"),
    "shuffler": ("shuffler_metrics_port",),
    "consumers": ("consumers_metrics_port",),
    PROBE: ("probe_metrics_port",),
    MONITORING: ("prometheus_port",),
    GRAFANA: ("grafana_port",),
}
#: Prometheus's jobs: the port on which an agent serves /metrics.
METRICS_PORTS = {
    "relay": "relay_metrics_port",
    "shuffler": "shuffler_metrics_port",
    "consumers": "consumers_metrics_port",
    PROBE: "probe_metrics_port",
}
CLUSTER_PORT = "nats_cluster_port"

Groups = Mapping[str, Iterable[str]]


def endpoint(address: str, port: object) -> str:
    """Write an address and a port as URLs and configurations have them.

    >>> endpoint("fd00::1", 4222)
    '[fd00::1]:4222'
    """
    is_bare_ipv6 = ":" in address and not address.startswith("[")
    return f"[{address}]:{port}" if is_bare_ipv6 else f"{address}:{port}"


def members(groups: Groups) -> dict[str, list[str]]:
    """Return the hosts of each group that a run knows; a group that is missing has none."""
    return {group: list(groups.get(group) or ()) for group in GROUPS}


def hosts_of(groups: Groups) -> list[str]:
    """Return all hosts of a lab, each once, in the data's way; those that only watch come last."""
    known = members(groups)
    return list(dict.fromkeys(host for group in GROUPS for host in known[group]))


def agents_of(host: str, groups: Groups, *, own_relay: bool) -> list[str]:
    """Return the agents that a host plays; `own_relay`: the firehose is the lab's own."""
    known = members(groups)
    played = [part for part in ("relay", "shuffler", "consumers") if host in known[part]]
    if not own_relay and "relay" in played:
        played.remove("relay")
    return [*played, PROBE]


def ports_of(
    host: str, groups: Groups, ports: Mapping[str, Any], *, own_relay: bool, up: Collection[str]
) -> dict[str, Any]:
    """Return the ports that must be free on a host before a run, by their variables' names.

    `ports` has all of the host's, Grafana's None if there is none; `up` are the lab's own services
    that hold theirs already.
    """
    known = members(groups)
    parts = agents_of(host, groups, own_relay=own_relay)
    if host in known["nats"] and "nats" not in up:
        parts.append("nats")
    if host in known[MONITORING] and "prometheus" not in up:
        parts.append(MONITORING)
    if host in known[MONITORING] and GRAFANA not in up and ports["grafana_port"] is not None:
        parts.append(GRAFANA)
    names = [name for part, own in PORTS.items() if part in parts for name in own]
    if "nats" in parts and len(known["nats"]) > 1:
        names.append(CLUSTER_PORT)
    return {name: ports[name] for name in names}


def topology(groups: Groups, hosts: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return where a run's parts listen, as `fpaas plan --topology` takes it.

    `hosts` has `lab_address` and the ports of each host by its name. A group that is missing is for
    the plan to refuse, with its name. Raises SpecError if probes could not all ask their servers in
    the same way.
    """
    known = members(groups)
    monitoring = {host: str(hosts[host]["nats_monitoring_port"]) for host in known["nats"]}
    if len(set(monitoring.values())) > 1:
        said = ", ".join(f"{host}: {port}" for host, port in monitoring.items())
        raise SpecError(f"nats_monitoring_port: must be the same on all NATS hosts ({said})")
    # The relay that the shuffler subscribes to; without one the source is another's.
    at = next(iter((*known["relay"], *known["shuffler"], *hosts)), None)
    return {
        "hosts": known,
        "nats_url": ",".join(
            f"nats://{endpoint(hosts[host]['lab_address'], hosts[host]['nats_port'])}"
            for host in known["nats"]
        ),
        # Read by the probe on each NATS host.
        "nats_monitoring_url": f"http://127.0.0.1:{next(iter(monitoring.values()), 8222)}",
        "relay_url": f"ws://{endpoint(hosts[at]['lab_address'], hosts[at]['relay_port'])}"
        if at
        else "",
        "addresses": {host: hosts[host]["lab_address"] for host in hosts_of(groups)},
    }


def listens(variables: Mapping[str, Any], here: Mapping[str, Any], host: str) -> Mapping[str, Any]:
    """Return where a host listens: as it noted itself (`lab_listens`).

    A host that the play leaves out listens as `here` does, on its own address.
    """
    if "lab_listens" in variables:
        noted: Mapping[str, Any] = variables["lab_listens"]
        return noted
    address = variables.get("lab_address", variables.get("ansible_host", host))
    return {**here, "lab_address": address}


def talkers(groups: Groups, *, own_relay: bool) -> list[str]:
    """Return the hosts that talk to each other in a run; none if they are but one."""
    known = members(groups)
    relays = known["relay"] if own_relay else []
    order = (*relays, *known["nats"], *known["shuffler"], *known["consumers"])
    found = list(dict.fromkeys(order))
    return found if len(found) > 1 else []


def servers_of(host: str, groups: Groups, *, own_relay: bool) -> list[str]:
    """Return the other hosts that a host connects to in a run.

    The servers of a cluster connect to those behind them, so that each pair is measured once.
    """
    known = members(groups)
    found: list[str] = []
    if own_relay and host in known["shuffler"]:
        found += known["relay"]
    if host in known["shuffler"] or host in known["consumers"]:
        found += known["nats"]
    if host in known["nats"]:
        found += known["nats"][known["nats"].index(host) + 1 :]
    return [other for other in dict.fromkeys(found) if other != host]


def clients_of(host: str, groups: Groups, *, own_relay: bool) -> list[str]:
    """Return the other hosts that connect to a host in a run."""
    return [
        other
        for other in talkers(groups, own_relay=own_relay)
        if host in servers_of(other, groups, own_relay=own_relay)
    ]


def scrape_targets(
    groups: Groups, hosts: Mapping[str, Mapping[str, Any]], *, own_relay: bool
) -> dict[str, list[dict[str, Any]]]:
    """Return what Prometheus is to scrape, by job, each with its host's name as a label.

    >>> at = {"a": {"lab_address": "fd00::1", "probe_metrics_port": 8084}}
    >>> scrape_targets({"monitoring": ["a"]}, at, own_relay=True)
    {'probe': [{'targets': ['[fd00::1]:8084'], 'labels': {'host': 'a'}}]}
    """
    found: dict[str, list[dict[str, Any]]] = {}
    for host in hosts_of(groups):
        for agent in agents_of(host, groups, own_relay=own_relay):
            at = endpoint(hosts[host]["lab_address"], hosts[host][METRICS_PORTS[agent]])
            found.setdefault(agent, []).append({"targets": [at], "labels": {"host": host}})
    return found


def draw(
    groups: Groups, hosts: Mapping[str, Mapping[str, Any]], *, own_relay: bool
) -> dict[str, Any]:
    """Draw the map: `topology`, `scrape_targets`, `talkers`, where NATS is, what each host plays.

    `plays[host]` has `agents`, `services` (with NATS), `servers` (`name=address:port` of each host
    that it measures the network to, IPv6 in brackets) and `clients` (names). Raises SpecError.
    """
    known = members(groups)
    plays = {}
    for host in hosts_of(groups):
        agents = agents_of(host, groups, own_relay=own_relay)
        plays[host] = {
            "agents": agents,
            "services": [*agents, *(["nats"] if host in known["nats"] else [])],
            "servers": [
                f"{other}={endpoint(hosts[other]['lab_address'], hosts[other]['network_port'])}"
                for other in servers_of(host, groups, own_relay=own_relay)
            ],
            "clients": clients_of(host, groups, own_relay=own_relay),
        }
    return {
        "topology": topology(groups, hosts),
        "scrape_targets": scrape_targets(groups, hosts, own_relay=own_relay),
        "talkers": talkers(groups, own_relay=own_relay),
        "plays": plays,
        "nats_addresses": {host: hosts[host]["lab_address"] for host in known["nats"]},
        "cluster_addresses": [
            endpoint(hosts[host]["lab_address"], hosts[host][CLUSTER_PORT])
            for host in known["nats"]
        ],
    }
