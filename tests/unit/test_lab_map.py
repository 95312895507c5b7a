"""Who plays what, listens where and talks to whom."""

from __future__ import annotations

from typing import Any

import pytest

from fpaas.control import lab_map
from fpaas.jetstream.nats_address import NatsAddress
from fpaas.spec import SpecError

GROUPS = {
    "all": ["r", "n1", "n2", "n3", "s", "c1", "c2", "web"],
    "relay": ["r"],
    "nats": ["n1", "n2", "n3"],
    "shuffler": ["s"],
    "consumers": ["c1", "c2"],
}
ALONE = {part: ["localhost"] for part in lab_map.PARTS}
PORTS: dict[str, Any] = {
    "relay_port": 1,
    "nats_port": 2,
    "nats_monitoring_port": 3,
    "nats_cluster_port": 4,
    "shuffler_metrics_port": 5,
    "consumers_metrics_port": 6,
    "relay_metrics_port": 7,
    "probe_metrics_port": 8,
    "network_port": 7,
}


def hosts(groups: dict[str, list[str]], **others: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {
        host: {**PORTS, "lab_address": f"at-{host}", **others.get(host, {})}
        for host in lab_map.hosts_of(groups)
    }


def test_a_host_plays_the_parts_whose_groups_it_is_in() -> None:
    plays = lab_map.draw(GROUPS, hosts(GROUPS), own_relay=True)["plays"]
    assert {host: play["services"] for host, play in plays.items()} == {
        "r": ["relay", "probe"],
        "n1": ["probe", "nats"],
        "n2": ["probe", "nats"],
        "n3": ["probe", "nats"],
        "s": ["shuffler", "probe"],
        "c1": ["consumers", "probe"],
        "c2": ["consumers", "probe"],
    }
    assert lab_map.agents_of("localhost", ALONE, own_relay=True) == [
        *("relay", "shuffler", "consumers", "probe")
    ]


def test_a_foreign_firehose_needs_no_relay() -> None:
    assert lab_map.agents_of("r", GROUPS, own_relay=False) == ["probe"]
    assert lab_map.servers_of("s", GROUPS, own_relay=False) == ["n1", "n2", "n3"]
    assert "r" not in lab_map.talkers(GROUPS, own_relay=False)


def test_each_pair_of_hosts_that_talk_is_measured_once() -> None:
    plays = lab_map.draw(GROUPS, hosts(GROUPS), own_relay=True)["plays"]
    links = [(h, s.partition("=")[0]) for h, play in plays.items() for s in play["servers"]]
    assert sorted(links) == sorted(
        [
            *(("s", "r"), ("s", "n1"), ("s", "n2"), ("s", "n3")),
            *((c, n) for c in ("c1", "c2") for n in ("n1", "n2", "n3")),
            *(("n1", "n2"), ("n1", "n3"), ("n2", "n3")),
        ]
    )
    clients = {(client, host) for host, play in plays.items() for client in play["clients"]}
    assert clients == set(links)
    assert plays["s"]["servers"][0] == "r=at-r:7"


def test_one_host_talks_to_nobody() -> None:
    drawn = lab_map.draw(ALONE, hosts(ALONE), own_relay=True)
    assert drawn["talkers"] == []
    assert drawn["plays"]["localhost"]["servers"] == []
    assert drawn["plays"]["localhost"]["clients"] == []


def test_every_server_is_at_its_own_address_and_port() -> None:
    drawn = lab_map.draw(GROUPS, hosts(GROUPS, n2={"nats_port": 22}), own_relay=True)
    assert drawn["topology"] == {
        "hosts": {**{k: v for k, v in GROUPS.items() if k != "all"}, "monitoring": []},
        "nats_url": "nats://at-n1:2,nats://at-n2:22,nats://at-n3:2",
        "nats_monitoring_url": "http://127.0.0.1:3",
        "relay_url": "ws://at-r:1",
        "addresses": {host: f"at-{host}" for host in lab_map.hosts_of(GROUPS)},
    }
    assert drawn["cluster_addresses"] == ["at-n1:4", "at-n2:4", "at-n3:4"]


def test_probes_ask_their_servers_at_one_port() -> None:
    with pytest.raises(SpecError, match="nats_monitoring_port"):
        lab_map.draw(GROUPS, hosts(GROUPS, n2={"nats_monitoring_port": 9}), own_relay=True)


@pytest.mark.parametrize("groups", [{}, {"nats": ["n"]}, {"relay": ["r"]}])
def test_an_inventory_without_a_group_gets_as_far_as_the_plan_that_refuses_it(
    groups: dict[str, list[str]],
) -> None:
    drawn = lab_map.draw(groups, hosts(groups), own_relay=True)
    assert drawn["topology"]["hosts"]["consumers"] == []


def test_ports_of_what_a_host_plays() -> None:
    def names(host: str, *, own_relay: bool = True, up: tuple[str, ...] = ()) -> list[str]:
        found = lab_map.ports_of(host, GROUPS, PORTS, own_relay=own_relay, up=up)
        return list(found)

    probe = "probe_metrics_port"
    assert names("r") == ["relay_port", "relay_metrics_port", probe]
    assert names("r", own_relay=False) == [probe]
    assert names("n1") == ["nats_port", "nats_monitoring_port", probe, "nats_cluster_port"]
    assert names("n1", up=("nats",)) == [probe]
    assert names("c1") == ["consumers_metrics_port", probe]
    alone = lab_map.ports_of("localhost", ALONE, PORTS, own_relay=True, up=())
    assert "nats_cluster_port" not in alone
    assert len(alone) == 7


def test_ports_of_a_host_that_watches() -> None:
    groups = {**GROUPS, "monitoring": ["m"]}

    def names(grafana_port: int | None, *up: str) -> list[str]:
        ports = {**PORTS, "prometheus_port": 9, "grafana_port": grafana_port}
        return list(lab_map.ports_of("m", groups, ports, own_relay=True, up=up))

    probe = "probe_metrics_port"
    assert names(None) == [probe, "prometheus_port"]
    assert names(3001) == [probe, "prometheus_port", "grafana_port"]
    assert names(3001, "prometheus") == [probe, "grafana_port"]
    assert names(3001, "prometheus", "grafana") == [probe]


def test_a_host_that_the_play_leaves_out_is_at_its_own_address() -> None:
    noted = {**PORTS, "lab_address": "10.0.0.1"}
    assert lab_map.listens({"lab_listens": noted}, {}, "n") == noted
    assert lab_map.listens({"ansible_host": "10.0.0.2"}, noted, "n")["lab_address"] == "10.0.0.2"
    assert lab_map.listens({}, noted, "n") == {**PORTS, "lab_address": "n"}


@pytest.mark.parametrize(
    ("address", "written"),
    [("10.0.0.1", "10.0.0.1:4222"), ("nats", "nats:4222"), ("fd00::1", "[fd00::1]:4222"),
     ("[fd00::1]", "[fd00::1]:4222")],
)  # fmt: skip
def test_an_ipv6_address_has_brackets_wherever_it_stands(address: str, written: str) -> None:
    assert lab_map.endpoint(address, 4222) == written
    hosts = {"one": {**dict.fromkeys(PORTS, 4222), "lab_address": address}}
    groups = {group: ["one"] for group in lab_map.PARTS}
    drawn = lab_map.topology(groups, hosts)
    assert drawn["nats_url"] == f"nats://{written}"
    assert drawn["relay_url"] == f"ws://{written}"
    assert str(NatsAddress.parse(drawn["nats_url"]).servers[0]) == written
