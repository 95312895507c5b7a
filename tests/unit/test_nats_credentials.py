"""The lab's credentials: from the environment, or from a file that it names."""

from __future__ import annotations

from pathlib import Path

import pytest

from fpaas.jetstream.nats_address import address_from_environment


def test_file_wins_over_what_the_users_shell_happens_to_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "credentials"
    file.write_text('NATS_USER="fpaas"\nNATS_PASSWORD="pa=ss"\n')
    monkeypatch.setenv("NATS_USER", "somebody")
    monkeypatch.setenv("NATS_CREDENTIALS_FILE", str(file))
    address = address_from_environment("nats://127.0.0.1:4222")
    assert (address.user, address.password) == ("fpaas", "pa=ss")


def test_url_wins_over_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "credentials"
    file.write_text('NATS_USER="fpaas"\nNATS_PASSWORD="secret"\n')
    monkeypatch.setenv("NATS_CREDENTIALS_FILE", str(file))
    assert address_from_environment("nats://a:b@127.0.0.1:4222").user == "a"


def test_missing_file_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NATS_CREDENTIALS_FILE", str(tmp_path / "none"))
    with pytest.raises(ValueError, match=r"NATS_CREDENTIALS_FILE .*none: No such file"):
        address_from_environment("nats://127.0.0.1:4222")


def test_servers_of_a_cluster_are_a_list_with_commas() -> None:
    address = address_from_environment("nats://a:4222, nats://u:p%40@b,nats://a:4222")
    assert address.urls == ["nats://a:4222", "nats://b:4222"]
    assert (address.user, address.password) == ("u", "p@")
    assert str(address) == "a:4222, b:4222"


@pytest.mark.parametrize("url", ["", "nats://a,", "nats://a,b:4222", "http://a"])
def test_what_is_no_list_of_servers_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="is no NATS URL"):
        address_from_environment(url)
