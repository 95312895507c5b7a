"""Asks a cloud what there is in an account, and what servers cost."""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import requests

from fpaas.control.cloud_lab import ENDS_LABEL, LAB_LABEL, PART_LABEL

Thing = dict[str, Any]
HETZNER = "https://api.hetzner.cloud/v1"
TIMEOUT_S = 30
#: As the API names them, with the name that people use.
HETZNER_KINDS = {
    "servers": "server",
    "placement_groups": "placement_group",
    "firewalls": "firewall",
    "ssh_keys": "ssh_key",
    "networks": "network",
}
#: Instances that are gone stay visible for an hour.
ALIVE = ["pending", "running", "stopping", "stopped", "shutting-down"]


class CloudError(Exception):
    """A cloud did not answer, or not as expected."""


def things(provider: str, region: str, everywhere: bool) -> list[Thing]:  # noqa: FBT001
    """Return all that has a lab's label, and what else could have a lab's name.

    Args:
        provider: hetzner, or aws
        region: at AWS, where to ask
        everywhere: whether to look for labs in all other regions of the account, too

    Returns:
        for each: kind, id, name, title (kind and name), region, lab (its label, null without), ends
        (s since 1970, of its whole lab), part, size, address, private_address, vpc, cidr, each null
        if it has none; kind unanswered: what could not be asked for, and costs nothing

    Raises:
        CloudError: with what to do

    """
    found = _hetzner_things() if provider == "hetzner" else _aws_things(region, everywhere)
    ends: dict[str, int] = {}
    for thing in found:
        if thing["ends"]:
            ends[thing["lab"]] = max(thing["ends"], ends.get(thing["lab"], 0))
    return [{**thing, "ends": ends.get(thing["lab"])} for thing in found]


def _thing(kind: str, number: object, name: str, labels: Mapping[str, str], **more: Any) -> Thing:  # noqa: ANN401
    ends = labels.get(ENDS_LABEL, "")
    rest = dict.fromkeys(("region", "size", "address", "private_address", "vpc", "cidr"))
    return {
        **rest,
        "kind": kind,
        "title": f"{kind.replace('_', ' ')} {name or number}",
        "id": number,
        "name": name,
        "lab": labels.get(LAB_LABEL),
        "ends": int(ends) if ends.isdecimal() else None,
        "part": labels.get(PART_LABEL),
        **more,
    }


def _ask_hetzner(path: str, **query: Any) -> dict[str, Any]:  # noqa: ANN401
    token = os.environ.get("HCLOUD_TOKEN")
    if not token:
        raise CloudError(
            "HCLOUD_TOKEN is not set: a token of a Hetzner Cloud project, read and write"
        )
    url = f"{os.environ.get('HCLOUD_ENDPOINT', HETZNER).rstrip('/')}/{path}"
    try:
        answer = requests.get(
            url, params=query, headers={"Authorization": f"Bearer {token}"}, timeout=TIMEOUT_S
        )
        content: Any = answer.json()
    except (requests.RequestException, ValueError) as error:
        raise CloudError(f"{url} does not answer: {error}") from error
    if not answer.ok or not isinstance(content, dict):
        said = content.get("error", {}) if isinstance(content, dict) else {}
        token_is_wrong = "; HCLOUD_TOKEN is not valid" if answer.status_code == 401 else ""
        raise CloudError(
            f"{url}: {said.get('message', answer.reason)} ({answer.status_code}){token_is_wrong}"
        )
    return content


def _hetzner_all(kind: str) -> Iterator[dict[str, Any]]:
    page: int | None = 1
    while page:
        content = _ask_hetzner(kind, page=page, per_page=50)
        yield from content[kind]
        page = ((content.get("meta") or {}).get("pagination") or {}).get("next_page")


def _hetzner_things() -> list[Thing]:
    found = []
    for kind, singular in HETZNER_KINDS.items():
        for each in _hetzner_all(kind):
            more = {}
            if kind == "servers":
                public = (each.get("public_net") or {}).get("ipv4") or {}
                private: dict[str, Any] = next(iter(each.get("private_net") or []), {})
                more = {
                    "size": each["server_type"]["name"],
                    "address": public.get("ip"),
                    "private_address": private.get("ip"),
                }
            found.append(
                _thing(singular, each["id"], each["name"], each.get("labels") or {}, **more)
            )
    return found


def hetzner_prices() -> dict[str, Any] | None:
    """Return what Hetzner asks for now, without VAT, as `cloud_prices` has it; null: not said."""
    try:
        pricing = _ask_hetzner("pricing")["pricing"]
        regions: dict[str, dict[str, float]] = {}
        addresses = [ip for ip in pricing["primary_ips"] if ip["type"] == "ipv4"]
        for name, each in [
            *((kind["name"], kind) for kind in pricing["server_types"]),
            *(("address", ip) for ip in addresses),
        ]:
            for price in each["prices"]:
                regions.setdefault(price["location"], {})[name] = float(
                    price["price_hourly"]["net"]
                )
        return {
            "currency": pricing["currency"],
            "source": "Hetzner's price list of now, without VAT",
            "regions": regions,
        }
    except (CloudError, KeyError, TypeError, ValueError):
        return None


