"""People's records, as synthetic commits have them."""

from __future__ import annotations

import base64
import random
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import libipld

from fpaas.firehose import dag_cbor, tid

ACCOUNTS = 20_000
EPOCH_UNIX_US = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp()) * 1_000_000
UPDATED_COLLECTION = "app.bsky.actor.profile"
_RKEY_LOWEST = tid.from_unix_us(int(datetime(2023, 6, 1, tzinfo=UTC).timestamp()) * 1_000_000)
_RKEY_SPAN = tid.from_unix_us(EPOCH_UNIX_US) - _RKEY_LOWEST
WORDS = tuple(
    "the and to of in is it you that was for on are with as his they be at one have this from "  # noqa: SIM905
    "had by hot but some what there we can out other were all your when up use word how said an "
    "each she which do their time if will way about many then them would write like so these her "
    "long make thing see him two has look more day could go come did my sound no most number who "
    "over know water than call first people may down side been now find 今日 は とても いい 天気 "
    "です ね não você está também coração olá é für schön Grüße 🌞 ✨ 😂 🦋".split()
)


def record(rng: random.Random, collection: str) -> bytes:
    """Encode a record."""
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
    UPDATED_COLLECTION: _profile,
}


def _prose(rng: random.Random, words: int) -> str:
    # A post holds 300 characters.
    return " ".join(rng.choices(WORDS, k=words))[:300]


def _uri(rng: random.Random, collection: str) -> str:
    return f"at://{_any_did(rng)}/{collection}/{rkey(rng)}"


def _any_did(rng: random.Random) -> str:
    return "did:plc:" + base64.b32encode(rng.randbytes(15)).decode().lower()


def rkey(rng: random.Random) -> str:
    """Make the key of a record that has been there for a while."""
    return tid.encode(_RKEY_LOWEST + int(rng.random() * _RKEY_SPAN))


def new_rkey(rng: random.Random) -> str:
    """Return a key that sorts behind all others, as the newest record's does."""
    return tid.encode(tid.from_unix_us(EPOCH_UNIX_US + rng.randrange(10**6), rng.randrange(1024)))


def _created_at(rng: random.Random) -> str:
    unix_ms = EPOCH_UNIX_US // 1000 - rng.randrange(60_000)
    moment = datetime.fromtimestamp(unix_ms / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
