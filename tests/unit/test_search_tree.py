"""Proofs are checked by a walker of the tests' own; see tests.support.tree_proofs."""

from __future__ import annotations

import hashlib
import random

import libipld
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fpaas.firehose import tid
from fpaas.firehose.search_tree import KeyBank, Proof, any_link, layer_of
from tests.support.tree_proofs import Blocks, depth_of, faults_of, value_at


def a_key(rng: random.Random) -> bytes:
    collection = rng.choice(["app.bsky.feed.like", "app.bsky.feed.post", "com.example.other"])
    return f"{collection}/{tid.encode(rng.getrandbits(60))}".encode()


@pytest.fixture(scope="module")
def bank() -> KeyBank:
    rng = random.Random(1)
    return KeyBank(20_000, lambda: a_key(rng))


@given(st.binary())
def test_layers_are_as_the_specification_has_them(key: bytes) -> None:
    assert layer_of(key) == depth_of(key)


@pytest.mark.parametrize(
    ("key", "layer"),
    [
        # The specification's own examples.
        (b"2653ae71", 0),
        (b"blue", 1),
        (b"app.bsky.feed.post/454397e440ec", 4),
        (b"app.bsky.feed.post/9adeb165882c", 8),
    ],
)
def test_layers_of_known_keys(key: bytes, layer: int) -> None:
    assert layer_of(key) == depth_of(key) == layer


def blocks_of(proof: Proof) -> Blocks:
    return {
        b"\x01\x71\x12\x20" + hashlib.sha256(node).digest(): libipld.decode_dag_cbor(node)
        for node in proof.nodes
    }


@settings(max_examples=60)
@given(
    seed=st.integers(0, 10**6),
    present=st.integers(0, 12),
    absent=st.integers(0, 5),
    root_layer=st.integers(0, 6),
    count=st.integers(1, 300),
)
def test_every_key_is_proven(  # noqa: PLR0917 - what Hypothesis draws
    bank: KeyBank, seed: int, present: int, absent: int, root_layer: int, count: int
) -> None:
    rng = random.Random(seed)
    values = {a_key(rng): any_link(rng) for _ in range(present)}
    gone = [a_key(rng) for _ in range(absent if present else absent + 1)]
    proof = Proof(rng, bank, values, gone, root_layer=root_layer, count=count)
    blocks = blocks_of(proof)
    root = next(iter(blocks))
    assert len(blocks) == len(proof.nodes)
    assert faults_of(blocks, root) == []
    for key, link in values.items():
        assert value_at(blocks, root, key) == link[-36:]
    for key in gone:
        assert value_at(blocks, root, key) is None
