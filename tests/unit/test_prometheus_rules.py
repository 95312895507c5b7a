"""What Prometheus scrapes, and that each alert has cases and a place in the docs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

from fpaas.control import lab_map

CHECKOUT = Path(__file__).resolve().parents[2]
RULES = CHECKOUT / "roles" / "prometheus" / "files" / "rules.yml"
CASES = CHECKOUT / "tests" / "data" / "prometheus" / "rules_test.yml"


def rules() -> list[dict[str, Any]]:
    content = yaml.safe_load(RULES.read_text())
    return [rule for group in content["groups"] for rule in group["rules"]]


def test_every_alert_is_seen_to_fire_and_not_to_fire() -> None:
    cases = yaml.safe_load(CASES.read_text())["tests"]
    for rule in rules():
        if "alert" not in rule:
            continue
        seen = [
            bool(test["exp_alerts"])
            for case in cases
            for test in case.get("alert_rule_test", [])
            if test["alertname"] == rule["alert"]
        ]
        assert set(seen) == {True, False}, rule["alert"]


def test_recorded_series_and_alerts_are_documented() -> None:
    page = (CHECKOUT / "docs" / "monitoring.md").read_text()
    for rule in rules():
        name = rule.get("record") or rule["alert"]
        assert f"`{name}`" in page or name == "fpaas:nats_server_of_run", name


def test_a_host_that_only_watches_is_scraped_too() -> None:
    groups = {"nats": ["n"], "shuffler": ["s"], "consumers": ["c"], "monitoring": ["m"]}
    ports = {name: number for number, name in enumerate(lab_map.METRICS_PORTS.values(), 8080)}
    hosts = {host: {"lab_address": host, **ports} for host in "nscm"}
    targets = lab_map.scrape_targets(groups, hosts, own_relay=True)
    assert {job: [t["labels"]["host"] for t in found] for job, found in targets.items()} == {
        "probe": ["n", "s", "c", "m"],
        "shuffler": ["s"],
        "consumers": ["c"],
    }
