"""Sets sysctls, remembers what they were, and returns them to that."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = """
module: set_sysctls
short_description: Set sysctls so that they can be restored
description:
  - Sets sysctls now and, by a file of sysctl.d, from the next start of the host on.
  - What cannot be set here is left as it is and said, as in containers.
options:
  settings:
    description: Names and values.
    type: dict
    default: {}
  file:
    description: The file in sysctl.d.
    type: path
    required: true
  before:
    description: File in which the values before ours are kept.
    type: path
    required: true
  state:
    description: Whether they are to be set, or restored.
    type: str
    choices: [present, absent]
    default: present
author:
  - FPaaS bench lab
"""

EXAMPLES = """
- name: Let more connections wait to be accepted
  fpaas.bench_lab.set_sysctls:
    settings:
      net.core.somaxconn: 16384
    file: /etc/sysctl.d/60-lab.conf
    before: /var/lib/lab/sysctls-before.json
"""

RETURN = """
kept:
  description: What could not be set, and why; empty if all was.
  type: str
  returned: always
"""

PROC = Path("/proc/sys")


def path_of(name: str) -> Path:
    """Where the kernel shows a setting."""
    return PROC / name.replace(".", "/")


def normal(value: object) -> str:
    """Write a value as its neighbours are compared: with single spaces."""
    return " ".join(str(value).split())


def read(name: str) -> str | None:
    """Return a setting's value; None if there is none of that name."""
    try:
        return normal(path_of(name).read_text(encoding="ascii"))
    except OSError:
        return None


def write(name: str, value: str) -> str | None:
    """Set it; returns why not."""
    try:
        path_of(name).write_text(value + "\n", encoding="ascii")
    except OSError as error:
        return error.strerror or str(error)
    return None


def writable(name: str) -> str | None:
    """Return why a setting could not be set; writing its own value changes nothing."""
    value = read(name)
    return "there is no such setting" if value is None else write(name, value)


def present(settings: dict[str, str], file: Path, before: Path, *, check: bool) -> tuple[bool, str]:
    """Set what is otherwise; returns whether anything was, and what could not be."""
    wrong = {name: value for name, value in settings.items() if read(name) != value}
    reasons = {name: why for name in wrong if (why := writable(name))}
    settable = {name: value for name, value in settings.items() if name not in reasons}
    text = "".join(f"{name} = {value}\n" for name, value in sorted(settable.items()))
    changes = [name for name in wrong if name not in reasons]
    file_is = file.read_text(encoding="utf-8") if file.exists() else ""
    if not check:
        if changes:
            known = json.loads(before.read_text(encoding="utf-8")) if before.exists() else {}
            now = {name: read(name) for name in changes}
            before.write_text(json.dumps({**now, **known}) + "\n", encoding="utf-8")
        for name in changes:
            write(name, settings[name])
        if text != file_is and text:
            file.write_text(text, encoding="utf-8")
        elif not text:
            file.unlink(missing_ok=True)
    kept = "; ".join(f"{name} = {read(name)} ({why})" for name, why in sorted(reasons.items()))
    return bool(changes) or text != file_is, kept


def absent(file: Path, before: Path, *, check: bool) -> bool:
    """Restore them; returns whether that changed anything."""
    known = json.loads(before.read_text(encoding="utf-8")) if before.exists() else {}
    there = file.exists() or bool(known)
    if not check:
        for name, value in known.items():
            write(name, value)
        before.unlink(missing_ok=True)
        file.unlink(missing_ok=True)
    return there


def main() -> None:
    """See DOCUMENTATION."""
    module = AnsibleModule(
        argument_spec={
            "settings": {"type": "dict", "default": {}},
            "file": {"type": "path", "required": True},
            "before": {"type": "path", "required": True},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        },
        supports_check_mode=True,
    )
    wanted: dict[str, Any] = module.params
    file, before = Path(wanted["file"]), Path(wanted["before"])
    kept = ""
    if wanted["state"] == "present":
        settings = {name: normal(value) for name, value in wanted["settings"].items()}
        changed, kept = present(settings, file, before, check=module.check_mode)
    else:
        changed = absent(file, before, check=module.check_mode)
    module.exit_json(changed=changed, kept=kept)


if __name__ == "__main__":
    main()
