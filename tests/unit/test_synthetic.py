"""What a seed gives, as third parties read it: libipld parses frames, CARs and CIDs."""

from __future__ import annotations

import hashlib
import itertools
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean
from typing import Any

import cbor2
import libipld
import pytest

from fpaas.firehose import kept_trees, synthetic, tid
from fpaas.firehose.frames import MAX_FRAME_BYTES, Event, decode
from fpaas.firehose.synthetic import POOL, Synthetic
from tests.support.tree_proofs import faults_of, value_at

#: What com.atproto.sync.subscribeRepos requires, and prevData, which relays send.
FIELDS = {
    "#commit": {
        "seq",
        "rebase",
        "tooBig",
        "repo",
        "commit",
        "rev",
        "since",
        "blocks",
        "ops",
        "blobs",
        "time",
        "prevData",
    },
    "#sync": {"seq", "did", "blocks", "rev", "time"},
    "#identity": {"seq", "did", "time", "handle"},
}


@pytest.fixture(scope="module")
def firehose() -> Synthetic:
    return Synthetic(seed=1)


@pytest.fixture(scope="module")
def frames(firehose: Synthetic) -> list[bytes]:
    return [firehose.frame(index) for index in range(2 * POOL)]


@pytest.fixture(scope="module")
def messages(frames: list[bytes]) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    return [tuple(libipld.decode_dag_cbor_multi(frame)) for frame in frames]


def commits(messages: list[tuple[dict[str, Any], dict[str, Any]]]) -> list[dict[str, Any]]:
    return [body for header, body in messages if header["t"] == "#commit"]


