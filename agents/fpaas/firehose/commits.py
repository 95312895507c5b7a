"""Synthetic commits: operations, the trees that prove them, and their blocks."""

from __future__ import annotations

import functools
import itertools
import random
from collections.abc import Iterator
from hashlib import sha256
from typing import Any, NamedTuple

from fpaas.firehose import dag_cbor, tid
from fpaas.firehose.dag_cbor import FALSE, LINK_PREFIX, NULL, TRUE, byte_string, head, text
from fpaas.firehose.frame_templates import (
    DID_HEAD,
    DID_LENGTH,
    LINK_BYTES,
    TIME_HEAD,
    Hole,
    Template,
    header,
    section,
    varint,
)
from fpaas.firehose.frames import MAX_FRAME_BYTES
from fpaas.firehose.kept_trees import KeptTrees
from fpaas.firehose.record_contents import UPDATED_COLLECTION, new_rkey, record, rkey
from fpaas.firehose.search_tree import KeyBank, Proof, any_link, layer_of, link

#: Shares of 1000 operations, by collection; creates, updates and deletes are drawn separately.
COLLECTIONS_PER_MILLE = {
    "app.bsky.feed.like": 700,
    "app.bsky.feed.post": 120,
    "app.bsky.feed.repost": 100,
    "app.bsky.graph.follow": 60,
    "app.bsky.graph.block": 12,
    "app.bsky.graph.listitem": 5,
    "app.bsky.feed.threadgate": 3,
}
#: Shares of 1000 commits: updates are of records that have a fixed key, such as the profile.
ACTIONS_PER_MILLE = {"create": 955, "delete": 39, "update": 6}
#: Shares of 1000 commits: how many operations they have; 1.01 on average.
OPERATIONS_PER_MILLE = {1: 993, 2: 6, 5: 1}
#: Frame sizes in bytes: (quantile, size), linear in between.
SIZE_QUANTILES = (
    (0.0, 1500),
    (0.05, 2800),
    (0.10, 3500),
    (0.25, 4450),
    (0.50, 5400),
    (0.75, 6550),
    (0.90, 7400),
    (0.95, 8100),
    (0.99, 8800),
    (1.0, 9100),
)
#: The rare large ones, once each in a pool.
LARGE_BYTES = (20_000, 70_000)
OPERATIONS_MAX = 200
_COLLECTIONS = (tuple(COLLECTIONS_PER_MILLE), tuple(COLLECTIONS_PER_MILLE.values()))
#: To choose from; a fourth of them is in the next layer, and so on.
_KEYS = 2**16
_TREES_TRIED_MAX = 4
# The mean size of a commit, so that sizes come out as drawn (within an entry's size).
_COMMIT_BYTES = 525
_NODE_BYTES = 600
_NODE_OVERHEAD_BYTES = 66
_ENTRY_BYTES = 90


def _any_key(rng: random.Random) -> bytes:
    (collection,) = rng.choices(*_COLLECTIONS)
    return f"{collection}/{rkey(rng)}".encode()


def deck(rng: random.Random, size: int, shares: dict[Any, int]) -> list[Any]:
    """Return `size` values in random order, each as often as its share asks for, to the unit.

    A pool repeats: drawing at random would repeat the draw's error too.
    """
    total = sum(shares.values())
    bounds = [round(size * share / total) for share in itertools.accumulate(shares.values())]
    deck = [
        value
        for value, first, last in zip(shares, [0, *bounds], bounds, strict=False)
        for _ in range(last - first)
    ]
    rng.shuffle(deck)
    return deck


def _sizes(rng: random.Random, count: int) -> list[int]:
    sizes = []
    for number in range(count - len(LARGE_BYTES)):
        quantile = (number + 0.5) / count
        for (low, low_size), (high, high_size) in itertools.pairwise(SIZE_QUANTILES):
            if quantile <= high:
                share = (quantile - low) / (high - low)
                sizes.append(round(low_size + share * (high_size - low_size)))
                break
    sizes.extend(LARGE_BYTES)
    rng.shuffle(sizes)
    return sizes


class Operation(NamedTuple):
    """One change to a repository; `record` is None for deletes."""

    action: str
    path: str
    record: bytes | None
    previous: bytes | None

    def encode(self) -> bytes:
        """Encode as the lexicon's repoOp."""
        cid = NULL if self.record is None else link(self.record)
        entries = [text("cid") + cid, text("path") + text(self.path)]
        if self.previous is not None:
            entries.append(text("prev") + self.previous)
        entries.append(text("action") + text(self.action))
        return head(dag_cbor.MAP, len(entries)) + b"".join(entries)


