"""Files of variables beside an inventory that Ansible reads for nobody, and says nothing of it."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

SUFFIXES = ("", ".yml", ".yaml", ".json")
#: Ansible reads none of these.
IGNORED = re.compile(r"\..*|.*~|.*\.(orig|bak|ini|cfg|retry|pyc|pyo)")


def notes(
    groups: Mapping[str, Sequence[str]], sources: Iterable[str], checkout: Path
) -> Iterator[str]:
    """Name what group_vars and host_vars have for no group or host of the inventory.

    Those beside the inventory and beside playbooks count, and of the `checkout` itself all.yml.
    Inventories may share a directory: what another file there speaks of is not named.
    """
    files = [Path(source).absolute() for source in sources if Path(source).exists()]
    known = {
        "group": {*groups, "all", "ungrouped"},
        "host": {host for hosts in groups.values() for host in hosts},
    }
    directories = [one if one.is_dir() else one.parent for one in files]
    if checkout not in directories:
        yield from _never_read(checkout)
    for directory in dict.fromkeys([*directories, checkout / "playbooks"]):
        for kind, names in known.items():
            unknown = [
                path for path in _entries(directory / f"{kind}_vars") if _name(path) not in names
            ]
            spoken_of = _words_of_others(directory, files) if unknown else set()
            for path in unknown:
                if _name(path) not in spoken_of:
                    yield _sentence(path, kind, names)


def _never_read(checkout: Path) -> Iterator[str]:
    for kind in ("group", "host"):
        for path in _entries(checkout / f"{kind}_vars"):
            if path != checkout / "group_vars" / "all.yml":
                yield (
                    f"{path}: has no effect: put it into {kind}_vars beside the inventory; here, "
                    "group_vars/all.yml is read and nothing else"
                )


def _entries(directory: Path) -> list[Path]:
    if not directory.is_dir():
        return []
    return [path for path in sorted(directory.iterdir()) if not IGNORED.fullmatch(path.name)]


def _name(path: Path) -> str:
    """Return whose variables a file or a directory has: hosts' names have dots, too."""
    has_suffix = path.is_file() and path.suffix in SUFFIXES
    return path.stem if has_suffix else path.name


def _words_of_others(directory: Path, files: Collection[Path]) -> set[str]:
    words: set[str] = set()
    for path in directory.iterdir():
        if path.is_file() and path not in files:
            words.update(re.findall(r"[\w.-]+", path.read_text(encoding="utf-8", errors="replace")))
    return words


def _sentence(path: Path, kind: str, names: Iterable[str]) -> str:
    near = difflib.get_close_matches(_name(path), sorted(names), n=1)
    meant = f"; did you mean {near[0]}?" if near else ""
    return f"{path}: has no effect: the inventory has no {kind} {_name(path)}{meant}"
