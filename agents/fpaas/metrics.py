"""Serves an agent's Prometheus metrics."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, start_http_server

from fpaas.errors import BadInput


def parse_listen(listen: str) -> tuple[str, int]:
    """Split `host:port`; raises BadInput if it is none."""
    host, _, port = listen.rpartition(":")
    if not host or not port.isdigit() or int(port) > 65_535:
        raise BadInput(f"{listen!r} is not an address to listen on; expected host:port")
    return host.strip("[]"), int(port)


def serve(registry: CollectorRegistry, listen: str) -> None:
    """Serve /metrics on `host:port` from a thread; raises BadInput if the port is taken."""
    host, port = parse_listen(listen)
    try:
        start_http_server(port, addr=host, registry=registry)
    except OSError as error:
        raise BadInput(
            f"cannot serve metrics on {listen}: {error.strerror}; free it or choose another port"
        ) from error