class Proven(NamedTuple):
    """Must be in a commit's tree: `values` (key → link) at their keys, and nothing at `absent`."""

    values: dict[bytes, bytes]
    absent: list[bytes]


def commit_templates(rng: random.Random, trees: Trees, count: int) -> Iterator[Template]:
    """Make commits of all sizes and operations."""
    sizes = _sizes(rng, count)
    operation_counts = deck(rng, count, OPERATIONS_PER_MILLE)
    total = sum(operation_counts)
    actions = iter(deck(rng, total, ACTIONS_PER_MILLE))
    collections = iter(deck(rng, total, COLLECTIONS_PER_MILLE))
    for size, operation_count in zip(sizes, operation_counts, strict=True):
        operations = [
            _operation(rng, next(actions), next(collections)) for _ in range(operation_count)
        ]
        yield _commit(rng, trees, operations, size)


def many_operations(rng: random.Random, trees: Trees) -> Template:
    """Make the commit with the most operations that one may have."""
    actions = deck(rng, OPERATIONS_MAX, ACTIONS_PER_MILLE)
    collections = deck(rng, OPERATIONS_MAX, COLLECTIONS_PER_MILLE)
    operations = [_operation(rng, *each) for each in zip(actions, collections, strict=True)]
    return _commit(rng, trees, operations, 0)


def largest(rng: random.Random, trees: Trees) -> Template:
    """Return a commit that fills a frame, with a field that nobody knows."""
    # The widest seq: it must fit whatever the number.
    seq, text_13 = head(dag_cbor.UINT, 2**53 - 1), bytes(tid.LENGTH)
    hole = Hole(seq, bytes(DID_LENGTH), text_13, text_13, bytes(24), bytes(LINK_BYTES), 0)
    operations = [_operation(rng, "create", "app.bsky.feed.post")]
    seed = rng.getrandbits(64)
    padding = MAX_FRAME_BYTES // 2
    for _ in range(2):
        template = _commit(random.Random(seed), trees, operations, 5400, padding)
        padding += MAX_FRAME_BYTES - len(template.render(hole))
    return template


def too_big(rng: random.Random) -> Template:
    """Return a commit that only says that it was too big to be sent."""
    return _commit_of(rng, any_link(rng), operations=[], sections=b"", too_big=TRUE)


def _operation(rng: random.Random, action: str, collection: str) -> Operation:
    if action == "update":
        return Operation(
            action, f"{UPDATED_COLLECTION}/self", record(rng, UPDATED_COLLECTION), any_link(rng)
        )
    if action == "delete":
        return Operation(action, f"{collection}/{rkey(rng)}", None, any_link(rng))
    return Operation(action, f"{collection}/{new_rkey(rng)}", record(rng, collection), None)


def _commit(
    rng: random.Random,
    trees: Trees,
    operations: list[Operation],
    target_bytes: int,
    padding_bytes: int = 0,
) -> Template:
    records = [operation.record for operation in operations if operation.record is not None]
    fixed_bytes = _COMMIT_BYTES + sum(len(operation.encode()) for operation in operations)
    fixed_bytes += sum(len(record) + 38 for record in records)
    proven = Proven(
        {
            operation.path.encode(): link(operation.record)
            for operation in operations
            if operation.record is not None
        },
        [operation.path.encode() for operation in operations if operation.record is None],
    )
    nodes = trees.nodes(rng, proven, target_bytes - fixed_bytes)
    sections = b"".join(map(section, [*nodes, *records]))
    return _commit_of(
        rng,
        link(nodes[0]),
        operations=operations,
        sections=sections,
        too_big=FALSE,
        padding_bytes=padding_bytes,
    )


def _commit_of(
    rng: random.Random,
    root: bytes,
    *,
    operations: list[Operation],
    sections: bytes,
    too_big: bytes,
    padding_bytes: int = 0,
) -> Template:
    """Return a commit whose CAR has `sections` before its commit block."""
    encoded_operations = b"".join(operation.encode() for operation in operations)
    block = CommitBlock(rng, root)
    car = Car(block, sections)
    padding = text("padding") + byte_string(bytes(padding_bytes)) if padding_bytes else b""

    before_rev = (
        header("#commit")
        + head(dag_cbor.MAP, 13 if padding else 12)
        + text("ops")
        + head(dag_cbor.ARRAY, len(operations))
        + encoded_operations
        + text("rev")
        + head(dag_cbor.TEXT, tid.LENGTH)
    )
    before_seq = text("seq")
    before_did = text("repo") + DID_HEAD
    before_time = text("time") + TIME_HEAD
    before_since = (
        text("blobs") + head(dag_cbor.ARRAY, 0) + text("since") + head(dag_cbor.TEXT, tid.LENGTH)
    )
    before_car = text("blocks") + car.head
    before_commit = text("commit") + LINK_PREFIX
    before_prev_data = (
        text("rebase") + FALSE + text("tooBig") + too_big + padding + text("prevData")
    )

    def render(hole: Hole) -> bytes:
        commit = block.render(hole)
        digest = sha256(commit).digest()
        return b"".join(
            (
                before_rev,
                hole.rev,
                before_seq,
                hole.seq,
                before_did,
                hole.did,
                before_time,
                hole.time,
                before_since,
                hole.since,
                before_car,
                digest,
                car.before_section,
                digest,
                commit,
                before_commit,
                digest,
                before_prev_data,
                hole.prev_data,
            )
        )

    return Template(render, root)


