"""Headers of messages, as NATS clients write them."""

from __future__ import annotations


def header_block(headers: list[tuple[str, str]]) -> bytes:
    """Encode message headers for HPUB.

    >>> header_block([("A", "b")])
    b'NATS/1.0\\r\\nA: b\\r\\n\\r\\n'
    """
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers)
    return f"NATS/1.0\r\n{lines}\r\n".encode()
