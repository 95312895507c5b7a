"""The command line of this ansible-playbook, for another playbook with the same options."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterator, Mapping, Sequence

#: Options that ask for passwords.
ASKS = ("-K", "--ask-become-pass", "-k", "--ask-pass")


def options(arguments: Sequence[str], playbooks: Collection[str]) -> Iterator[str]:
    """Iterate over what was given beside playbooks."""
    return (argument for argument in arguments if argument not in playbooks)


def silent_options(arguments: Sequence[str], playbooks: Collection[str]) -> Iterator[str]:
    """Iterate over the same without what asks for passwords: nobody would answer."""
    return (one for one in options(arguments, playbooks) if one not in ASKS)


def command(
    program: str,
    playbook: str,
    arguments: Sequence[str],
    playbooks: Collection[str],
    variables: Mapping[str, str],
) -> str:
    """Write a command for a shell: `playbook` with the options given, and `variables` last.

    >>> command("ansible-playbook", "b.yml", ["a.yml", "-e", "x=1 2"], ["a.yml"], {"run_id": "r"})
    "ansible-playbook b.yml -e 'x=1 2' -e run_id=r"
    """
    added = [part for name, value in variables.items() for part in ("-e", f"{name}={value}")]
    return shlex.join([program, playbook, *options(arguments, playbooks), *added])