def _aws_things(region: str, everywhere: bool) -> list[Thing]:  # noqa: FBT001
    try:
        boto3 = importlib.import_module("boto3")
    except ModuleNotFoundError as error:
        raise CloudError(f"{error}: run make cloud") from error
    session = boto3.Session()
    try:
        client = session.client("ec2", region_name=region)
        found = _in_region(client, region)
        if everywhere:
            others = [each["RegionName"] for each in client.describe_regions()["Regions"]]
            # Clients of one session are not to be made by several threads at once.
            clients = [(session.client("ec2", region_name=o), o) for o in others if o != region]
            with ThreadPoolExecutor(8) as pool:
                found += [
                    t for part in pool.map(lambda each: _elsewhere(*each), clients) for t in part
                ]
    except _aws_errors() as error:
        raise CloudError(f"AWS, region {region}: {error}") from error
    return found


def _aws_errors() -> tuple[type[Exception], ...]:
    errors = importlib.import_module("botocore.exceptions")
    parsers = importlib.import_module("botocore.parsers")
    return errors.BotoCoreError, errors.ClientError, parsers.ResponseParserError


def _elsewhere(client: Any, region: str) -> list[Thing]:  # noqa: ANN401
    """Return what is there of labs: nothing without a VPC, which is made first, removed last."""
    if client.describe_vpcs(Filters=[{"Name": "tag-key", "Values": [LAB_LABEL]}])["Vpcs"]:
        return _in_region(client, region)
    return []


def _in_region(client: Any, region: str) -> list[Thing]:  # noqa: ANN401
    labelled = [{"Name": "tag-key", "Values": [LAB_LABEL]}]
    alive = [*labelled, {"Name": "instance-state-name", "Values": ALIVE}]
    found = []

    def all_of(call: str, key: str, **query: object) -> list[dict[str, Any]]:
        pages = client.get_paginator(call).paginate(**query)
        return [each for page in pages for each in page[key]]

    def add(kind: str, them: list[dict[str, Any]], key: str, name: str = "", **more: str) -> None:
        for each in them:
            tags = {tag["Key"]: tag["Value"] for tag in each.get("Tags", [])}
            rest = {field: each.get(theirs) for field, theirs in more.items()}
            shown = each[name] if name else tags.get("Name", "")
            found.append(_thing(kind, each[key], shown, tags, region=region, **rest))

    reservations = all_of("describe_instances", "Reservations", Filters=alive)
    add(
        "instance",
        [each for reservation in reservations for each in reservation["Instances"]],
        "InstanceId",
        size="InstanceType",
        address="PublicIpAddress",
        private_address="PrivateIpAddress",
    )
    add("volume", all_of("describe_volumes", "Volumes", Filters=labelled), "VolumeId")
    # These two, and VPCs, could have the lab's name and be somebody else's.
    try:
        groups = client.describe_placement_groups()["PlacementGroups"]
    except _aws_errors() as error:
        # Not everybody may ask; they cost nothing.
        groups = []
        why = str(error).splitlines()[0][:200]
        found.append(_thing("unanswered", why, "placement groups", {}, region=region))
    groups = [each for each in groups if each["State"] not in {"deleting", "deleted"}]
    add("placement_group", groups, "GroupName", "GroupName")
    add("ssh_key", client.describe_key_pairs()["KeyPairs"], "KeyName", "KeyName")
    walls = all_of("describe_security_groups", "SecurityGroups", Filters=labelled)
    add("firewall", walls, "GroupId", "GroupName")
    subnets = all_of("describe_subnets", "Subnets", Filters=labelled)
    add("subnet", subnets, "SubnetId", vpc="VpcId", cidr="CidrBlock")
    vpcs = all_of("describe_vpcs", "Vpcs")
    # Made before they get their labels: what is in a lab's VPC is the lab's.
    labels = {vpc["VpcId"]: vpc.get("Tags", []) for vpc in vpcs if _is_labelled(vpc)}
    tables = [
        {**each, "Tags": each.get("Tags") or labels.get(each["VpcId"], [])}
        for each in all_of("describe_route_tables", "RouteTables")
        if not any(place.get("Main") for place in each.get("Associations", []))
    ]
    add("route_table", [*filter(_is_labelled, tables)], "RouteTableId", vpc="VpcId")
    gateways = []
    for each in all_of("describe_internet_gateways", "InternetGateways"):
        places = [place["VpcId"] for place in each.get("Attachments", [])]
        tags = each.get("Tags") or [tag for place in places for tag in labels.get(place, [])]
        gateways.append({**each, "Tags": tags})
    add("internet_gateway", [*filter(_is_labelled, gateways)], "InternetGatewayId")
    add("network", vpcs, "VpcId", cidr="CidrBlock")
    return found


def _is_labelled(each: Mapping[str, Any]) -> bool:
    return any(tag["Key"] == LAB_LABEL for tag in each.get("Tags", []))
