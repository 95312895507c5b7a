"""ATProto timestamp ids: 13 characters that sort as the 64-bit number they encode.

The top bit is 0, then 53 bits of Unix microseconds, then 10 bits of clock id; see
https://atproto.com/specs/tid.
"""

from __future__ import annotations

ALPHABET = "234567abcdefghijklmnopqrstuvwxyz"
LENGTH = 13
CLOCK_ID_BITS = 10
MAX = 2**63 - 1

_DIGITS = {character: digit for digit, character in enumerate(ALPHABET)}
# Two characters at a time: encoding is on the path of every synthetic frame.
_PAIRS = [high + low for high in ALPHABET for low in ALPHABET]


def encode(value: int) -> str:
    """Encode a number from 0 to MAX; numbers outside raise IndexError or lose their top bits."""
    return (
        ALPHABET[value >> 60]
        + _PAIRS[value >> 50 & 1023]
        + _PAIRS[value >> 40 & 1023]
        + _PAIRS[value >> 30 & 1023]
        + _PAIRS[value >> 20 & 1023]
        + _PAIRS[value >> 10 & 1023]
        + _PAIRS[value & 1023]
    )


def decode(text: str) -> int:
    """Decode 13 characters. Raises ValueError if they are no timestamp id."""
    if len(text) != LENGTH:
        raise ValueError(
            f"{text!r} is not a timestamp id: {len(text)} characters, expected {LENGTH}"
        )
    value = 0
    for character in text:
        digit = _DIGITS.get(character)
        if digit is None:
            raise ValueError(f"{text!r} is not a timestamp id: it contains {character!r}")
        value = value << 5 | digit
    if value > MAX:
        raise ValueError(f"{text!r} is not a timestamp id: its top bit is set")
    return value


def from_unix_us(unix_us: int, clock_id: int = 0) -> int:
    """Return the number of a timestamp id; `clock_id` is 0 … 1023."""
    return unix_us << CLOCK_ID_BITS | clock_id
