"""Whether what the user set as the control node's directories can be that."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

#: Variables that are directories of the control node, whatever the lab's hosts are.
NAMES = ("results_dir", "lab_control_dir", "lab_cache_dir", "lab_work_dir")


#: A directory of each host, which may be this machine.
OF_HOST = "lab_dir"


def refusals(settings: Mapping[str, Any], *, is_here: bool = False) -> dict[str, str]:
    """Say of each one, by its name, what is in its way; `is_here`: the host is the control node."""
    found = {}
    for name in (*NAMES, OF_HOST) if is_here else NAMES:
        path = settings.get(name)
        # What is a template has no value yet; all else but paths is refused by its type.
        if isinstance(path, str) and path.startswith(("/", "~")) and "{{" not in path:
            # Unlike Path's, these take unknown users, and places that nobody may look into.
            where = Path(os.path.expanduser(path))  # noqa: PTH111
            places = (where, *where.parents)
            there = next(one for one in places if os.path.exists(one))  # noqa: PTH110
            if not there.is_dir():
                found[name] = (
                    f"{name}: {path} cannot be a directory: {there} is none; "
                    "give a directory, or a place for one"
                )
    return found
