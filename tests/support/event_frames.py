"""Frames as a relay sends them: well-formed ones to build on, and all kinds of malformed ones."""

from __future__ import annotations

from collections.abc import Iterator

import cbor2

from fpaas.firehose import dag_cbor
from fpaas.firehose.dag_cbor import CID_PREFIX, head, text

TIME = "2026-07-04T14:38:07.517Z"
DID = "did:plc:wq4aajammjtxdomz3e23667t"
REV = "3mptbypluud2a"
#: A number that no 64 bits hold; in decimal it has more digits than Python converts.
BIGNUM = b"\xc2" + dag_cbor.byte_string(b"\xff" * 2000)


def frame(header: object, body: object) -> bytes:
    return cbor2.dumps(header, canonical=True) + cbor2.dumps(body, canonical=True)


def message(kind: object, **body: object) -> bytes:
    return frame({"op": 1, "t": kind}, body)


def commit(
    seq: object = 7, paths: tuple[str, ...] = ("app.bsky.feed.like/3a",), **body: object
) -> bytes:
    operations = [{"action": "create", "path": path, "cid": link()} for path in paths]
    fields = {"seq": seq, "repo": DID, "rev": REV, "time": TIME, "ops": operations} | body
    return message("#commit", **fields)


def identity(seq: int = 7, time: str = TIME, **body: object) -> bytes:
    return message("#identity", **{"seq": seq, "did": DID, "time": time} | body)


def link(digest: bytes = bytes(32)) -> cbor2.CBORTag:
    return cbor2.CBORTag(42, b"\0" + CID_PREFIX + digest)


def raw_map(**items: bytes) -> bytes:
    """Encode a map whose values are encoded already, in any way."""
    keys = sorted(items, key=lambda key: (len(key), key))
    return head(dag_cbor.MAP, len(items)) + b"".join(text(key) + items[key] for key in keys)


def raw_message(kind: str, **changes: bytes) -> bytes:
    """A good message, but for some values of its body that are encoded already, in any way."""
    fields = {"seq": b"\x07", "time": text(TIME)}
    if kind == "#commit":
        fields |= {"repo": text(DID), "rev": text(REV), "ops": b"\x80"}
    else:
        fields["did"] = text(DID)
        if kind == "#sync":
            fields["rev"] = text(REV)
    return raw_map(op=b"\x01", t=text(kind)) + raw_map(**fields | changes)


def malformed() -> dict[str, bytes]:
    """Frames that are to be refused, by what is wrong with them."""
    return dict(_malformed())


