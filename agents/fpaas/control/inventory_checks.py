"""Whether an inventory is one of a lab, judged before any host is asked anything. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

GROUPS = ("relay", "nats", "shuffler", "consumers")
#: Parts of files' names, of NATS servers' names and of certificates.
HOST_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,62}\Z")
SERVERS = (1, 3)
MONITORING = "monitoring"
#: How Ansible reaches the machine that it runs on.
LOCAL_CONNECTIONS = ("local", "ansible.builtin.local")


def problems(
    groups: Mapping[str, Sequence[str]],
    needed: Sequence[str],
    sources: Sequence[str],
    checkout: Path,
) -> Iterator[str]:
    """Say what is wrong with an inventory (its groups' hosts, its files) for a lab in `checkout`.

    `needed` are the groups that a playbook cannot do without.
    """
    inventory = f"Inventory {', '.join(Path(source).name for source in sources)}"
    hosts = {group: list(groups.get(group) or []) for group in GROUPS}
    watching = list(groups.get(MONITORING) or [])
    names = list(dict.fromkeys([*(name for group in GROUPS for name in hosts[group]), *watching]))
    is_empty = not any(hosts.values())
    missing = sorted(group for group in (GROUPS if is_empty else needed) if not hosts[group])
    if missing:
        yield (
            f"{inventory}: {'group' if len(missing) == 1 else 'groups'} {', '.join(missing)}: no "
            "host. A lab needs hosts in the groups nats, shuffler and consumers, and in relay "
            "unless the firehose is foreign; see inventory/vms.example.yml."
        )
    if "nats" in needed and hosts["nats"] and len(hosts["nats"]) not in SERVERS:
        yield (
            f"{inventory}: group nats: {len(hosts['nats'])} hosts are not allowed "
            f"({', '.join(hosts['nats'])}); allowed: 1, a single server, or 3, a JetStream cluster."
        )
    unfit = [json.dumps(name) for name in names if not HOST_NAME.match(name)]
    if unfit:
        yield (
            f"{inventory}: host {', '.join(unfit)}: is not allowed as a host's name; allowed: "
            "letters, digits, '.', '_', '-' and ':', at most 63 of them, the first a letter or a "
            "digit. "
            "Give it such a name, and its address as ansible_host."
        )
    if len({name.lower() for name in names}) < len(names):
        yield (
            f"{inventory}: hosts {', '.join(sorted(names, key=str.lower))}: two of these names "
            "differ in capitals only, which certificates do not tell apart; rename one."
        )
    if any(_reads_beside(Path(source)) == checkout.resolve() for source in sources):
        yield (
            f"{inventory}: is beside the lab's group_vars, which Ansible would take for the "
            "inventory's own; move it into inventory/."
        )


def _reads_beside(source: Path) -> Path | None:
    """Return the directory whose group_vars Ansible takes for a source's own; `a,b` has none."""
    if "," in source.name and not source.exists():
        return None
    return source.resolve() if source.is_dir() else source.resolve().parent


def left_out(
    groups: Mapping[str, Sequence[str]], played: Collection[str], *, is_whole: bool
) -> Iterator[str]:
    """Say which hosts of a lab `--limit` leaves out, if a playbook cannot do without them.

    `played` are those that it leaves, and `is_whole`: the playbook needs all of them. Each needs
    one at least: otherwise it would do nothing, and succeed.
    """
    names = dict.fromkeys(host for name in (*GROUPS, MONITORING) for host in groups.get(name) or ())
    missing = [name for name in names if name not in played]
    if missing and (is_whole or len(missing) == len(names)):
        what = "a run needs all hosts of its lab" if is_whole else "nothing would be done"
        yield (
            f"--limit: leaves out {', '.join(missing)}: {what}; leave --limit out, or use an "
            "inventory of the hosts that you mean"
        )


def tags_that_skip(
    run_tags: Collection[str], skipped: Collection[str], own: Collection[str]
) -> Iterator[str]:
    """Say that `--tags` or `--skip-tags` leaves nothing to do, if it does: the lab has no tags.

    `own` are the tags of a task of the lab's, as one has them who imports its playbooks.
    """
    everything = {"all"} if own else {"all", "untagged"}
    if {*skipped} & everything:
        yield (
            f"--skip-tags: {', '.join(skipped)}: skips all tasks of the lab, so nothing would be "
            "done; leave --skip-tags out"
        )
    if not {*run_tags} & {"all", "untagged", *own}:
        yield (
            f"--tags: {', '.join(run_tags)}: no task of the lab has such a tag, so nothing would "
            "be done; leave --tags out"
        )


def too_few_consumers_hosts(groups: Mapping[str, Sequence[str]], wanted: object) -> Iterator[str]:
    """Say that a lab has fewer consumers hosts than are to take part (`lab_consumers_hosts`)."""
    there = len(groups.get("consumers") or ())
    if str(wanted).isdecimal() and int(str(wanted)) > there:
        yield f"lab_consumers_hosts: {wanted}: the inventory's group consumers has {there}"


def several_here(connections: Mapping[str, str]) -> Iterator[str]:
    """Name hosts that all are this machine: they would share one lab's directory and ports.

    `connections` are Ansible's, by host.
    """
    here = [host for host, connection in connections.items() if connection in LOCAL_CONNECTIONS]
    if len(here) > 1:
        yield (
            f"hosts {', '.join(here)}: all are this machine (ansible_connection), which is one "
            "host of a lab; give it one name in all groups, as inventory/localhost.yml does, or "
            "give the others their addresses."
        )
