"""Proofs from Merkle search trees: the nodes that show what a repository has at some keys.

A key's layer is given by its hash, and every node holds keys of one layer, in order, with those of
lower layers in the subtrees between them. A proof is the nodes from the root to where each key is,
or would be. The neighbours are made up, but each lies where its hash puts it, so that a reader who
walks the tree finds what it should, and nothing if a key was deleted. See
https://atproto.com/specs/repository.
"""

from __future__ import annotations

import random
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from typing import NamedTuple

from fpaas.firehose import dag_cbor
from fpaas.firehose.dag_cbor import LINK_PREFIX, NULL, byte_string, head, text

#: A fourth of a layer's keys are in the next one.
_LAYER_BITS = 2
_HASH_BITS = 256
#: The root's layer has some keys to choose from.
_ROOT_KEYS_MIN = 4
#: Of subtrees that are not on the way.
_SUBTREE_SHARE = 0.6


def layer_of(key: bytes) -> int:
    """Return the layer that a key belongs to: pairs of zero bits at its hash's beginning."""
    number = int.from_bytes(sha256(key).digest(), "big")
    return (_HASH_BITS - number.bit_length()) // _LAYER_BITS


class Range(NamedTuple):
    """Keys between two, without them; `high` None is without end."""

    low: bytes
    high: bytes | None


class KeyBank:
    """Keys to choose neighbours from, by layer, each layer in order."""

    def __init__(self, count: int, draw: Callable[[], bytes]) -> None:
        self.layers: list[list[bytes]] = []
        for key in {draw() for _ in range(count)}:
            layer = layer_of(key)
            while len(self.layers) <= layer:
                self.layers.append([])
            self.layers[layer].append(key)
        for keys in self.layers:
            keys.sort()
        #: The highest layer for a root.
        self.top = max(n for n, keys in enumerate(self.layers) if len(keys) >= _ROOT_KEYS_MIN)

    def around(
        self, rng: random.Random, layer: int, between: Range, middle: bytes, count: int
    ) -> list[bytes]:
        """Choose up to `count` of a layer's keys in a range, far enough from `middle`.

        That leaves enough of lower layers between them.
        """
        if layer >= len(self.layers):
            return []
        low, high = between
        keys = self.layers[layer]
        first = bisect_left(keys, low + b"\0")
        last = len(keys) if high is None else bisect_left(keys, high)
        split = bisect_left(keys, middle, first, last)
        count = min(count, max(1, (last - first) // 4), last - first)
        left = min(split - first, max(count - (last - split), rng.randrange(count + 1)))
        right = min(last - split, count - left)
        at = first + rng.randrange((split - first - left) // 2 + 1)
        to = last - rng.randrange((last - split - right) // 2 + 1)
        return keys[at : at + left] + keys[to - right : to]


class Proof:
    """Nodes that prove `values` (key → link) to be in a tree, and `absent` keys not to be.

    About `count` neighbours are spread over them, from layer `root_layer` (at least) down. The
    `nodes` are encoded, the root first.
    """

    def __init__(
        self,
        rng: random.Random,
        bank: KeyBank,
        values: Mapping[bytes, bytes],
        absent: Sequence[bytes],
        *,
        root_layer: int,
        count: int,
    ) -> None:
        self.nodes: list[bytes] = []
        self._rng = rng
        self._bank = bank
        self._values = values
        self._layers = {key: layer_of(key) for key in values}
        self._left = count
        top = max([root_layer, *self._layers.values()])
        #: Nobody looks for anything below it.
        self._bottom = 0 if absent else min(self._layers.values())
        self._build(top, Range(b"", None), sorted([*values, *absent]))

    def _build(self, layer: int, between: Range, keys: Sequence[bytes]) -> bytes:
        """Make the node for `keys` in a range; returns its link, NULL if it would be empty."""
        at = len(self.nodes)
        self.nodes.append(b"")
        own = [key for key in keys if self._layers.get(key) == layer]
        share = -(-self._left // (layer - self._bottom + 1))
        if not at and not own:
            share = max(1, share)
        middle = keys[len(keys) // 2]
        chosen = self._bank.around(self._rng, layer, between, middle, max(0, share))
        neighbours = [key for key in chosen if key not in keys]
        self._left -= len(neighbours)
        entries = sorted([*own, *neighbours])
        subtrees = self._subtrees(layer, between, entries, keys)
        if not entries and subtrees == [NULL]:
            del self.nodes[at:]
            return NULL
        self.nodes[at] = self._encode(entries, subtrees)
        return link(self.nodes[at])

    def _subtrees(
        self, layer: int, between: Range, entries: list[bytes], keys: Sequence[bytes]
    ) -> list[bytes]:
        """Make what lies before, between and behind a node's entries; `keys` are in order."""
        if not layer:
            return [NULL] * (len(entries) + 1)
        found = []
        random = self._rng.random
        low = between.low
        for high in (*entries, between.high):
            first = bisect_right(keys, low)
            last = len(keys) if high is None else bisect_left(keys, high)
            if first < last:
                found.append(self._build(layer - 1, Range(low, high), keys[first:last]))
            else:
                found.append(any_link(self._rng) if random() < _SUBTREE_SHARE else NULL)
            # Behind the last one there is none.
            low = high or low
        return found

    def _encode(self, keys: list[bytes], subtrees: list[bytes]) -> bytes:
        entries = []
        before = b""
        for key, subtree in zip(keys, subtrees[1:], strict=True):
            shared = _shared_prefix(before, key)
            before = key
            entries.append(
                b"\xa4\x61k"
                + byte_string(key[shared:])
                + b"\x61p"
                + head(dag_cbor.UINT, shared)
                + b"\x61t"
                + subtree
                + b"\x61v"
                + (self._values.get(key) or any_link(self._rng))
            )
        return (
            head(dag_cbor.MAP, 2)
            + text("e")
            + head(dag_cbor.ARRAY, len(entries))
            + b"".join(entries)
            + text("l")
            + subtrees[0]
        )


def link(block: bytes) -> bytes:
    """Encode a link to a block."""
    return LINK_PREFIX + dag_cbor.digest_of(block)


def any_link(rng: random.Random) -> bytes:
    """Encode a link to a block that nobody has."""
    # As randbytes(32), at half the time.
    return LINK_PREFIX + rng.getrandbits(256).to_bytes(32, "little")


def _shared_prefix(first: bytes, second: bytes) -> int:
    """Return how many bytes two keys have in common at their beginning."""
    length = min(len(first), len(second))
    difference = int.from_bytes(first[:length], "big") ^ int.from_bytes(second[:length], "big")
    return length - (difference.bit_length() + 7) // 8
