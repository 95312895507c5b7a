"""A firehose from a seed: frames that look, weigh and parse like the network's.

`Synthetic.frame(i)` is a pure function of (seed, i). A pool of templates is drawn once from the
distributions that were measured on the real firehose; frame i is template `i mod POOL` with its
author, seq, rev, since, time and prevData filled in, and with the commit block's CID recomputed,
because rev and author are inside that block. So every CID is a true hash, every operation is
proven by its commit's tree, an account's commits chain (since and prevData name its commit before),
and only the signature is random bytes.
What repeats every POOL frames is the records and tree nodes, not did + rev.

Source of the fields: the lexicon com.atproto.sync.subscribeRepos and
https://atproto.com/specs/repository.
"""

from __future__ import annotations

import base64
import functools
import itertools
import random
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, NamedTuple

import libipld

from fpaas.firehose import dag_cbor, kept_trees, tid
from fpaas.firehose.dag_cbor import FALSE, LINK_PREFIX, NULL, TRUE, byte_string, head, text
from fpaas.firehose.frames import MAX_FRAME_BYTES
from fpaas.firehose.kept_trees import KeptTrees
from fpaas.firehose.search_tree import KeyBank, Proof, any_link, layer_of, link
from fpaas.spec.frame_mix import NETWORK, WHOLE

FIRST_SEQ = 1
POOL = 2048
ACCOUNTS = 20_000
#: Length of the cycle of authors; shares no factor with POOL, so that pairs with templates vary.
AUTHOR_CYCLE = 65_521
EPOCH_UNIX_US = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp()) * 1_000_000
#: From one frame's rev and time to the next's: the nominal 450 frames/s, whatever the real rate.
SPACING_US = 2222

#: Of 1000 operations, by collection; creates, updates and deletes are drawn apart from it.
COLLECTIONS_PER_MILLE = {
    "app.bsky.feed.like": 700,
    "app.bsky.feed.post": 120,
    "app.bsky.feed.repost": 100,
    "app.bsky.graph.follow": 60,
    "app.bsky.graph.block": 12,
    "app.bsky.graph.listitem": 5,
    "app.bsky.feed.threadgate": 3,
}
#: Of 1000 commits: updates are of records that have a fixed key, such as the profile.
ACTIONS_PER_MILLE = {"create": 955, "delete": 39, "update": 6}
#: Of 1000 commits: how many operations they have; 1.01 in the mean.
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
#: What #account events say, one after the other: active, or the status of one that is not.
ACCOUNT_STATES = (
    *("active",) * 3,
    "deactivated",
    *("active",) * 3,
    "deleted",
    *("active",) * 2,
    "takendown",
    *("active",) * 2,
    "suspended",
    *("active",) * 2,
    "desynchronized",
    "active",
    "throttled",
    "",  # inactive, and nothing says why
)

_COLLECTIONS = (tuple(COLLECTIONS_PER_MILLE), tuple(COLLECTIONS_PER_MILLE.values()))
_UPDATED_COLLECTION = "app.bsky.actor.profile"
#: To choose from; a fourth of them is in the next layer, and so on.
_KEYS = 2**16
_TREES_TRIED_MAX = 4
_RKEY_LOWEST = tid.from_unix_us(int(datetime(2023, 6, 1, tzinfo=UTC).timestamp()) * 1_000_000)
_RKEY_SPAN = tid.from_unix_us(EPOCH_UNIX_US) - _RKEY_LOWEST
# What a commit weighs in the mean, so that sizes come out as drawn (within an entry's size).
_COMMIT_BYTES = 525
_NODE_BYTES = 600
_NODE_OVERHEAD_BYTES = 66
_ENTRY_BYTES = 90
_WORDS = tuple(
    "the and to of in is it you that was for on are with as his they be at one have this from "  # noqa: SIM905
    "had by hot but some what there we can out other were all your when up use word how said an "
    "each she which do their time if will way about many then them would write like so these her "
    "long make thing see him two has look more day could go come did my sound no most number who "
    "over know water than call first people may down side been now find 今日 は とても いい 天気 "
    "です ね não você está também coração olá é für schön Grüße 🌞 ✨ 😂 🦋".split()
)


