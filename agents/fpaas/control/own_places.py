"""Whether what the user set as the lab's directories can be that.

Teardown removes some of them, with all that is in them.
"""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

#: Variables that are directories of the control node, whatever the lab's hosts are.
NAMES = ("results_dir", "lab_control_dir", "lab_cache_dir", "lab_work_dir")


#: A directory of each host, which may be this machine.
OF_HOST = "lab_dir"
#: Directories that teardown removes, on hosts or here.
REMOVED = ("lab_dir", "lab_install_dir", "lab_control_dir")
#: A directory of the control node has this name, and teardown removes it.
LAB_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
#: Others have files in these, as in all that are directly below the root.
SHARED = frozenset(
    [
        *(f"/var/{name}" for name in ("cache", "lib", "local", "log", "mail", "opt", "spool")),
        *("/var/tmp", "/usr/bin", "/usr/lib", "/usr/local", "/usr/sbin", "/usr/share"),  # noqa: S108
    ]
)
#: A directory of this machine with one of these is a lab's.
OF_LABS = ("runs", "guard.json")
#: What one may hold that is none yet: Ansible's, of other labs' control, and of ext4.
NOT_OTHERS = frozenset({"tmp", "control", "ssh", "lost+found"})


def refusals(settings: Mapping[str, Any], *, is_here: bool = False) -> dict[str, str]:
    """Say of each one, by its name, what is in its way; `is_here`: the host is the control node."""
    found = {}
    lab = settings.get("lab_name")
    if isinstance(lab, str) and "{{" not in lab and not LAB_NAME.fullmatch(lab):
        found["lab_name"] = (
            f"lab_name: {lab!r} is not allowed; allowed: letters, digits, '.', '_' and '-', the "
            "first a letter or a digit"
        )
    for name in REMOVED:
        path = settings.get(name)
        if isinstance(path, str) and (said := _shared(path, is_here=is_here and name == OF_HOST)):
            found[name] = f"{name}: {path} is not allowed: {said}, which teardown would remove"
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


def _shared(path: str, *, is_here: bool) -> str:
    """Say whose files teardown would remove with a directory; empty if it is the lab's own."""
    if not path.startswith(("/", "~")) or "{{" in path:
        return ""
    place = PurePosixPath(posixpath.normpath(path))
    is_home = place.parent == PurePosixPath("/home") or str(place) in ("~", "/root")
    is_top = path.startswith("/") and place.parent == place.parent.parent
    if is_home or is_top or str(place) in SHARED:
        return "it has other files than the lab's"
    # Unlike Path's, these take unknown users.
    where = os.path.expanduser(path)  # noqa: PTH111
    try:
        there = set(os.listdir(where)) if is_here else set()  # noqa: PTH208
    except OSError:
        return ""
    others = sorted(there - NOT_OTHERS)
    return (
        f"it has {', '.join(others[:3])} and is no lab's"
        if others and not there & {*OF_LABS}
        else ""
    )
