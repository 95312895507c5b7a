"""A locale that Ansible takes: it refuses every one that is not UTF-8. Pure."""

from __future__ import annotations

from collections.abc import Mapping

#: What decides, the first that is set.
VARIABLES = ("LC_ALL", "LC_CTYPE", "LANG")
UTF8 = "C.UTF-8"
#: What the user's own was, if another one took its place for Ansible's sake.
USERS = "FPAAS_USERS_LOCALE"
#: Locales that have ASCII only.
ASCII = ("C", "POSIX")


def named(environment: Mapping[str, str]) -> str:
    """Return the locale of characters that an environment asks for; empty if it says nothing."""
    return next((value for name in VARIABLES if (value := environment.get(name))), "")


def is_ascii(environment: Mapping[str, str]) -> bool:
    """Whether the user asked for ASCII, Ansible or not."""
    return (environment.get(USERS) or named(environment)) in ASCII


def for_ansible(environment: Mapping[str, str]) -> dict[str, str]:
    """Return an environment in which Ansible starts, and which still says what the user's was.

    >>> for_ansible({"LC_ALL": "C"})
    {'FPAAS_USERS_LOCALE': 'C', 'LC_ALL': 'C.UTF-8'}
    >>> for_ansible({"LANG": "en_GB.utf8"})
    {'LANG': 'en_GB.utf8'}
    """
    asked_for = named(environment)
    if asked_for.lower().replace("-", "").endswith("utf8"):
        return {**environment}
    return {USERS: asked_for, **environment, "LC_ALL": UTF8}
