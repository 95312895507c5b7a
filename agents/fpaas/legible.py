"""Words that come from elsewhere, made fit for one line of a log or a terminal."""

from __future__ import annotations


def cause_of(error: Exception) -> str:
    """Say why something failed, without the system's number for it.

    >>> cause_of(ConnectionResetError(104, "Connection reset by peer")), cause_of(ValueError())
    ('Connection reset by peer', 'ValueError')
    """
    words = error.strerror if isinstance(error, OSError) else None
    return words or str(error) or type(error).__name__


def legible(text: str, most: int | None = None) -> str:
    r"""Return text without what would move a terminal's cursor, or cannot be encoded.

    It has at most `most` characters.

    >>> legible("two\nlines"), legible("too long", 4)
    ('two�lines', 'too…')
    """
    if most is not None and len(text) > most:
        text = text[: most - 1] + "\N{HORIZONTAL ELLIPSIS}"
    return "".join(one if one.isprintable() else "\N{REPLACEMENT CHARACTER}" for one in text)
