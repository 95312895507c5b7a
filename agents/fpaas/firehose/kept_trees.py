"""Nodes of a pool's trees, kept from one start to the next: to make them takes most of a start.

They follow from the seed, the mix, and the programs that make them, and the file's name from all of
that. It lies beside what Python compiled, and as that is written if it can be.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
from collections.abc import Mapping
from pathlib import Path

import msgspec

_HERE = Path(__file__).parent
_PROGRAMS = ("synthetic.py", "search_tree.py", "dag_cbor.py", "tid.py")
#: For other seeds and mixes, the latest.
_FILES_MAX = 4


class KeptTrees(msgspec.Struct):
    """The random numbers' state once keys were drawn, and each tree's nodes in order."""

    state: tuple[int, ...]
    nodes: list[list[bytes]]


def path_of(seed: int, shares: Mapping[str, int]) -> Path:
    """Return where the trees of a seed and a mix are kept, if they are."""
    made_of = hashlib.sha256(repr((seed, sorted(shares.items()), sys.version)).encode())
    for name in _PROGRAMS:
        made_of.update((_HERE / name).read_bytes())
    # Archives of sources leave files of this kind out.
    return _HERE / "__pycache__" / f"trees-{made_of.hexdigest()[:16]}.pyc"


def read(path: Path) -> KeptTrees | None:
    """Return what was kept there; None if nothing was, or it is damaged."""
    try:
        return msgspec.msgpack.decode(path.read_bytes(), type=KeptTrees)
    except (OSError, msgspec.DecodeError):
        return None


def write(path: Path, trees: KeptTrees) -> None:
    """Keep trees, unless they cannot be, or Python is to keep nothing."""
    if sys.dont_write_bytecode:
        return
    unfinished = path.with_name(f"{path.name}.{os.getpid()}")
    with contextlib.suppress(OSError):
        path.parent.mkdir(exist_ok=True)
        try:
            unfinished.write_bytes(msgspec.msgpack.encode(trees))
            unfinished.replace(path)
        finally:
            unfinished.unlink(missing_ok=True)
        kept = sorted(path.parent.glob("trees-*.pyc"), key=lambda one: one.stat().st_mtime)
        for oldest in kept[:-_FILES_MAX]:
            oldest.unlink(missing_ok=True)
