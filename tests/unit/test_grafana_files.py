"""What the role tells Grafana, rendered without a host. What Grafana makes of it is not tried."""

from __future__ import annotations

import configparser
import json
from typing import Any

import jinja2
import pytest
import yaml  # type: ignore[import-untyped]

from fpaas.control.lab_map import endpoint
from tests.support.checkout import CHECKOUT

DIRECTORY = '/a "lab"; #1/grafana'


def render(template: str, **variables: object) -> str:
    environment = jinja2.Environment(  # not HTML
        loader=jinja2.FileSystemLoader(CHECKOUT / "roles/grafana/templates"),
        trim_blocks=True,
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "bool": bool,
        "to_json": json.dumps,
        "fpaas.bench_lab.endpoint": endpoint,
    }
    given: dict[str, object] = {
        "ansible_managed": "managed",
        "grafana_directory": DIRECTORY,
        "grafana_port": 3001,
        "grafana_secrets": ["admin", "a password", "a key"],
        "grafana_prometheus_secrets": ["fpaas", "another password"],
        "grafana_scrape_interval_s": 2,
        "lab_address": "10.0.0.5",
        "prometheus_port": 9090,
        "prometheus_tls": True,
    }
    return environment.get_template(template).render(given | variables)


def configuration(**variables: object) -> dict[str, dict[str, str]]:
    parser = configparser.RawConfigParser()
    parser.read_string("[DEFAULT]\n" + render("grafana.ini.j2", **variables))
    return {section: dict(parser[section]) for section in parser.sections()}


def data_source(**variables: object) -> dict[str, Any]:
    [found] = yaml.safe_load(render("datasource.yml.j2", **variables))["datasources"]
    return dict(found)


def test_nobody_gets_in_without_the_password() -> None:
    said = configuration()
    assert said["auth.anonymous"]["enabled"] == "false"
    assert said["users"]["allow_sign_up"] == "false"
    assert said["public_dashboards"]["enabled"] == "false"
    assert said["security"]["admin_password"] == f"`$__file{{{DIRECTORY}/admin_password}}`"
    for template in ("grafana.ini.j2", "datasource.yml.j2", "dashboards.yml.j2"):
        for secret in ("a password", "a key", "another password"):
            assert secret not in render(template)


def test_it_asks_nobody_on_the_internet() -> None:
    said = configuration()
    wanted = ("reporting_enabled", "check_for_updates", "check_for_plugin_updates")
    assert {said["analytics"][name] for name in wanted} == {"false"}
    assert said["news"]["news_feed_enabled"] == "false"
    assert said["plugins"]["preinstall_disabled"] == "true"
    assert said["security"]["disable_gravatar"] == "true"


@pytest.mark.parametrize(("tls", "scheme"), [(True, "https"), (False, "http")])
def test_it_listens_where_the_lab_says(tls: bool, scheme: str) -> None:  # noqa: FBT001
    said = configuration(lab_address="fd00::1", prometheus_tls=tls)
    assert said["server"]["http_addr"] == "fd00::1"
    assert said["server"]["root_url"] == f"{scheme}://[fd00::1]:3001/"
    assert said["server"]["protocol"] == scheme
    assert ("cert_key" in said["server"]) is tls
    assert said["security"]["cookie_secure"] == str(tls).lower()


def test_it_logs_in_to_prometheus_of_its_host() -> None:
    said = data_source()
    assert said["url"] == "https://10.0.0.5:9090"
    assert (said["basicAuth"], said["basicAuthUser"]) == (True, "fpaas")
    password = f"$__file{{{DIRECTORY}/prometheus_password}}"
    assert said["secureJsonData"]["basicAuthPassword"] == password
    assert said["jsonData"]["timeInterval"] == "2s"
    plain = data_source(prometheus_tls=False)
    assert plain["url"] == "http://10.0.0.5:9090"
    assert "secureJsonData" not in plain


def test_dashboards_are_those_of_its_directory() -> None:
    [provider] = yaml.safe_load(render("dashboards.yml.j2"))["providers"]
    assert provider["options"]["path"] == f"{DIRECTORY}/dashboards"
    assert not provider["allowUiUpdates"]