class CommitBlock:
    """A repository's signed commit, version 3, with holes for author and rev."""

    def __init__(self, rng: random.Random, root: bytes) -> None:
        self._before_did = head(dag_cbor.MAP, 6) + text("did") + DID_HEAD
        self._before_rev = text("rev") + head(dag_cbor.TEXT, tid.LENGTH)
        self._after_rev = (
            text("sig")
            + byte_string(rng.randbytes(64))
            + text("data")
            + root
            + text("prev")
            + NULL
            + text("version")
            + head(dag_cbor.UINT, 3)
        )
        fixed = self._before_did + self._before_rev + self._after_rev
        self.length = len(fixed) + DID_LENGTH + tid.LENGTH

    def render(self, hole: Hole) -> bytes:
        """Fill in the frame's own bytes."""
        return b"".join((self._before_did, hole.did, self._before_rev, hole.rev, self._after_rev))


class Car:
    """A CARv1 file whose root is the commit block, which stands last.

    On the wire: head ‖ root's digest ‖ before_section ‖ root's digest ‖ commit block. See
    https://ipld.io/specs/transport/car/carv1/.
    """

    def __init__(self, block: CommitBlock, sections: bytes) -> None:
        before_root = head(dag_cbor.MAP, 2) + text("roots") + head(dag_cbor.ARRAY, 1) + LINK_PREFIX
        after_root = text("version") + head(dag_cbor.UINT, 1)
        header = varint(len(before_root) + 32 + len(after_root)) + before_root
        self.before_section = (
            after_root + sections + varint(36 + block.length) + dag_cbor.CID_PREFIX
        )
        length = len(header) + 32 + len(self.before_section) + 32 + block.length
        #: The byte string's head and the file up to the root's digest.
        self.head = head(dag_cbor.BYTES, length) + header


class Trees:
    """Trees of a pool's commits, in the order of requests: made, or known."""

    def __init__(self, known: KeptTrees | None) -> None:
        self.made = KeptTrees((), [])
        self._known = known
        self._known_nodes = iter(known.nodes if known else ())
        self._keys: KeyBank

    def draw_keys(self, rng: random.Random) -> None:
        """Draw the keys of all trees; afterwards `rng` is as if they had been."""
        if self._known:
            rng.setstate((random.Random.VERSION, self._known.state, None))
            return
        self._keys = KeyBank(_KEYS, functools.partial(_any_key, rng))
        self.made.state = rng.getstate()[1]

    def nodes(self, rng: random.Random, proven: Proven, budget_bytes: int) -> list[bytes]:
        """Return a Merkle search tree's nodes, root first, of about that many bytes with CIDs."""
        seed = rng.getrandbits(64)
        if self._known:
            return next(self._known_nodes)
        nodes = _tree(seed, self._keys, proven, budget_bytes)
        self.made.nodes.append(nodes)
        return nodes


def _tree(seed: int, keys: KeyBank, proven: Proven, budget_bytes: int) -> list[bytes]:
    depth = max(1, round(budget_bytes / _NODE_BYTES))
    bottom = 0 if proven.absent else min(map(layer_of, proven.values))
    root_layer = min(bottom + depth - 1, keys.top)
    count = max(1, (budget_bytes - depth * _NODE_OVERHEAD_BYTES) // _ENTRY_BYTES)
    nodes: list[bytes] = []
    for _ in range(_TREES_TRIED_MAX):
        nodes = Proof(
            random.Random(seed),
            keys,
            proven.values,
            proven.absent,
            root_layer=root_layer,
            count=count,
        ).nodes
        missing_bytes = budget_bytes - sum(len(section(node)) for node in nodes)
        if abs(missing_bytes) <= 2 * _ENTRY_BYTES or (count == 1 and missing_bytes < 0):
            break
        count = max(1, count + round(missing_bytes / _ENTRY_BYTES))
    return nodes
