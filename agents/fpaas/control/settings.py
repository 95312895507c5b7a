"""The user's settings: names that exist, values that the whole lab agrees about.

Settings are variables by host: all that inventories, group_vars, host_vars and `-e` say, without
the lab's own defaults. Pure logic.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

from fpaas.control.setting_values import (
    NEVER_EMPTY,
    NEVER_NULL,
    VAULTED,
    Convert,
    Vaulted,
    refusal,
)

#: Uses libyaml if it is there: ten times as fast.
SAFE_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
#: Names that begin like this are the lab's: one that it does not know would have no effect.
PREFIXES = (
    "bench_",
    "capacity_",
    "cloud_",
    "consumers_",
    "container_lab_",
    "frontier_",
    "grafana_",
    "lab_",
    "machine_lab_",
    "nats_",
    "probe_",
    "prometheus_",
    "relay_",
    "run_",
    "scenario_",
    "shuffler_",
    "sweep_",
)
#: How alike another name has to be to be taken for a slip: `ntas_port`, not `nat_gateway`.
SLIP = 0.85
#: Values of the lab, not of a host: there is one run.json, one results directory, one way to log
#: in.
WHOLE_LAB_PREFIXES = ("bench_", "capacity_", "frontier_", "run_", "scenario_", "sweep_")
WHOLE_LAB = frozenset(
    {
        *("common_nats_cluster_user", "common_nats_system_user", "common_nats_user"),
        *("goals", "lab_consumers_hosts", "lab_control_dir", "lab_monitoring", "lab_name"),
        *("nats_cpu_max_cores", "nats_tls", "results_dir"),
    }
)

Settings = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Problem:
    """A setting that would not do what it says.

    `code`: unknown | misspelt | disagreement | not_allowed.
    """

    code: str
    name: str
    sentence: str


@dataclass(frozen=True)
class Overridden:
    """A setting of the user's over which the scenario wins."""

    name: str
    users: Any
    scenarios: Any

    @property
    def sentence(self) -> str:
        """Say so. What a vault has is not shown, not even in part."""
        return (
            f"{self.name}: the scenario's {_shown(self.scenarios)} wins over the inventory's "
            f"{_shown(self.users)}; -e wins over both"
        )


def tunables(collection: Path) -> dict[str, Mapping[str, Any]]:
    """Return all that can be set, of group_vars/all.yml and the roles' arguments.

    Each name with its argument specification, without a type if no role has one, and whether it
    can be null or empty. `collection` is the directory that has both. Names with a leading
    underscore are private.
    """
    defaults = _mapping(collection / "group_vars" / "all.yml")
    for path in sorted(collection.glob("roles/*/defaults/main.yml")):
        defaults = _mapping(path) | defaults
    options: dict[str, dict[str, Any]] = {
        name: {
            NEVER_NULL: not _can_be_null(value),
            NEVER_EMPTY: isinstance(value, str) and value != "",
        }
        for name, value in defaults.items()
    }
    for path in sorted(collection.glob("roles/*/meta/argument_specs.yml")):
        for entry in _mapping(path).get("argument_specs", {}).values():
            for name, option in entry.get("options", {}).items():
                options[name] = option | options.get(name, {})
    return {name: option for name, option in options.items() if not name.startswith("_")}


def _can_be_null(default: Any) -> bool:  # noqa: ANN401
    """Whether a default is null, or a template that can be."""
    return default is None or (isinstance(default, str) and "None" in default)


def _mapping(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = yaml.load(path.read_text(encoding="utf-8"), Loader=SAFE_LOADER)  # noqa: S506  both are safe
    return content


def problems(
    settings: Settings, known: Mapping[str, Mapping[str, Any]], convert: Convert
) -> list[Problem]:
    """Return what is wrong with the user's settings, each name once.

    `known` are all `tunables`; `convert` turns a value into one of their types.
    """
    found: dict[str, Problem] = {}
    for variables in settings.values():
        for name, value in variables.items():
            if name in found:
                continue
            if name not in known:
                problem = _unknown(name, known)
            else:
                said = refusal(name, value, known[name], convert)
                problem = Problem("not_allowed", name, said) if said else None
            if problem:
                found[name] = problem
    for name in sorted(known):
        if name in found or not is_of_whole_lab(name):
            continue
        if (values := _values(settings, name)) and _differ(values):
            said = ", ".join(f"{host}: {value!r}" for host, value in values.items())
            found[name] = Problem(
                "disagreement",
                name,
                f"{name}: is one for the whole lab, and hosts disagree about it ({said}); set it "
                "for all of them",
            )
    return list(found.values())


def _unknown(name: str, known: Collection[str]) -> Problem | None:
    if name.startswith(("ansible_", "_")):
        return None
    is_ours = name.startswith(PREFIXES)
    near = difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.6 if is_ours else SLIP)
    # Two letters in each other's place weigh much in a short name: `golas`.
    near = near or [one for one in sorted(known) if sorted(one) == sorted(name)]
    if not is_ours and not near:
        return None
    hint = f"did you mean {near[0]}?" if near else "group_vars/all.yml lists them all"
    return Problem(
        "unknown" if is_ours else "misspelt", name, f"{name}: there is no such variable; {hint}"
    )


def no_setting(given: Mapping[str, Any]) -> Problem | None:
    """Return what is wrong with what `-e` was given: Ansible ignores words without a `=`."""
    words = given.get("_raw_params")
    if words is None:
        return None
    return Problem("not_allowed", str(words), f"-e {words}: has no `=`; expected NAME=VALUE")


def is_of_whole_lab(name: str) -> bool:
    """Whether a variable has one value for all hosts."""
    return name in WHOLE_LAB or name.startswith(WHOLE_LAB_PREFIXES)


def spread(settings: Settings, known: Collection[str], host: str) -> dict[str, Any]:
    """Return what other hosts have been set, is the whole lab's, and `host` lacks."""
    found = {}
    for name in sorted(known):
        if is_of_whole_lab(name) and name not in settings[host]:
            for value in _values(settings, name).values():
                found[name] = value
    return found


def overridden(
    settings: Mapping[str, Any], effective: Mapping[str, Any], known: Collection[str]
) -> list[Overridden]:
    """Return the settings of one host over which something stronger wins: its scenario.

    `effective` are variables as tasks see them.
    """
    found = []
    for name in sorted(settings.keys() & effective.keys() & set(known)):
        users, scenarios = _as_written(settings[name]), _as_written(effective[name])
        if users != scenarios:
            found.append(Overridden(name, users, scenarios))
    return found


def _shown(value: Any) -> str:  # noqa: ANN401
    if _is_vaulted(value):
        return VAULTED.removeprefix("the ")
    return json.dumps(value, ensure_ascii=False)


def _is_vaulted(value: Any) -> bool:  # noqa: ANN401
    if isinstance(value, Mapping):
        return any(map(_is_vaulted, value.values()))
    if isinstance(value, list | tuple):
        return any(map(_is_vaulted, value))
    return isinstance(value, Vaulted)


def _as_written(value: Any) -> Any:  # noqa: ANN401
    """Return a value with the key `on`, which YAML reads as true, put right."""
    if isinstance(value, Mapping):
        return {"on" if key is True else key: _as_written(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_as_written(one) for one in value]
    return value


def _values(settings: Settings, name: str) -> dict[str, Any]:
    return {host: variables[name] for host, variables in settings.items() if name in variables}


def _differ(values: Mapping[str, Any]) -> bool:
    first, *others = values.values()
    return any(value != first for value in others)
