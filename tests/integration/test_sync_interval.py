"""How often files are synced: what the nats role writes is what a real server takes."""

from __future__ import annotations

import json
import re
import urllib.request
from pathlib import Path

import jinja2
import pytest

from tests.support.checkout import CHECKOUT
from tests.support.nats_servers import NatsServer

pytestmark = pytest.mark.integration

TEMPLATE = CHECKOUT / "roles/nats/templates/nats.conf.j2"


def jetstream_line(seconds: object) -> str:
    """Render the template's line about syncs, by a value as YAML or `-e` gives it."""
    [line] = re.findall(
        r"^ *(sync_interval: .*)$", TEMPLATE.read_text(encoding="utf-8"), re.MULTILINE
    )
    return jinja2.Environment().from_string(line).render(bench_sync_interval_s=seconds)


@pytest.mark.parametrize(
    ("seconds", "synced"),
    [
        (120, {"sync_interval": 120_000_000_000}),
        ("0.5", {"sync_interval": 500_000_000}),
        ("0", {"sync_always": True}),
    ],
)
def test_the_server_syncs_as_it_is_told(
    tmp_path: Path, seconds: object, synced: dict[str, object]
) -> None:
    server = NatsServer(tmp_path, jetstream=jetstream_line(seconds))
    try:
        server.start()
        with urllib.request.urlopen(f"{server.monitoring_url}/jsz?config=true") as answer:
            config = json.load(answer)["config"]
    finally:
        server.stop()
    assert config | synced == config
