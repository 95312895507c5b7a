"""Where NATS listens, and the login for it: from a URL or the environment."""

from __future__ import annotations

import os
import ssl
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlsplit


class NatsServer(NamedTuple):
    """One server's host, as its certificate names it, and port."""

    host: str
    port: int

    def __str__(self) -> str:
        """As in messages and URLs."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True)
class NatsAddress:
    """Where NATS listens, and the login; from `nats://[user:password@]host[:port]`.

    For a cluster, several such URLs with commas between them.
    """

    servers: tuple[NatsServer, ...]
    user: str | None = None
    password: str | None = None
    tls: ssl.SSLContext | None = None

    @classmethod
    def parse(cls, url: str, tls: ssl.SSLContext | None = None) -> NatsAddress:
        """Read a URL, or several; raises ValueError that names what is no nats:// or tls:// URL."""
        servers = []
        user = password = None
        for one in url.split(","):
            parts = urlsplit(one.strip())
            if parts.scheme not in ("nats", "tls") or not parts.hostname:
                raise ValueError(
                    f"{one!r} is no NATS URL; expected nats://host:4222, of a cluster several "
                    "with commas between them"
                )
            if parts.scheme == "tls" and tls is None:
                tls = ssl.create_default_context()
            servers.append(NatsServer(parts.hostname, parts.port or 4222))
            if parts.username and user is None:
                user, password = unquote(parts.username), unquote(parts.password or "")
        return cls(tuple(dict.fromkeys(servers)), user, password, tls)

    @property
    def urls(self) -> list[str]:
        """URLs of the servers, for clients that take such a list; without the password."""
        return [f"nats://{server}" for server in self.servers]

    def __str__(self) -> str:
        """Hosts and ports; never the password."""
        return ", ".join(map(str, self.servers))


def address_from_environment(url: str) -> NatsAddress:
    """Read a NATS URL, with the lab's credentials from the environment.

    NATS_USER and NATS_PASSWORD log in if the URL has no user; rather from the file that
    NATS_CREDENTIALS_FILE names, where they stand as lines `NAME="value"`. NATS_CA_FILE turns TLS on
    and is what the server's certificate must be signed by. None of it is in run.json, which is
    published.

    Raises ValueError if the credentials file cannot be read.
    """
    tls = None
    ca_file = os.environ.get("NATS_CA_FILE")
    if ca_file:
        tls = ssl.create_default_context(cafile=ca_file)
    address = NatsAddress.parse(url, tls)
    credentials = {**os.environ, **_credentials_of_file()}
    if address.user is None and "NATS_USER" in credentials:
        user, password = credentials["NATS_USER"], credentials.get("NATS_PASSWORD", "")
        return replace(address, user=user, password=password)
    return address


def _credentials_of_file() -> dict[str, str]:
    path = os.environ.get("NATS_CREDENTIALS_FILE")
    if not path:
        return {}
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise ValueError(f"NATS_CREDENTIALS_FILE {path}: {error.strerror}") from error
    return {
        name.strip(): value.strip().strip('"')
        for name, _, value in (i.partition("=") for i in lines)
    }