def car_sections(car: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Split a CAR into (CID, block), byte by byte as the specification has it."""
    at = 0
    first = True
    while at < len(car):
        length = shift = 0
        while True:
            byte = car[at]
            at += 1
            length |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                break
        if not first:
            yield car[at : at + 36], car[at + 36 : at + length]
        first = False
        at += length


def test_same_seed_same_frames(firehose: Synthetic, frames: list[bytes]) -> None:
    again = Synthetic(seed=1)
    for index in (5_000_000, 3, 4095, 0, 70_000):  # in any order
        assert again.frame(index) == firehose.frame(index)
    assert [again.frame(index) for index in range(2 * POOL)] == frames
    assert Synthetic(seed=2).frame(0) != frames[0]


def test_frames_stay_what_they_were(frames: list[bytes]) -> None:
    """Runs are compared over versions of this project: a change of the frames must be meant."""
    digest = hashlib.sha256(b"".join(frames[:1000])).hexdigest()
    assert digest == "cc50753586b2d20d418122a82accd40c3f8b63e582943ac7e7a31ee3cfb49978"


def test_headers_and_fields(messages: list[tuple[dict[str, Any], dict[str, Any]]]) -> None:
    for header, body in messages:
        assert header["op"] == 1
        if header["t"] == "#account":
            assert set(body) - {"status"} == {"seq", "did", "time", "active"}
            assert not (body["active"] and "status" in body)
        else:
            assert set(body) == FIELDS[header["t"]]


def test_frames_are_canonical(frames: list[bytes]) -> None:
    for frame in frames[:POOL]:
        header, body = libipld.decode_dag_cbor_multi(frame)
        assert frame.startswith(libipld.encode_dag_cbor(header))
        # libipld forgets that a link was one, so the other library has to say it again.
        rest = frame[len(libipld.encode_dag_cbor(header)) :]
        assert cbor2.dumps(cbor2.loads(rest), canonical=True) == rest
        assert len(body) == len(cbor2.loads(rest))


def test_seq_is_dense_and_revs_and_times_grow(
    messages: list[tuple[dict[str, Any], dict[str, Any]]],
) -> None:
    bodies = [body for _, body in messages]
    assert [body["seq"] for body in bodies] == list(range(1, len(bodies) + 1))
    revs = [tid.decode(body["rev"]) for body in bodies if "rev" in body]
    assert all(one < other for one, other in itertools.pairwise(revs))
    assert all(one["time"] < other["time"] for one, other in itertools.pairwise(bodies))


def test_seq_of_every_width_is_whole(firehose: Synthetic) -> None:
    for seq in (1, 23, 24, 255, 256, 65_535, 65_536, 2**32 - 1, 2**32, 2**40):
        event = decode(firehose.frame(seq - 1))
        assert isinstance(event, Event)
        assert event.seq == seq


def test_events_are_told_apart(frames: list[bytes]) -> None:
    seen = set()
    for frame in frames:
        event = decode(frame)
        assert isinstance(event, Event)
        seen.add((event.did, event.rev or (event.time, event.digest)))
    assert len(seen) == len(frames)


def test_every_cid_is_the_hash_of_its_block(
    messages: list[tuple[dict[str, Any], dict[str, Any]]],
) -> None:
    for _, body in messages:
        if "blocks" not in body:
            continue
        sections = list(car_sections(body["blocks"]))
        for cid, block in sections:
            assert cid == b"\x01\x71\x12\x20" + hashlib.sha256(block).digest()
        header, blocks = libipld.decode_car(body["blocks"])
        assert header["version"] == 1
        assert list(blocks) == [cid for cid, _ in sections]


def test_root_is_the_signed_commit(messages: list[tuple[dict[str, Any], dict[str, Any]]]) -> None:
    for header, body in messages:
        if "blocks" not in body:
            continue
        car, blocks = libipld.decode_car(body["blocks"])
        (root,) = car["roots"]
        commit = blocks[root]
        assert set(commit) == {"did", "version", "data", "rev", "prev", "sig"}
        assert commit["version"] == 3
        assert commit["prev"] is None
        assert len(commit["sig"]) == 64
        assert commit["rev"] == body["rev"]
        if header["t"] == "#commit":
            assert root == body["commit"]
            assert commit["did"] == body["repo"]
            assert commit["data"] in blocks
        else:
            assert commit["did"] == body["did"]


def test_operations_and_their_records(
    messages: list[tuple[dict[str, Any], dict[str, Any]]],
) -> None:
    for body in commits(messages):
        _, blocks = libipld.decode_car(body["blocks"])
        for operation in body["ops"]:
            collection, rkey = operation["path"].split("/")
            assert rkey
            if operation["action"] == "delete":
                assert operation["cid"] is None
            else:
                assert blocks[operation["cid"]]["$type"] == collection
            assert ("prev" in operation) == (operation["action"] != "create")


def test_every_operation_is_proven(
    messages: list[tuple[dict[str, Any], dict[str, Any]]],
) -> None:
    proven: Counter[str] = Counter()
    for body in commits(messages):
        prove(body)
        proven.update(operation["action"] for operation in body["ops"])
    assert proven["delete"] > 100
    assert proven["update"] > 20


def prove(body: dict[str, Any]) -> None:
    """Check a commit's operations against its tree, and the tree against the specification."""
    _, blocks = libipld.decode_car(body["blocks"])
    root = blocks[body["commit"]]["data"]
    assert faults_of(blocks, root) == []
    for operation in body["ops"]:
        assert value_at(blocks, root, operation["path"].encode()) == operation["cid"]


def test_accounts_are_in_every_state_there_is(firehose: Synthetic) -> None:
    accounts = [
        index
        for index in range(POOL)
        if libipld.decode_dag_cbor_multi(firehose.frame(index))[0]["t"] == "#account"
    ]
    states: Counter[str | None] = Counter()
    for lap in range(6):
        for index in accounts:
            _, body = libipld.decode_dag_cbor_multi(firehose.frame(index + lap * POOL))
            states["active" if body["active"] else body.get("status")] += 1
    assert set(states) == {
        "active",
        "takendown",
        "suspended",
        "deleted",
        "deactivated",
        "desynchronized",
        "throttled",
        None,
    }
    assert states["active"] > len(accounts) * 6 / 2


@pytest.fixture(scope="module")
def rare() -> list[tuple[bytes, dict[str, Any], dict[str, Any]]]:
    """Frames of a mix that has of each."""
    mix = {"too_big": 4, "many_operations": 4, "largest": 3, "sync": 10}
    firehose, again = Synthetic(3, mix), Synthetic(3, mix)
    found = []
    for index in range(POOL):
        frame = firehose.frame(index)
        assert frame == again.frame(index)
        header, body = libipld.decode_dag_cbor_multi(frame)
        event = decode(frame)
        assert isinstance(event, Event)
        assert event.seq == index + 1
        found.append((frame, header, body))
    return found


def test_a_mix_is_kept_to_the_frame(
    rare: list[tuple[bytes, dict[str, Any], dict[str, Any]]],
) -> None:
    too_big = [body for _, _, body in rare if body.get("tooBig")]
    many = [body for _, _, body in rare if len(body.get("ops", ())) == 200]
    largest = [frame for frame, _, _ in rare if len(frame) > 5_000_000]
    syncs = [body for _, header, body in rare if header["t"] == "#sync"]
    # A thousandth of the pool is two frames and a bit.
    counts = [len(kind) for kind in (too_big, many, largest, syncs)]
    assert counts == pytest.approx([8, 8, 6, 20], abs=1)


def test_commits_that_are_too_big_say_only_that(
    rare: list[tuple[bytes, dict[str, Any], dict[str, Any]]],
) -> None:
    for _, _, body in rare:
        if body.get("tooBig"):
            assert set(body) == FIELDS["#commit"]
            assert body["ops"] == []
            car, blocks = libipld.decode_car(body["blocks"])
            assert list(blocks) == car["roots"] == [body["commit"]]


def test_commits_of_200_operations_prove_them_all(
    rare: list[tuple[bytes, dict[str, Any], dict[str, Any]]],
) -> None:
    for _, _, body in rare:
        if len(body.get("ops", ())) > 100:
            prove(body)
            paths = [operation["path"] for operation in body["ops"]]
            assert len(set(paths)) == len(paths) == 200
            assert len(body["blocks"]) < 2_000_000


def test_the_largest_frames_are_as_large_as_is_allowed(
    rare: list[tuple[bytes, dict[str, Any], dict[str, Any]]],
) -> None:
    firehose = Synthetic(3, {"largest": 3})
    for frame, _, body in rare:
        if len(frame) > 1_000_000:
            assert 0 <= MAX_FRAME_BYTES - len(frame) < 10
            assert len(body["blocks"]) < 2_000_000
            prove(body)
    index = next(n for n in range(POOL) if len(firehose.frame(n)) > 1_000_000)
    # Whatever its number.
    later = firehose.frame(index + POOL * 10**9)
    assert MAX_FRAME_BYTES - 10 < len(later) <= MAX_FRAME_BYTES


def test_an_accounts_commits_chain(messages: list[tuple[dict[str, Any], dict[str, Any]]]) -> None:
    latest: dict[str, tuple[str, bytes]] = {}
    chained = 0
    for header, body in messages:
        if "blocks" not in body:
            continue
        did = body["repo"] if header["t"] == "#commit" else body["did"]
        if header["t"] == "#commit":
            assert body["since"] < body["rev"]
            if did in latest:
                chained += 1
                assert (body["since"], body["prevData"]) == latest[did]
        car, blocks = libipld.decode_car(body["blocks"])
        latest[did] = (body["rev"], blocks[car["roots"][0]]["data"])
    assert chained > 500
    assert all(did.startswith("did:plc:") and len(did) == 32 for did in latest)


def test_sizes_are_those_of_the_network(frames: list[bytes]) -> None:
    sizes = sorted(map(len, frames[:POOL]))
    assert fmean(sizes) == pytest.approx(5460, rel=0.02)
    for quantile, size in ((0.5, 5400), (0.9, 7400), (0.99, 8800)):
        assert sizes[int(quantile * POOL)] == pytest.approx(size, rel=0.02)
    assert sizes[-1] > 60_000


def test_kinds_actions_and_collections_are_those_of_the_network(
    messages: list[tuple[dict[str, Any], dict[str, Any]]],
) -> None:
    pool = messages[:POOL]
    kinds = Counter(header["t"] for header, _ in pool)
    assert kinds["#commit"] / POOL > 0.99
    assert min(kinds[kind] for kind in ("#identity", "#account", "#sync")) > 0
    bodies = commits(pool)
    operations = [operation for body in bodies for operation in body["ops"]]
    assert len(operations) / len(bodies) == pytest.approx(1.01, abs=0.005)
    actions = Counter(operation["action"] for operation in operations)
    for action, share in (("create", 0.955), ("delete", 0.039), ("update", 0.006)):
        assert actions[action] / len(operations) == pytest.approx(share, abs=0.002)
    collections = Counter(operation["path"].split("/")[0] for operation in operations)
    for collection, share in (
        ("app.bsky.feed.like", 0.70),
        ("app.bsky.feed.post", 0.12),
        ("app.bsky.feed.repost", 0.10),
        ("app.bsky.graph.follow", 0.06),
    ):
        assert collections[collection] / len(operations) == pytest.approx(share, abs=0.02)


def test_a_few_accounts_speak_often(messages: list[tuple[dict[str, Any], dict[str, Any]]]) -> None:
    counts = Counter(body.get("repo") or body["did"] for _, body in messages)
    assert 2000 < len(counts) < 3600
    assert counts.most_common(1)[0][1] >= 10


def test_nothing_is_ignored(firehose: Synthetic) -> None:
    assert firehose.ignored(10_000) == 0
    assert firehose.count is None
    assert firehose.first_seq == synthetic.FIRST_SEQ


def test_trees_that_were_kept_make_the_same_frames(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "kept" / "trees-1.pyc"
    monkeypatch.setattr(kept_trees, "path_of", lambda *_: path)
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    mix = {"largest": 3, "many_operations": 5}
    made, known = (Synthetic(3, mix, keeps=True) for _ in range(2))
    assert [one.name for one in path.parent.iterdir()] == [path.name]
    indices = [*range(POOL), 3 * POOL + 1]
    assert [made.frame(i) for i in indices] == [known.frame(i) for i in indices]
    kept = path.read_bytes()
    path.write_bytes(kept[:-1])
    assert kept_trees.read(path) is None
    # As with what Python compiles: if it is to write nothing, nothing is written.
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    path.unlink()
    kept_trees.write(path, kept_trees.KeptTrees((), []))
    assert not path.exists()


def test_trees_are_kept_by_all_that_they_follow_from() -> None:
    paths = [kept_trees.path_of(*of) for of in ((1, {"sync": 1}), (2, {"sync": 1}), (1, {}))]
    assert len(set(paths)) == len(paths)
