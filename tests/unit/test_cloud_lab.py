"""A lab in a cloud, before anything is created: hosts, cost, what cannot be, and refusals."""

from __future__ import annotations

from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from fpaas.control import cloud_lab
from tests.support.checkout import CHECKOUT

ROLE = CHECKOUT / "roles/cloud"
COUNTS = {"relay": 1, "nats": 1, "shuffler": 1, "consumers": 2}
SIZES = {"relay": "small", "nats": "large", "shuffler": "small", "consumers": "small"}
PRICES = {
    "currency": "EUR",
    "source": "estimate of 2025",
    "regions": {"here": {"small": 0.1, "large": 0.3, "address": 0.01}},
}
NOW_S = 1_800_000_000


def thing(name: str, lab: str | None = None, **more: object) -> dict[str, Any]:
    title = f"network {name}"
    return {"name": name, "title": title, "lab": lab, "ends": None, "region": None, **more}


def plan(
    counts: dict[str, Any] | None = None, sizes: dict[str, str] | None = None, **more: object
) -> dict[str, Any]:
    rest: dict[str, Any] = {
        "name": "fpaas",
        "provider": "hetzner",
        "region": "here",
        "prices": PRICES,
        "things": [],
        "lifetime_h": 4.0,
        "now_s": NOW_S,
        **more,
    }
    return cloud_lab.plan(COUNTS | (counts or {}), SIZES | (sizes or {}), **rest)


def test_every_host_and_its_cost_are_said() -> None:
    said = plan()
    assert [host["name"] for host in said["hosts"]] == [
        *("relay-1", "nats-1", "shuffler-1", "consumers-1", "consumers-2")
    ]
    assert "about 0.750 EUR an hour, 3.00 EUR in 4 h (estimate of 2025)" in said["text"]
    assert said["ends"] == NOW_S + 4 * 3600
    assert "2027-01-15 12:00 UTC" in said["text"]


@pytest.mark.parametrize(
    ("more", "unknown"),
    [({"sizes": {"nats": "huge"}}, "huge"), ({"region": "there"}, "address, small, large")],
)
def test_cost_of_what_has_no_known_price_is_unknown(more: dict[str, Any], unknown: str) -> None:
    text = plan(**more)["text"]
    assert f"cost unknown: no price is known of {unknown} here" in text
    assert "an hour" not in text


def test_who_ends_the_hosts_is_said() -> None:
    assert "Nothing ends by itself" in plan()["text"]
    assert "hosts end themselves" in plan(provider="aws")["text"]


def test_a_lab_that_exists_keeps_its_end() -> None:
    said = plan(things=[thing("fpaas", "fpaas", ends=NOW_S + 60)], lifetime_h=99.0)
    assert (said["ends"], said["exists"]) == (NOW_S + 60, True)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"things": [thing("fpaas")]}, "network fpaas: is there already, and not this lab's"),
        ({"things": [thing("fpaas-nats-1", "other")]}, "without the label fpaas.lab=fpaas"),
        ({"things": [thing("fpaas", "fpaas", ends=NOW_S - 1)]}, "was to live until"),
        (
            {"provider": "aws", "things": [thing("fpaas", "fpaas", region="us-east-1")]},
            "is in us-east-1 already",
        ),
        ({"counts": {"nats": 2}}, "cloud_count: nats: 2 is not allowed; allowed: 1 or 3"),
        ({"counts": {"shuffler": 0}}, "cloud_count: shuffler: 0"),
        ({"counts": {"consumers": -1}}, "cloud_count: consumers: -1"),
        ({"counts": {"consumer": 1}}, "'consumer' is not a part"),
        ({"sizes": {"consumer": "small"}}, "cloud_sizes: 'consumer' is not a part"),
        ({"name": "My_Lab"}, "cloud_name: 'My_Lab'"),
        ({"lifetime_h": 0.0}, "cloud_lifetime_h: 0 is not allowed"),
        ({"lifetime_h": float("nan")}, "cloud_lifetime_h: nan is not allowed"),
    ],
)
def test_what_cannot_be_is_refused(more: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=r".*") as refused:
        plan(**more)
    assert message in str(refused.value)


@pytest.mark.parametrize(
    ("provider", "message"),
    [
        ("hetzner", "server limit reached (resource_limit_exceeded)"),
        ("hetzner", "Placement group limit exceeded (limit_exceeded)"),
        ("aws", "An error occurred (VcpuLimitExceeded) when calling the RunInstances operation"),
        ("aws", "An error occurred (InstanceLimitExceeded) when calling …"),
        ("aws", "An error occurred (VpcLimitExceeded) when calling …"),
    ],
)
def test_a_quota_is_named_as_such(provider: str, message: str) -> None:
    said = cloud_lab.refusal(message, provider)
    assert message in said
    assert "limit (quota) of your account" in said


@pytest.mark.parametrize(
    ("provider", "message"),
    [
        ("hetzner", "error during placement (resource_unavailable)"),
        ("aws", "An error occurred (InsufficientInstanceCapacity) when calling …"),
    ],
)
def test_no_room_is_named_as_such(provider: str, message: str) -> None:
    assert "no room" in cloud_lab.refusal(message, provider)


@pytest.mark.parametrize("message", ["unable to authenticate (unauthorized)", "rate_limited"])
def test_other_refusals_are_not_called_quotas(message: str) -> None:
    assert "quota" not in cloud_lab.refusal(message, "hetzner")


def test_the_labs_own_sizes_have_prices() -> None:
    content = yaml.safe_load((ROLE / "vars/main.yml").read_text())
    prices = yaml.safe_load((ROLE / "defaults/main.yml").read_text())["cloud_prices"]
    for provider, sizes in content["cloud_own_sizes"].items():
        here = prices[provider]["regions"][content["cloud_own_region"][provider]]
        assert {"address", *sizes.values()} <= set(here)
        assert "estimate" in prices[provider]["source"]