class Template(NamedTuple):
    """A frame with holes; the segments between them, in the order of the wire.

    `link` is the tree's root as prevData of the author's next commit, None if the kind has none.
    """

    render: Callable[[Hole], bytes]
    link: bytes | None


class Hole(NamedTuple):
    """What differs from frame to frame, encoded for the wire."""

    seq: bytes
    did: bytes
    rev: bytes
    since: bytes
    time: bytes
    prev_data: bytes
    #: How often the pool was gone through before.
    lap: int


class Synthetic:
    """An endless source of frames; frame i (i = 0, 1, …) has seq FIRST_SEQ + i.

    `mix` has shares of 1000 frames by kind, where they are to be others than the network's. Who
    `keeps` what takes longest to make finds it at the next start.
    """

    first_seq = FIRST_SEQ
    count: int | None = None

    def __init__(
        self, seed: int, mix: Mapping[str, int] | None = None, *, keeps: bool = False
    ) -> None:
        rng = random.Random(seed)
        shares = {**NETWORK, **(mix or {})}
        path = kept_trees.path_of(seed, shares) if keeps else None
        known = kept_trees.read(path) if path else None
        trees = _Trees(known)
        self._templates = _templates(rng, shares, trees)
        if path and known is None:
            kept_trees.write(path, trees.made)
        self._authors, self._gaps = _author_cycle(rng)
        self._second = -1
        self._second_text = ""

    def frame(self, index: int, shift: int = 0) -> bytes:
        """Return frame `index`, the same bytes every time, with seq FIRST_SEQ + index + shift."""
        template = self._templates[index % POOL]
        unix_us = EPOCH_UNIX_US + index * SPACING_US
        previous, link = self._previous_commit(index)
        return template.render(
            Hole(
                head(dag_cbor.UINT, FIRST_SEQ + index + shift),
                self._authors[index % AUTHOR_CYCLE],
                tid.encode(unix_us << tid.CLOCK_ID_BITS).encode(),
                tid.encode(EPOCH_UNIX_US + previous * SPACING_US << tid.CLOCK_ID_BITS).encode(),
                self._time(unix_us),
                link,
                index // POOL,
            )
        )

    def bytes_mean(self) -> float:
        """Return the mean size of a frame."""
        return sum(len(self.frame(index)) for index in range(POOL)) / POOL

    def ignored(self, count: int) -> int:  # noqa: ARG002
        """Tell how many of the first `count` frames are no events: none."""
        return 0

    def _previous_commit(self, index: int) -> tuple[int, bytes]:
        """Find the author's commit before: its index (below 0 before the start) and its tree."""
        while True:
            index -= self._gaps[index % AUTHOR_CYCLE]
            link = self._templates[index % POOL].link
            if link is not None:
                return index, link

    def _time(self, unix_us: int) -> bytes:
        second, us = divmod(unix_us, 1_000_000)
        if second != self._second:
            self._second = second
            self._second_text = datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")
        return f"{self._second_text}.{us // 1000:03d}Z".encode()


# -- the pool ------------------------------------------------------------------------------------


def _templates(rng: random.Random, mix: Mapping[str, int], trees: _Trees) -> list[Template]:
    kinds = _deck(rng, POOL, {"commit": WHOLE - sum(mix.values()), **mix})
    trees.draw_keys(rng)
    commits = _commit_templates(rng, trees, kinds.count("commit"))
    accounts = itertools.count()
    account_count = kinds.count("account")
    # One is megabytes long.
    largest = functools.cache(lambda: _largest(rng, trees))
    makers: dict[str, Callable[[], Template]] = {
        "commit": lambda: next(commits),
        "identity": lambda: _identity(rng),
        "account": lambda: _account(next(accounts), account_count),
        "sync": lambda: _sync(rng),
        "too_big": lambda: _too_big(rng),
        "many_operations": lambda: _many_operations(rng, trees),
        "largest": largest,
    }
    return [makers[kind]() for kind in kinds]


def _any_key(rng: random.Random) -> bytes:
    (collection,) = rng.choices(*_COLLECTIONS)
    return f"{collection}/{_rkey(rng)}".encode()


def _deck(rng: random.Random, size: int, shares: dict[Any, int]) -> list[Any]:
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


