"""A lab in a cloud: its parts, its cost, and why a cloud refused it."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

#: On everything that a lab makes; its value is the lab's name. Keys that both clouds allow.
LAB_LABEL = "fpaas.lab"
#: Until when a lab may live, in seconds since 1970.
ENDS_LABEL = "fpaas.ends"
#: The parts that a host plays; the example inventories of clouds go by them, too.
PART_LABEL = "fpaas"
NAME = re.compile(r"[a-z]([a-z0-9-]{0,30}[a-z0-9])?")
PARTS = ("relay", "nats", "shuffler", "consumers")
ALLOWED = {"relay": (0, 1), "nats": (1, 3), "shuffler": (1,)}
#: Codes of errors that mean a limit of the account, or no room in the data centre.
QUOTA = re.compile(
    r"\b(\w*[lL]imit_?[eE]xceeded|Max\w*LimitExceeded|MaxSpotInstanceCountExceeded)\b"
)
NO_ROOM = re.compile(r"\b(resource_unavailable|placement_error|Insufficient\w*Capacity)\b")
TITLE = {"hetzner": "Hetzner Cloud", "aws": "AWS"}
MORE = {
    "hetzner": "https://console.hetzner.cloud, Limits",
    "aws": "https://console.aws.amazon.com/servicequotas",
}


@dataclass(frozen=True)
class Cost:
    """Per hour; `amount` is null if the price of any size is unknown."""

    amount: float | None
    currency: str
    unknown: tuple[str, ...]
    source: str

    def sentence(self, hours: float) -> str:
        """Say it, for the lab's whole life, too."""
        if self.amount is None:
            return f"cost unknown: no price is known of {', '.join(self.unknown)} here"
        whole = f"{self.amount * hours:.2f} {self.currency} in {round(hours, 1):g} h"
        return f"about {self.amount:.3f} {self.currency} an hour, {whole} ({self.source})"


def hosts_of(counts: Mapping[str, Any], sizes: Mapping[str, str]) -> list[dict[str, str]]:
    """Return name, part and size of each host.

    Raises:
        ValueError: if that is not a lab

    """
    for given, what in ((counts, "cloud_count"), (sizes, "cloud_sizes")):
        for part in given:
            if part not in PARTS:
                raise ValueError(f"{what}: {part!r} is not a part; allowed: {', '.join(PARTS)}")
    hosts = []
    for part in PARTS:
        count = counts.get(part, 0)
        if not str(count).isdecimal() or int(count) not in ALLOWED.get(part, range(1, 100)):
            allowed = " or ".join(map(str, ALLOWED.get(part, ("1 to 99",))))
            raise ValueError(f"cloud_count: {part}: {count!r} is not allowed; allowed: {allowed}")
        hosts += [
            {"name": f"{part}-{number + 1}", "part": part, "size": str(sizes[part])}
            for number in range(int(count))
        ]
    return hosts


def cost_of(hosts: Iterable[Mapping[str, str]], region: str, prices: Mapping[str, Any]) -> Cost:
    """Add up what hosts cost an hour, each with its public address.

    `prices` has currency, source, and by region the price of each size; `address` is that of an
    address.
    """
    here = prices["regions"].get(region, {})
    wanted = [*(host["size"] for host in hosts)]
    unknown = tuple(dict.fromkeys(size for size in ["address", *wanted] if here.get(size) is None))
    amount = None if unknown else sum(here[size] + here["address"] for size in wanted)
    return Cost(amount, prices["currency"], unknown, prices["source"])


def plan(
    counts: Mapping[str, Any],
    sizes: Mapping[str, str],
    *,
    name: str,
    provider: str,
    region: str,
    prices: Mapping[str, Any],
    things: Iterable[Mapping[str, Any]],
    lifetime_h: float,
    now_s: int,
) -> dict[str, Any]:
    """Say what is going to be made; a lab that exists keeps its end.

    Returns:
        `hosts`, `ends` in seconds since 1970, `exists`, and `text`, for people

    Raises:
        ValueError: if it cannot be, with what to do

    """
    if not NAME.fullmatch(name):
        raise ValueError(
            f"cloud_name: {name!r} is not allowed; allowed: small letters, digits and '-', "
            "the first a letter, at most 32 of them"
        )
    if not 0 < lifetime_h <= 24 * 30:
        raise ValueError(f"cloud_lifetime_h: {lifetime_h:g} is not allowed; allowed: up to 720")
    hosts, things = hosts_of(counts, sizes), list(things)
    own = [thing for thing in things if thing["lab"] == name]
    elsewhere = {thing["region"] for thing in own if thing["region"]} - {region}
    if elsewhere and provider == "aws":
        raise ValueError(
            f"A lab {name} is in {', '.join(sorted(elsewhere))} already: "
            "take it down first (make cloud-down), or give this one another cloud_name."
        )
    ours = {name, *(f"{name}-{host['name']}" for host in hosts)}
    foreign = [t for t in things if t["name"] in ours and t["lab"] != name]
    if foreign:
        raise ValueError(
            f"{', '.join(t['title'] for t in foreign)}: is there already, and not this lab's "
            f"(without the label {LAB_LABEL}={name}). It is left alone; take another cloud_name."
        )
    ends = max((t["ends"] for t in own if t["ends"]), default=now_s + round(lifetime_h * 3600))
    if ends <= now_s:
        raise ValueError(
            f"The lab {name} was to live until {when(ends)} only: take it down (make cloud-down), "
            "then start it again."
        )
    cost = cost_of(hosts, region, prices)
    made = [f"  {host['name']:<14} {host['size']}" for host in hosts]
    last = (
        "  Then its hosts end themselves, whatever becomes of this machine; all else of it is free."
        if provider == "aws"
        else "  Nothing ends by itself there, and stopped servers cost as much as running ones:\n"
        "  make cloud-down, or from any machine with the token, cloud-down with cloud_expired=true."
    )
    lines = [
        f"Lab {name} at {TITLE[provider]}, {region}{', which is there in part' if own else ''}:",
        *made,
        f"  a network, a firewall, a placement group, an SSH key; each labelled {LAB_LABEL}={name}",
        f"Cost: {cost.sentence((ends - now_s) / 3600)}",
        f"Until {when(ends)}.",
        last,
    ]
    return {"hosts": hosts, "ends": ends, "exists": bool(own), "text": "\n".join(lines)}


def when(seconds: int) -> str:
    """Write a time as people read it."""
    return dt.datetime.fromtimestamp(seconds, dt.UTC).strftime("%Y-%m-%d %H:%M UTC")


def refusal(message: str, provider: str) -> str:
    """Say in plain words why a cloud made no more, from its own message."""
    plain = re.sub(r"^(Task|Module) failed: ", "", message.strip())
    said = f"{TITLE[provider]} said: {re.sub(r'^Module failed: ', '', plain)}"
    if QUOTA.search(message):
        return (
            f"{said}\nThat is a limit (quota) of your account. Ask for more ({MORE[provider]}), "
            "or take fewer or smaller hosts (cloud_count, cloud_sizes)."
        )
    if NO_ROOM.search(message):
        return (
            f"{said}\nThere is no room for such hosts just now. Take another cloud_region, "
            "cloud_zone or size, or try later."
        )
    return said
