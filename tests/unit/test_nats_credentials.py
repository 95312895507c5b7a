"""The lab's credentials: from the environment, or from a file that it names."""

from __future__ import annotations

from pathlib import Path

import pytest

from fpaas.jetstream.nats_connection import address_from_environment


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
