"""How a person's own tools log in to a lab's NATS, as environment variables. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Mapping

#: As the `nats` CLI and this lab's programs know them.
USER, PASSWORD = "NATS_USER", "NATS_PASSWORD"


def credentials(text: str) -> dict[str, str]:
    """Read a file of `NAME="value"` lines; raises ValueError without user and password."""
    found = {}
    for line in text.splitlines():
        name, equals, value = line.partition("=")
        if equals:
            found[name.strip()] = value.strip().strip('"')
    if USER not in found or PASSWORD not in found:
        raise ValueError(f"has no {USER} and {PASSWORD}")
    return {USER: found[USER], PASSWORD: found[PASSWORD]}


def exports(url: str, secrets: Mapping[str, str], ca_file: str) -> str:
    """Write what a shell takes over with `eval`."""
    variables = {"NATS_URL": url, **secrets} | ({"NATS_CA": ca_file} if ca_file else {})
    return "\n".join(f"export {name}={shlex.quote(value)}" for name, value in variables.items())
