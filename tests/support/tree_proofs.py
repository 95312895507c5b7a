"""Walks Merkle search trees as the repository specification has them, apart from what makes them.

https://atproto.com/specs/repository: a key's depth is the number of leading zero bits of its
SHA-256, divided by two; a node holds keys of one depth, its subtrees those of the next lower one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

Node = dict[str, Any]
Blocks = dict[bytes, Node]


def depth_of(key: bytes) -> int:
    bits = "".join(f"{byte:08b}" for byte in hashlib.sha256(key).digest())
    return (len(bits) - len(bits.lstrip("0"))) // 2


def entries_of(node: Node) -> list[tuple[bytes, bytes, bytes | None]]:
    """Return a node's (key, value, subtree behind it), with the keys' prefixes put back."""
    found = []
    key = b""
    for entry in node["e"]:
        key = key[: entry["p"]] + entry["k"]
        found.append((key, entry["v"], entry["t"]))
    return found


def value_at(blocks: Blocks, root: bytes, wanted: bytes) -> bytes | None:
    """Return what a tree has at a key, None for nothing; KeyError if a node is missing."""
    link: bytes | None = root
    while link is not None:
        node = blocks[link]
        link = node["l"]
        for key, value, subtree in entries_of(node):
            if key == wanted:
                return value
            if key > wanted:
                break
            link = subtree
    return None


def faults_of(blocks: Blocks, root: bytes) -> list[str]:
    """Return what is wrong with the nodes that are there, each in a few words."""
    node = blocks[root]
    if not node["e"]:
        return ["the root has no key"]
    return list(_faults(blocks, root, depth_of(entries_of(node)[0][0]), b"", None))


def _faults(
    blocks: Blocks, link: bytes, depth: int, low: bytes, high: bytes | None
) -> Iterator[str]:
    node = blocks[link]
    entries = entries_of(node)
    if not entries and node["l"] is None:
        yield "a node is empty"
    keys = [key for key, _, _ in entries]
    for before, key in zip([low, *keys], keys, strict=False):
        if key <= before:
            yield f"{key!r} is not behind {before!r}"
        if depth_of(key) != depth:
            yield f"{key!r} belongs to depth {depth_of(key)}, and is at {depth}"
        if high is not None and key >= high:
            yield f"{key!r} is not before {high!r}"
    for before, entry in zip(keys, node["e"][1:], strict=False):
        following = before[: entry["p"]] + entry["k"]
        if entry["p"] < len(before) and following[: entry["p"] + 1] == before[: entry["p"] + 1]:
            yield f"{following!r} shares more with {before!r} than it says"
    lows = [low, *keys]
    highs = [*keys, high]
    subtrees = [node["l"], *(subtree for _, _, subtree in entries)]
    for subtree, after, until in zip(subtrees, lows, highs, strict=True):
        if subtree is None:
            continue
        if not depth:
            yield "there is a subtree below depth 0"
        elif subtree in blocks:
            yield from _faults(blocks, subtree, depth - 1, after, until)
