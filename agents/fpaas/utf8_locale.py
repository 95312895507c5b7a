"""A locale that Ansible takes: it refuses every one that is not UTF-8. Pure."""

from __future__ import annotations

from collections.abc import Mapping

#: What decides, the first that is set.
VARIABLES = ("LC_ALL", "LC_CTYPE", "LANG")
UTF8 = "C.UTF-8"
#: Locales that have ASCII only.
ASCII = ("C", "POSIX")


def named(environment: Mapping[str, str]) -> str:
    """Return the locale of characters that an environment asks for; empty if it says nothing."""
    return next((value for name in VARIABLES if (value := environment.get(name))), "")


def for_ansible(environment: Mapping[str, str]) -> dict[str, str]:
    """Return an environment in which Ansible starts.

    >>> for_ansible({"LC_ALL": "C"}), for_ansible({"LANG": "en_GB.utf8"})
    ({'LC_ALL': 'C.UTF-8'}, {'LANG': 'en_GB.utf8'})
    """
    is_utf8 = named(environment).lower().replace("-", "").endswith("utf8")
    return {**environment} if is_utf8 else {**environment, "LC_ALL": UTF8}