def _author_cycle(rng: random.Random) -> tuple[list[bytes], list[int]]:
    """Draw who speaks when: the DIDs, and how many frames ago each one spoke before.

    A few accounts speak often and most rarely (Zipf's law with its head cut off).
    """
    dids = [b"did:plc:" + base64.b32encode(rng.randbytes(15)).lower() for _ in range(ACCOUNTS)]
    weights = [1 / (rank + 50) ** 0.8 for rank in range(ACCOUNTS)]
    authors = rng.choices(range(ACCOUNTS), weights, k=AUTHOR_CYCLE)
    last_seen: dict[int, int] = {}
    gaps = [0] * AUTHOR_CYCLE
    for position in range(2 * AUTHOR_CYCLE):
        author = authors[position % AUTHOR_CYCLE]
        gaps[position % AUTHOR_CYCLE] = position - last_seen.get(author, position)
        last_seen[author] = position
    return [dids[author] for author in authors], gaps


# -- commits -------------------------------------------------------------------------------------


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
    """What a commit's tree must show: `values` (key → link) at their keys, nothing at `absent`."""

    values: dict[bytes, bytes]
    absent: list[bytes]


def _commit_templates(rng: random.Random, trees: _Trees, count: int) -> Iterator[Template]:
    sizes = _sizes(rng, count)
    operation_counts = _deck(rng, count, OPERATIONS_PER_MILLE)
    total = sum(operation_counts)
    actions = iter(_deck(rng, total, ACTIONS_PER_MILLE))
    collections = iter(_deck(rng, total, COLLECTIONS_PER_MILLE))
    for size, operation_count in zip(sizes, operation_counts, strict=True):
        operations = [
            _operation(rng, next(actions), next(collections)) for _ in range(operation_count)
        ]
        yield _commit(rng, trees, operations, size)


def _many_operations(rng: random.Random, trees: _Trees) -> Template:
    actions = _deck(rng, OPERATIONS_MAX, ACTIONS_PER_MILLE)
    collections = _deck(rng, OPERATIONS_MAX, COLLECTIONS_PER_MILLE)
    operations = [_operation(rng, *each) for each in zip(actions, collections, strict=True)]
    return _commit(rng, trees, operations, 0)


def _largest(rng: random.Random, trees: _Trees) -> Template:
    """Return a commit that fills a frame, with a field that nobody knows."""
    # The widest seq: it must fit whatever the number.
    seq, text_13 = head(dag_cbor.UINT, 2**53 - 1), bytes(tid.LENGTH)
    hole = Hole(seq, bytes(_DID_LENGTH), text_13, text_13, bytes(24), bytes(_LINK_BYTES), 0)
    operations = [_operation(rng, "create", "app.bsky.feed.post")]
    seed = rng.getrandbits(64)
    padding = MAX_FRAME_BYTES // 2
    for _ in range(2):
        template = _commit(random.Random(seed), trees, operations, 5400, padding)
        padding += MAX_FRAME_BYTES - len(template.render(hole))
    return template


def _too_big(rng: random.Random) -> Template:
    """Return a commit that only says that it was too big to be sent."""
    return _commit_of(rng, any_link(rng), operations=[], sections=b"", too_big=TRUE)


def _operation(rng: random.Random, action: str, collection: str) -> Operation:
    if action == "update":
        return Operation(
            action, f"{_UPDATED_COLLECTION}/self", _record(rng, _UPDATED_COLLECTION), any_link(rng)
        )
    if action == "delete":
        return Operation(action, f"{collection}/{_rkey(rng)}", None, any_link(rng))
    return Operation(action, f"{collection}/{_new_rkey(rng)}", _record(rng, collection), None)


