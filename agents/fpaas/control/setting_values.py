"""Whether values that the user has set can be what their variables are, before anything starts.

The types are those of the roles' argument specifications, which Ansible itself checks late: when
the role begins, on hosts that earlier roles have changed by then. Those of the load are what
`fpaas.spec` says: a scenario may win over them, and then nothing else looks at them. Pure logic.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from fpaas.finite import is_plain
from fpaas.spec import VARIABLES, SpecError

#: What a value may be, by its type in an argument specification.
ALLOWED = {
    "bool": "true or false",
    "int": "a whole number, 0 or more",
    "float": "a number, 0 or more",
    "path": "an absolute path",
    "list": "a list; with -e, as JSON: -e '{\"name\": [\u2026]}'",
    "dict": "a mapping; with -e, as JSON: -e '{\"name\": {\u2026}}'",
}
PORT, PORT_ALLOWED = "_port", "a port, 1 to 65535"
PORT_MAX = 65_535
#: What a value of these types already is. Ansible would convert text, and roles use it as it is:
#: of "PrivateUsers" as a list, letter by letter.
CONTAINERS: dict[str, type] = {"list": list, "dict": Mapping}
#: Of these, 0 would be no limit at all, or nothing that can work.
POSITIVE = frozenset(
    {
        *("lab_consumers_hosts", "lab_open_files", "machine_lab_cpus", "machine_lab_memory_mb"),
        *("nats_cpu_max_cores", "nats_max_connections", "prometheus_scrape_interval_s"),
        *("run_progress_interval_s", "run_start_patience_s"),
    }
)
POSITIVE_ALLOWED = "a number above 0"
SIZE = (r"[1-9]\d*([kmgt]i?b?)?", "bytes, like 8MB")
DURATION = (r"(?=.*[1-9])(\d+(\.\d+)?(ms|s|m|h))+", "a time with its unit, like 10s or 500ms")
VERSION = (r"\d+\.\d+\.\d+", "a version, like 2.10.0")
#: What text has to look like, in any case, where other text would be read late, or not as meant.
LIKE = {
    "nats_max_payload": SIZE,
    "nats_max_pending": SIZE,
    "nats_write_deadline": DURATION,
    "run_nats_server_oldest": VERSION,
}
NOT_EMPTY = (r".*\S.*", "any text but an empty one")
#: Numbers that may be negative: clocks that are behind, or run slow.
SIGNED = frozenset({"machine_lab_clock_ahead_s", "machine_lab_clock_drift_ppm"})
#: In a setting's option: the lab has a value of its own, which null would hide.
NEVER_NULL = "never_null"
#: In a setting's option: the lab has a text of its own, and nothing works without one.
NEVER_EMPTY = "never_empty"

VAULTED = "the vaulted value"

#: Turns a value into one of a type ("int", …), as Ansible does; raises TypeError or ValueError.
Convert = Callable[[str, Any], Any]


class Vaulted(str):
    """Text that a vault has: it is checked as other text is, and not shown."""

    __slots__ = ()

    def __repr__(self) -> str:
        """Return what a sentence may say of it."""
        return VAULTED


def refusal(name: str, value: Any, option: Mapping[str, Any], convert: Convert) -> str | None:  # noqa: ANN401
    """Say why `value` cannot be `name`, whose argument specification is `option`; None: it can.

    Templates are not judged: they have no value yet. `option` says whether null is one
    (`NEVER_NULL`), and whether empty text is (`NEVER_EMPTY`).
    """
    if _has_template(value):
        return None
    if name in VARIABLES:
        return _refusal_of_load(name, value)
    if value is None:
        if not option.get(NEVER_NULL):
            return None
        return f"{name}: null is not allowed; leave it out, and the lab's own value is in force"
    kind, choices = option.get("type"), option.get("choices")
    if choices:
        allowed = ", ".join(str(one) for one in choices)
        fits = str(value) in map(str, choices)
    elif kind in ALLOWED:
        allowed = PORT_ALLOWED if name.endswith(PORT) else ALLOWED[kind]
        if name in POSITIVE:
            allowed = POSITIVE_ALLOWED + ("" if option.get(NEVER_NULL) else ", or null")
        fits = _fits(name, value, kind, convert)
    elif name in LIKE or (kind == "str" and option.get(NEVER_EMPTY)):
        pattern, allowed = LIKE.get(name, NOT_EMPTY)
        fits = re.fullmatch(pattern, str(value), re.ASCII | re.DOTALL | re.IGNORECASE) is not None
    else:
        return None
    return None if fits else f"{name}: {value!r} is not allowed; allowed: {allowed}"


def _fits(name: str, value: Any, kind: str, convert: Convert) -> bool:  # noqa: ANN401
    if kind == "path":
        return isinstance(value, str) and value.startswith(("/", "~"))
    if kind in CONTAINERS:
        return isinstance(value, CONTAINERS[kind])
    if kind in ("int", "float") and not is_plain(value):
        return False
    try:
        converted = convert(kind, value)
    except (TypeError, ValueError):
        return False
    if name.endswith(PORT):
        return bool(0 < converted <= PORT_MAX)
    is_enough = converted > 0 or (converted == 0 and name not in POSITIVE)
    return kind not in ("int", "float") or is_enough or name in SIGNED


def _refusal_of_load(name: str, value: Any) -> str | None:  # noqa: ANN401
    try:
        VARIABLES[name].read(name, value)
    except SpecError as error:
        return str(error)
    return None


def _has_template(value: Any) -> bool:  # noqa: ANN401
    if isinstance(value, Mapping):
        return any(map(_has_template, value.values()))
    if isinstance(value, list | tuple):
        return any(map(_has_template, value))
    return isinstance(value, str) and ("{{" in value or "{%" in value)
