"""What chrony is told if the lab serves time: by the first NATS host, to the lab's hosts only."""

from __future__ import annotations

import jinja2

from tests.support.checkout import CHECKOUT

ENVIRONMENT = jinja2.Environment(
    loader=jinja2.FileSystemLoader(CHECKOUT / "roles/clock/templates"),
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    autoescape=False,
)
ADDRESSES = {"nats-1": "10.0.0.21", "nats-2": "10.0.0.22", "load-1": "fd00::31"}


def told(part: str, host: str) -> list[str]:
    lines = ENVIRONMENT.get_template(f"{part}.j2").render(
        ansible_managed="made by the lab",
        inventory_hostname=host,
        lab_address=ADDRESSES[host],
        clock_server="nats-1",
        clock_hosts=list(ADDRESSES),
        hostvars={
            name: {"lab_listens": {"lab_address": address}} for name, address in ADDRESSES.items()
        },
    )
    return [line for line in lines.splitlines() if not line.startswith("#")]


def test_time_is_served_on_the_labs_address_to_its_hosts() -> None:
    assert told("server", "nats-1") == [
        "local stratum 10",
        "bindaddress 10.0.0.21",
        "allow 10.0.0.22",
        "allow fd00::31",
    ]


def test_it_is_taken_from_the_first_nats_host() -> None:
    [server] = told("client", "load-1")
    assert server.startswith("server 10.0.0.21 ")
