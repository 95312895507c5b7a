"""Passwords as Prometheus' web configuration wants them, for templates."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable

import bcrypt

DOCUMENTATION = """
name: bcrypt
short_description: Hash a random password by bcrypt
description:
  - The salt follows from the password, so that the same password gives the same file. That is no
    weakness of passwords that a machine drew.
positional: _input
options:
  _input:
    description: The password.
    type: str
    required: true
"""
EXAMPLES = """
hash: "{{ password | fpaas.bench_lab.bcrypt }}"
"""
RETURN = """
_value:
  description: The hash, as in C($2b$10$…).
  type: str
"""

ROUNDS = 10
#: Digits of the standard and of bcrypt's base 64, in order.
ALPHABETS = (
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/",
    b"./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789",
)


def hashed(password: str) -> str:
    """See DOCUMENTATION."""
    digest = hashlib.sha256(b"fpaas bcrypt salt " + password.encode()).digest()[:16]
    salt = base64.b64encode(digest).rstrip(b"=").translate(bytes.maketrans(*ALPHABETS))
    return bcrypt.hashpw(password.encode(), b"$2b$%d$%s" % (ROUNDS, salt)).decode()


class FilterModule:
    """Filters by name."""

    def filters(self) -> dict[str, Callable[..., str]]:
        """Return them."""
        return {"bcrypt": hashed}
