"""Output for those who cannot be shown all that the lab writes: ASCII in its place."""

from __future__ import annotations

import io
import sys
from collections.abc import Mapping
from typing import Final, TextIO

from fpaas import utf8_locale

#: One character each where columns depend on it.
IN_ASCII: Final = str.maketrans(
    {
        **dict(zip("▁▂▃▄▅▆▇█", "_..-=+*#", strict=True)),
        **dict.fromkeys("▏▎▍▌▋▊▉", "-"),
        "░": ".",
        "…": "~",
        "\N{EN DASH}": "-",
        "\N{EM DASH}": "-",
        "\N{NO-BREAK SPACE}": " ",
        "·": "*",
        "\N{MULTIPLICATION SIGN}": "x",
        "µ": "u",
        "→": "->",
        "≥": ">=",
        "≤": "<=",
        "±": "+-",
        "²": "2",
        "€": "EUR",
    }
)


class PlainText(io.TextIOWrapper):
    """Writes what it is given without the lab's own characters beyond ASCII.

    Others are names of the user's: these stay, for they are copied.
    """

    def write(self, text: str, /) -> int:
        """Write a text."""
        return super().write(text.translate(IN_ASCII))


def is_asked_for(environment: Mapping[str, str], stream: TextIO) -> bool:
    """Whether a stream cannot take all characters, or the locale is one of ASCII.

    What a playbook's programs write is read by the playbook, in its locale: that it shows the user
    ASCII is its own affair.
    """
    if not stream.encoding.lower().replace("-", "").startswith("utf8"):
        return True
    if stream.isatty():
        return utf8_locale.is_ascii(environment)
    return utf8_locale.named(environment) in utf8_locale.ASCII


def for_user(text: str, environment: Mapping[str, str]) -> str:
    """Write a text as the user's locale can show it."""
    return text.translate(IN_ASCII) if utf8_locale.is_ascii(environment) else text


def use(environment: Mapping[str, str]) -> None:
    """Have standard output and standard error write plainly, if that is asked for."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if isinstance(stream, io.TextIOWrapper) and is_asked_for(environment, stream):
            stream.flush()
            encoding, buffer = stream.encoding, stream.detach()
            plain = PlainText(buffer, encoding, errors="replace", line_buffering=True)
            setattr(sys, name, plain)