def _malformed() -> Iterator[tuple[str, bytes]]:
    yield "nothing", b""
    yield "rubbish", b"\xff"
    yield "HTML", b"<!doctype html>"
    yield "half a frame", commit()[:-20]
    yield "a byte too few", commit()[:-1]
    yield "a byte too many", commit() + b"\x00"
    yield "a header alone", frame({"op": 1, "t": "#commit"}, {})[:-1]
    yield "header a list", frame([1], {"seq": 4})
    yield "body a list", frame({"op": 1, "t": "#commit"}, [1])
    # -- CBOR, but not DRISL: in a field that nobody reads, in a header, and where it matters.
    for name, item in NOT_DRISL.items():
        yield f"{name} in a field", raw_message("#commit", x=item)
        yield f"{name} in a list", raw_message("#identity", x=b"\x81" + item)
        yield f"{name} in a header", raw_map(op=b"\x01", t=text("#commit"), x=item) + b"\xa0"
        for field in ("seq", "rev", "repo", "time", "ops"):
            yield f"{name} as {field}", raw_message("#commit", **{field: item})
        yield f"{name} as op", raw_map(op=item, t=text("#commit")) + raw_map(seq=b"\x07")
        yield f"{name} as t", raw_map(op=b"\x01", t=item) + raw_map(seq=b"\x07")
        yield f"{name} as #info's name", raw_map(op=b"\x01", t=text("#info")) + raw_map(name=item)
        yield f"{name} as error", raw_map(op=b"\x20") + raw_map(error=item)
    header = raw_map(op=b"\x01", t=text("#identity"))
    entries = (text("did") + text(DID), text("seq") + b"\x07", text("time") + text(TIME))
    yield "keys out of order", header + b"\xa3" + entries[1] + entries[0] + entries[2]
    yield "longer keys first", header + b"\xa3" + entries[2] + entries[0] + entries[1]
    yield "a key twice", header + b"\xa4" + entries[0] + entries[1] + entries[1] + entries[2]
    yield "a key that is a number", header + b"\xa4\x01\x01" + b"".join(entries)
    yield "a key that is bytes", header + b"\xa4\x41x\x01" + b"".join(entries)
    yield "a key that is no UTF-8", header + b"\xa4\x61\xff\x01" + b"".join(entries)
    yield "a long key length", header + b"\xa4\x78\x01x\x01" + b"".join(entries)
    yield "header keys out of order", cbor2.dumps({"op": 1, "t": "#commit"}) + cbor2.dumps({})
    yield "a long map length", header + b"\xb8\x03" + b"".join(entries)
    yield "a map without end", header + b"\xbf" + b"".join(entries) + b"\xff"
    cyclic = (
        "a2617469236964656e74697479626f7001a46178d81c81d81d0063646964616463736571016474696d656174"
    )
    yield "a list in itself", bytes.fromhex(cyclic)
    # -- Sizes.
    for depth in (100, 1000, 100_000, 5_000_000):
        yield f"{depth} lists deep", raw_message("#commit", x=b"\x81" * depth + b"\x80")
    yield "1000 maps deep", raw_message("#commit", x=b"\xa1\x61x" * 1000 + b"\x80")
    yield (
        "5 million values",
        raw_message("#sync", x=head(dag_cbor.ARRAY, 5_000_000) + bytes(5_000_000)),
    )
    yield "2^32 values, it says", raw_message("#sync", x=b"\x9b\x00\x00\x00\x01\x00\x00\x00\x00")
    yield "2^64 bytes, it says", raw_message("#sync", x=b"\x5b" + b"\xff" * 8)
    # -- DRISL, but no event.
    for field in ("repo", "rev", "time"):
        yield f"{field} too long", raw_message("#commit", **{field: text("x" * 2049)})
    yield "no op", frame({"t": "#commit"}, {"seq": 4})
    yield "op in text", frame({"op": "1", "t": "#commit"}, {"seq": 4})
    yield "op true", frame({"op": True, "t": "#commit"}, {"seq": 4})
    yield "no t", frame({"op": 1}, {"seq": 4})
    yield "t a number", frame({"op": 1, "t": 5}, {"seq": 4})
    yield "t null", frame({"op": 1, "t": None}, {"seq": 4})
    yield "an empty body", frame({"op": 1, "t": "#commit"}, {})
    for seq in (0, -4, 2**53, 2**63, 2**64 - 1, True, "4", None, [4]):
        yield f"seq {seq!r}", commit(seq=seq)
        yield f"seq {seq!r} of #sync", message("#sync", seq=seq, did=DID, rev=REV, time=TIME)
    for kind, fields in (
        ("#commit", ("seq", "repo", "rev", "time", "ops")),
        ("#sync", ("seq", "did", "rev", "time")),
        ("#identity", ("seq", "did", "time")),
        ("#account", ("seq", "did", "time")),
    ):
        whole = {"seq": 7, "repo": DID, "did": DID, "rev": REV, "time": TIME, "ops": []}
        for field in fields:
            yield (
                f"{kind} without {field}",
                message(kind, **{key: value for key, value in whole.items() if key != field}),
            )
            wrong: list[object] = [None, {}, 2**60, b"x", ""]
            for value in wrong if field == "ops" else [*wrong, []]:
                yield f"{kind} with {field} {value!r}", message(kind, **whole | {field: value})
    operations: list[object] = [None, "x", [], {}, {"path": 5}, {"path": None}, {"path": b"a/b"}]
    for operation in operations:
        yield f"operation {operation!r}", commit(ops=[operation])
        yield f"second operation {operation!r}", commit(ops=[{"path": "a.b.c/1"}, operation])