def _commit(
    rng: random.Random,
    trees: _Trees,
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
    sections = b"".join(map(_section, [*nodes, *records]))
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
    block = _CommitBlock(rng, root)
    car = _Car(block, sections)
    padding = text("padding") + byte_string(bytes(padding_bytes)) if padding_bytes else b""

    before_rev = (
        _header("#commit")
        + head(dag_cbor.MAP, 13 if padding else 12)
        + text("ops")
        + head(dag_cbor.ARRAY, len(operations))
        + encoded_operations
        + text("rev")
        + head(dag_cbor.TEXT, tid.LENGTH)
    )
    before_seq = text("seq")
    before_did = text("repo") + _DID_HEAD
    before_time = text("time") + _TIME_HEAD
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


class _CommitBlock:
    """A repository's signed commit, version 3, with holes for author and rev."""

    def __init__(self, rng: random.Random, root: bytes) -> None:
        self._before_did = head(dag_cbor.MAP, 6) + text("did") + _DID_HEAD
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
        self.length = len(fixed) + _DID_LENGTH + tid.LENGTH

    def render(self, hole: Hole) -> bytes:
        return b"".join((self._before_did, hole.did, self._before_rev, hole.rev, self._after_rev))


class _Car:
    """A CARv1 file whose root is the commit block, which stands last.

    On the wire: head ‖ root's digest ‖ before_section ‖ root's digest ‖ commit block. See
    https://ipld.io/specs/transport/car/carv1/.
    """

    def __init__(self, block: _CommitBlock, sections: bytes) -> None:
        before_root = head(dag_cbor.MAP, 2) + text("roots") + head(dag_cbor.ARRAY, 1) + LINK_PREFIX
        after_root = text("version") + head(dag_cbor.UINT, 1)
        header = _varint(len(before_root) + 32 + len(after_root)) + before_root
        self.before_section = (
            after_root + sections + _varint(36 + block.length) + dag_cbor.CID_PREFIX
        )
        length = len(header) + 32 + len(self.before_section) + 32 + block.length
        #: The byte string's head and the file up to the root's digest.
        self.head = head(dag_cbor.BYTES, length) + header


class _Trees:
    """Trees of a pool's commits, in the order in which they are asked for: made, or known."""

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
        missing_bytes = budget_bytes - sum(len(_section(node)) for node in nodes)
        if abs(missing_bytes) <= 2 * _ENTRY_BYTES or (count == 1 and missing_bytes < 0):
            break
        count = max(1, count + round(missing_bytes / _ENTRY_BYTES))
    return nodes


# -- records -------------------------------------------------------------------------------------


def _record(rng: random.Random, collection: str) -> bytes:
    fields = _RECORDS[collection](rng)
    record = {"$type": collection, "createdAt": _created_at(rng), **fields}
    return libipld.encode_dag_cbor(record)


def _subject(rng: random.Random, collection: str = "app.bsky.feed.post") -> dict[str, str]:
    cid = "b" + base64.b32encode(dag_cbor.CID_PREFIX + rng.randbytes(32)).decode().lower()
    return {"cid": cid.rstrip("="), "uri": _uri(rng, collection)}


def _like(rng: random.Random) -> dict[str, Any]:
    return {"subject": _subject(rng), **_via(rng, 0.1)}


def _repost(rng: random.Random) -> dict[str, Any]:
    return {"subject": _subject(rng), **_via(rng, 0.4)}


def _via(rng: random.Random, share: float) -> dict[str, Any]:
    return {"via": _subject(rng, "app.bsky.feed.repost")} if rng.random() < share else {}


def _post(rng: random.Random) -> dict[str, Any]:
    post: dict[str, Any] = {
        "text": _prose(rng, rng.randrange(1, 45)),
        "langs": [rng.choice(["en", "en", "en", "ja", "pt", "de"])],
    }
    if rng.random() < 0.5:
        post["reply"] = {"root": _subject(rng), "parent": _subject(rng)}
    return post


def _follow(rng: random.Random) -> dict[str, Any]:
    return {"subject": _any_did(rng)}


def _list_item(rng: random.Random) -> dict[str, Any]:
    return {"subject": _any_did(rng), "list": _uri(rng, "app.bsky.graph.list")}


def _thread_gate(rng: random.Random) -> dict[str, Any]:
    return {"post": _uri(rng, "app.bsky.feed.post"), "allow": [], "hiddenReplies": []}


def _profile(rng: random.Random) -> dict[str, Any]:
    return {"displayName": _prose(rng, 2), "description": _prose(rng, 20)}


_RECORDS: dict[str, Callable[[random.Random], dict[str, Any]]] = {
    "app.bsky.feed.like": _like,
    "app.bsky.feed.post": _post,
    "app.bsky.feed.repost": _repost,
    "app.bsky.graph.follow": _follow,
    "app.bsky.graph.block": _follow,
    "app.bsky.graph.listitem": _list_item,
    "app.bsky.feed.threadgate": _thread_gate,
    _UPDATED_COLLECTION: _profile,
}


def _prose(rng: random.Random, words: int) -> str:
    # A post holds 300 characters.
    return " ".join(rng.choices(_WORDS, k=words))[:300]


def _uri(rng: random.Random, collection: str) -> str:
    return f"at://{_any_did(rng)}/{collection}/{_rkey(rng)}"


def _any_did(rng: random.Random) -> str:
    return "did:plc:" + base64.b32encode(rng.randbytes(15)).decode().lower()


def _rkey(rng: random.Random) -> str:
    return tid.encode(_RKEY_LOWEST + int(rng.random() * _RKEY_SPAN))


def _new_rkey(rng: random.Random) -> str:
    """Return a key that sorts behind all others, as the newest record's does."""
    return tid.encode(tid.from_unix_us(EPOCH_UNIX_US + rng.randrange(10**6), rng.randrange(1024)))


def _created_at(rng: random.Random) -> str:
    unix_ms = EPOCH_UNIX_US // 1000 - rng.randrange(60_000)
    moment = datetime.fromtimestamp(unix_ms / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


# -- other kinds ---------------------------------------------------------------------------------


def _identity(rng: random.Random) -> Template:
    handle = text("handle") + text(f"{rng.choice(_WORDS[:80])}{rng.randrange(10_000)}.bsky.social")
    return _account_event("#identity", handle, 1)


def _account(number: int, of: int) -> Template:
    """Return account event `number` of the `of` in a pool: another state in each lap."""
    states = [_account_state(state) for state in ACCOUNT_STATES]

    def render(hole: Hole) -> bytes:
        return states[(number + of * hole.lap) % len(states)].render(hole)

    return Template(render, None)


def _account_state(state: str) -> Template:
    if state == "active":
        return _account_event("#account", text("active") + TRUE, 1)
    status = text("status") + text(state) if state else b""
    return _account_event("#account", text("active") + FALSE + status, 2 if state else 1)


def _account_event(message_type: str, fields: bytes, field_count: int) -> Template:
    before_did = _header(message_type) + head(dag_cbor.MAP, 3 + field_count) + _DID_KEY
    before_time = text("time") + _TIME_HEAD

    def render(hole: Hole) -> bytes:
        return b"".join(
            (before_did, hole.did, text("seq"), hole.seq, before_time, hole.time, fields)
        )

    return Template(render, None)


def _sync(rng: random.Random) -> Template:
    root = any_link(rng)
    block = _CommitBlock(rng, root)
    car = _Car(block, b"")
    before_did = _header("#sync") + head(dag_cbor.MAP, 5) + _DID_KEY
    before_rev = text("rev") + head(dag_cbor.TEXT, tid.LENGTH)
    before_time = text("time") + _TIME_HEAD
    before_car = text("blocks") + car.head

    def render(hole: Hole) -> bytes:
        commit = block.render(hole)
        digest = sha256(commit).digest()
        return b"".join(
            (
                before_did,
                hole.did,
                before_rev,
                hole.rev,
                text("seq"),
                hole.seq,
                before_time,
                hole.time,
                before_car,
                digest,
                car.before_section,
                digest,
                commit,
            )
        )

    return Template(render, root)


# -- encoding ------------------------------------------------------------------------------------

_LINK_BYTES = len(LINK_PREFIX) + 32
_DID_LENGTH = 32
_DID_HEAD = head(dag_cbor.TEXT, _DID_LENGTH)
_DID_KEY = text("did") + _DID_HEAD
_TIME_HEAD = head(dag_cbor.TEXT, 24)


def _header(message_type: str) -> bytes:
    return head(dag_cbor.MAP, 2) + text("t") + text(message_type) + text("op") + b"\x01"


def _section(block: bytes) -> bytes:
    cid = dag_cbor.CID_PREFIX + dag_cbor.digest_of(block)
    return _varint(len(cid) + len(block)) + cid + block


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 127:
        encoded.append(number & 127 | 128)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)
