"""Checks what the user has set, and has it apply to the whole lab."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from ansible._internal._datatag._tags import VaultedValue
from ansible.module_utils.common.parameters import DEFAULT_TYPE_VALIDATORS
from ansible.parsing.vault import EncryptedString
from ansible.plugins.action import ActionBase
from ansible.utils.vars import load_extra_vars

from fpaas.control import inventory_checks, own_places, setting_values, settings

ARGUMENTS: dict[str, dict[str, Any]] = {
    "hosts": {"type": "list", "elements": "str", "required": True},
}
COLLECTION = Path(__file__).resolve().parents[2]


class ActionModule(ActionBase):  # type: ignore[misc]  # Ansible has no types
    """See the module of this name."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: object = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Fail with what is wrong, or give this host the values that others were given."""
        del tmp
        task_vars = task_vars or {}
        _, arguments = self.validate_argument_spec(ARGUMENTS)
        result: dict[str, Any] = super().run(None, task_vars)
        known = settings.tunables(COLLECTION)
        host = task_vars["inventory_hostname"]
        # Neither a scenario's variables nor roles' defaults are among these.
        hosts = {*arguments["hosts"], host}
        raw = {name: task_vars["hostvars"].raw_get(name) for name in sorted(hosts)}
        users = {name: _read(variables, known) for name, variables in raw.items()}
        # A scenario of the user's own may be wrong, too: of its names, these are surely the lab's.
        unknown = {name for name in task_vars if name.startswith("bench_")} - known.keys()
        wrong = settings.problems(
            {**users, "scenario": dict.fromkeys(unknown)},
            known,
            lambda kind, value: DEFAULT_TYPE_VALIDATORS[kind](value),
        )
        is_here = users[host].get("ansible_connection") in inventory_checks.LOCAL_CONNECTIONS
        of_places = own_places.refusals(users[host], is_here=is_here)
        wrong += [settings.Problem("not_allowed", *one) for one in of_places.items()]
        wanted = users[host].get("lab_consumers_hosts")
        if host in arguments["hosts"]:
            for said in inventory_checks.too_few_consumers_hosts(task_vars["groups"], wanted):
                wrong.append(settings.Problem("not_allowed", "lab_consumers_hosts", said))
        given = load_extra_vars(self._loader)
        no_setting = settings.no_setting(given)
        wrong += [no_setting] if no_setting else []
        if wrong:
            codes = [{"code": problem.code, "name": problem.name} for problem in wrong]
            said = "\n".join(problem.sentence for problem in wrong)
            return {**result, "failed": True, "msg": said, "problems": codes}
        own = {name: value for name, value in users[host].items() if name not in given}
        wins = settings.overridden(own, _read(task_vars, known), known)
        result["overridden"] = [{"name": one.name, "sentence": one.sentence} for one in wins]
        # As an inventory has it: a scenario and -e win over it.
        missing = settings.spread(raw, known, host)
        # The control node of hosts that are to be made is none of them.
        if missing and host in arguments["hosts"]:
            result["add_host"] = {"host_name": host, "groups": [], "host_vars": missing}
        return {**result, "changed": False}


def _read(variables: Mapping[str, Any], names: Collection[str]) -> dict[str, Any]:
    """Return variables; those of `names` that a vault has are decrypted."""
    return {
        name: _decrypted(value) if name in names else value for name, value in variables.items()
    }


def _decrypted(value: Any) -> Any:  # noqa: ANN401
    if isinstance(value, EncryptedString) or VaultedValue.is_tagged_on(value):
        return setting_values.Vaulted(str(value))
    if isinstance(value, Mapping):
        return {key: _decrypted(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_decrypted(one) for one in value]
    return value