#: One item each; the first that a strict decoder meets, so that only it can be what is wrong.
NOT_DRISL: dict[str, bytes] = {
    "a bignum": BIGNUM,
    "a small bignum": b"\xc2\x41\x01",
    "a negative bignum": b"\xc3\x41\x01",
    "a date": b"\xc0" + text(TIME),
    "a decimal fraction": b"\xc4\x82\x01\x02",
    "a fraction": b"\xd8\x1e\x82\x01\x02",
    "a shared value": b"\xd8\x1c\x80",
    "a list in itself": b"\xd8\x1c\x81\xd8\x1d\x00",
    "a reference": b"\xd8\x1d\x00",
    "a regular expression": b"\xd8\x23" + text("(a*)*" * 20 + "b"),
    "a MIME message": b"\xd8\x24" + text("From: a\n\nb"),
    "a UUID": b"\xd8\x25" + dag_cbor.byte_string(bytes(16)),
    "a set": b"\xd9\x01\x02\x81\x01",
    "an IP address": b"\xd9\x01\x04\x44\x7f\x00\x00\x01",
    "a self-described value": b"\xd9\xd9\xf7\x01",
    "a tag nobody knows": b"\xda\x7f\xff\xff\xff\x01",
    "a link to text": b"\xd8\x2a\x61x",
    "a link to nothing": b"\xd8\x2a\x40",
    "a link without its zero": b"\xd8\x2a\x58\x24" + CID_PREFIX + bytes(32),
    "a link with more behind": b"\xd8\x2a\x58\x26\x00" + CID_PREFIX + bytes(33),
    "a link of version 0": b"\xd8\x2a\x58\x23\x00\x12\x20" + bytes(32),
    "a link with another hash": b"\xd8\x2a\x58\x25\x00\x01\x71\x13\x20" + bytes(32),
    "a link with a long tag": b"\xd9\x00\x2a\x58\x25\x00" + CID_PREFIX + bytes(32),
    "a link in a link": b"\xd8\x2a" * 2 + b"\x58\x25\x00" + CID_PREFIX + bytes(32),
    "a half float": b"\xf9\x3c\x00",
    "a float": b"\xfa\x3f\x80\x00\x00",
    "a double": b"\xfb\x3f\xf0\x00\x00\x00\x00\x00\x00",
    "not a number": b"\xfb\x7f\xf8\x00\x00\x00\x00\x00\x00",
    "infinity": b"\xfb\x7f\xf0\x00\x00\x00\x00\x00\x00",
    "undefined": b"\xf7",
    "a simple value": b"\xe0",
    "a long simple value": b"\xf8\xff",
    "true in two bytes": b"\xf8\x15",
    "a reserved head": b"\x1c",
    "a break": b"\xff",
    "7 in two bytes": b"\x18\x07",
    "7 in three bytes": b"\x19\x00\x07",
    "7 in five bytes": b"\x1a\x00\x00\x00\x07",
    "7 in nine bytes": b"\x1b" + bytes(7) + b"\x07",
    "-1 in two bytes": b"\x38\x00",
    "a long text length": b"\x78\x01x",
    "a long bytes length": b"\x58\x01x",
    "a long list length": b"\x98\x01\x01",
    "a long map length": b"\xb8\x01\x61x\x01",
    "text without end": b"\x7f\x61x\xff",
    "bytes without end": b"\x5f\x41x\xff",
    "a list without end": b"\x9f\x01\xff",
    "a map without end": b"\xbf\x61x\x01\xff",
    "no UTF-8": b"\x61\xff",
    "half a character": b"\x61\xc3",
    "a surrogate": b"\x63\xed\xa0\x80",
    "an overlong character": b"\x62\xc0\x80",
    "a map with a key twice": b"\xa2\x61x\x01\x61x\x02",
    "a map out of order": b"\xa2\x61y\x01\x61x\x02",
    "a map with a number as key": b"\xa1\x01\x01",
}


def events() -> dict[str, bytes]:
    """Frames that are events, if odd ones."""
    return {
        "a commit": commit(),
        "without operations": commit(paths=()),
        "200 operations": commit(paths=tuple(f"app.bsky.feed.like/{n}" for n in range(200))),
        "the last seq": commit(seq=2**53 - 1),
        "the first seq": commit(seq=1),
        "a rev that is no TID": commit(rev="zz"),
        "a path without a slash": commit(paths=("x",)),
        "bytes that look like a link": commit(x=CID_PREFIX + bytes(32)),
        "bytes that look like a link of version 0": commit(x=b"\x12\x20" + bytes(32)),
        "bytes that begin like a link": commit(x=b"\x01", y=b"\x12"),
        "blocks that look like a link": commit(blocks=b"\x01\x55\x00\x00"),
        "a link to raw bytes": raw_message(
            "#commit", x=b"\xd8\x2a\x58\x25\x00\x01\x55\x12\x20" + bytes(32)
        ),
        "large numbers in other fields": commit(x=2**64 - 1, y=-(2**64)),
        "fifty lists deep": raw_message("#commit", x=b"\x81" * 50 + b"\x80"),
        "texts as long as they may be": commit(repo="d" * 2048, time="t" * 2048),
        "5 MB of blocks": commit(blocks=bytes(5 * 2**20 - 300)),
        "5 MB of text": commit(x="x" * (5 * 2**20 - 300)),
        "a sync": message("#sync", seq=7, did=DID, rev=REV, time=TIME, blocks=b""),
        "an identity": identity(),
        "an account": message("#account", seq=7, did=DID, time=TIME, active=False),
        "more in the header": frame(
            {"op": 1, "t": "#identity", "x": 5}, {"seq": 7, "did": DID, "time": TIME}
        ),
    }
