"""Synthetic events that are no commits: identities, accounts, syncs."""

from __future__ import annotations

import random
from hashlib import sha256

from fpaas.firehose import dag_cbor, tid
from fpaas.firehose.commits import Car, CommitBlock
from fpaas.firehose.dag_cbor import FALSE, TRUE, head, text
from fpaas.firehose.frame_templates import DID_KEY, TIME_HEAD, Hole, Template, header
from fpaas.firehose.record_contents import WORDS
from fpaas.firehose.search_tree import any_link

#: Contents of #account events, in turn: active, or the status of an inactive account.
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


def identity(rng: random.Random) -> Template:
    """Make a frame that says which handle an account has."""
    handle = text("handle") + text(f"{rng.choice(WORDS[:80])}{rng.randrange(10_000)}.bsky.social")
    return _account_event("#identity", handle, 1)


def account(number: int, of: int) -> Template:
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
    before_did = header(message_type) + head(dag_cbor.MAP, 3 + field_count) + DID_KEY
    before_time = text("time") + TIME_HEAD

    def render(hole: Hole) -> bytes:
        return b"".join(
            (before_did, hole.did, text("seq"), hole.seq, before_time, hole.time, fields)
        )

    return Template(render, None)


def sync(rng: random.Random) -> Template:
    """Make a frame that says where a repository is now."""
    root = any_link(rng)
    block = CommitBlock(rng, root)
    car = Car(block, b"")
    before_did = header("#sync") + head(dag_cbor.MAP, 5) + DID_KEY
    before_rev = text("rev") + head(dag_cbor.TEXT, tid.LENGTH)
    before_time = text("time") + TIME_HEAD
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
