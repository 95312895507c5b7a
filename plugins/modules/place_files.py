"""Puts several small files in place at once."""

from __future__ import annotations

import tempfile
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = """
module: place_files
short_description: Put several small files in place at once
description:
  - As a loop of C(ansible.builtin.copy) with C(content) would, in one call to the host instead of
    two or three for each file.
options:
  directory:
    description: Where they are to be; it is there already.
    type: path
    required: true
  files:
    description: Name of each → what is to be in it.
    type: dict
    required: true
  mode:
    description: Their permissions, octal.
    type: str
    required: true
  owner:
    description: Whose the files are; left as it is if not given.
    type: str
  group:
    description: Their group; left as it is if not given.
    type: str
author:
  - FPaaS bench lab
"""

EXAMPLES = """
- name: Place configuration
  fpaas.bench_lab.place_files:
    directory: /etc
    owner: root
    group: root
    mode: "0644"
    files:
      lab.conf: answer = 42
"""

RETURN = """
names:
  description: Files that were, or in check mode would be, changed.
  type: list
  elements: str
  returned: always
"""


def place(module: AnsibleModule, path: Path, content: bytes) -> bool:
    """Put one file in place; returns whether that changed anything."""
    changed = not path.is_file() or path.read_bytes() != content
    if changed and module.check_mode:
        return True
    if changed:
        with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as unfinished:
            unfinished.write(content)
        module.add_cleanup_file(unfinished.name)
        # Before it has its name, so that nobody can read a secret.
        _own(module, unfinished.name)
        module.atomic_move(unfinished.name, str(path), keep_dest_attrs=False)
    return _own(module, str(path)) or changed


def _own(module: AnsibleModule, path: str) -> bool:
    wanted = module.params
    changed: bool = module.set_mode_if_different(path, wanted["mode"], changed=False)
    changed = module.set_owner_if_different(path, wanted["owner"], changed=changed)
    return bool(module.set_group_if_different(path, wanted["group"], changed=changed))


def main() -> None:
    """See DOCUMENTATION."""
    module = AnsibleModule(
        argument_spec={
            "directory": {"type": "path", "required": True},
            "files": {"type": "dict", "required": True},
            "mode": {"type": "str", "required": True},
            "owner": {"type": "str"},
            "group": {"type": "str"},
        },
        supports_check_mode=True,
    )
    directory = Path(module.params["directory"])
    changed = [
        name
        for name, content in module.params["files"].items()
        if place(module, directory / name, content.encode())
    ]
    module.exit_json(changed=bool(changed), names=changed)


if __name__ == "__main__":
    main()
