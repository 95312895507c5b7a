"""Makes bad inputs of good ones: a plain mutator for where atheris is not installed."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

#: What often is at a limit, in the formats that there are.
_TOKENS = (
    *(b"\x00", b"\xff", b"\x7f", b"\x80", b"\xff" * 8, b"\x1b" + b"\xff" * 8, b"\xc2\x58\x20"),
    *(b"\x81" * 100, b"\xa1\x61a" * 70, b"\xd8\x2a", b"\xf6", b"\xfb" + bytes(8), b"\x9b\0\0\0\1"),
    *(b"0", b"-1", b"18446744073709551616", b"1e400", b"9" * 5000, b"NaN", b"null", b"[]", b"{}"),
    *(b"[" * 2000, b'{"a":' * 2000, b'"', b"\\ud800", b"\r\n", b" ", b"\n", b",", b"_1", b"1.5"),
)
_BYTES_MAX = 200_000


def mutated(rng: random.Random, corpus: Sequence[bytes]) -> bytes:
    """Return an input of the corpus with one to five changes."""
    data = rng.choice(corpus)
    for _ in range(rng.randint(1, 5)):
        data = rng.choice(_CHANGES)(rng, data, corpus)
    return data[:_BYTES_MAX]


def _at(rng: random.Random, data: bytes) -> int:
    return rng.randint(0, len(data))


def _flip(rng: random.Random, data: bytes, _corpus: Sequence[bytes]) -> bytes:
    at = _at(rng, data)
    return (
        data[:at]
        + bytes(byte ^ 1 << rng.randrange(8) for byte in data[at : at + 1])
        + data[at + 1 :]
    )


def _put(rng: random.Random, data: bytes, _corpus: Sequence[bytes]) -> bytes:
    at = _at(rng, data)
    return data[:at] + rng.randbytes(1) + data[at + 1 :]


def _insert(rng: random.Random, data: bytes, _corpus: Sequence[bytes]) -> bytes:
    at = _at(rng, data)
    return data[:at] + rng.choice(_TOKENS) + data[at + rng.choice((0, 0, 1, 2, 9)) :]


def _cut(rng: random.Random, data: bytes, _corpus: Sequence[bytes]) -> bytes:
    return data[: _at(rng, data)]


def _drop(rng: random.Random, data: bytes, _corpus: Sequence[bytes]) -> bytes:
    at = _at(rng, data)
    return data[:at] + data[at + rng.randint(1, 16) :]


def _repeat(rng: random.Random, data: bytes, _corpus: Sequence[bytes]) -> bytes:
    at, end = sorted((_at(rng, data), _at(rng, data)))
    return data[:end] + data[at:end] + data[end:]


def _splice(rng: random.Random, data: bytes, corpus: Sequence[bytes]) -> bytes:
    other = rng.choice(corpus)
    return data[: _at(rng, data)] + other[_at(rng, other) :]


_CHANGES: tuple[Callable[[random.Random, bytes, Sequence[bytes]], bytes], ...] = (
    *(_flip, _put, _insert, _insert, _cut, _drop, _repeat, _splice),
)
