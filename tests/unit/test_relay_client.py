"""What users may write for a relay."""

from __future__ import annotations

import pytest

from fpaas.errors import BadInput
from fpaas.firehose.relay_client import subscription_url

PATH = "/xrpc/com.atproto.sync.subscribeRepos"


@pytest.mark.parametrize(
    ("relay", "url"),
    [
        ("bsky.network", f"wss://bsky.network{PATH}"),
        ("relay.test:8443", f"wss://relay.test:8443{PATH}"),
        ("wss://bsky.network", f"wss://bsky.network{PATH}"),
        ("https://bsky.network/", f"wss://bsky.network{PATH}"),
        ("ws://127.0.0.1:2480", f"ws://127.0.0.1:2480{PATH}"),
        ("http://[::1]:2480", f"ws://[::1]:2480{PATH}"),
        (f"ws://127.0.0.1:2480{PATH}", f"ws://127.0.0.1:2480{PATH}"),
        ("ws://127.0.0.1:2480/other", "ws://127.0.0.1:2480/other"),
    ],
)
def test_subscription_url(relay: str, url: str) -> None:
    assert subscription_url(relay) == url


@pytest.mark.parametrize(
    "relay", ["", "ftp://host", "wss://", "ws://host?cursor=1", "ws://host:port", "two words"]
)
def test_what_is_no_relay_is_refused_by_name(relay: str) -> None:
    with pytest.raises(BadInput, match="is no relay") as caught:
        subscription_url(relay)
    assert repr(relay) in caught.value.message
