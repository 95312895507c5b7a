"""Writes a table as Parquet: one row group, a gzipped page a column, every cell may be null.

The format is small as far as a table of numbers and text needs it, and libraries that write it are
40 MB on every control node. Readers (pandas, polars, DuckDB, Spark) need nothing special.
https://parquet.apache.org/docs/file-format/
"""

from __future__ import annotations

import gzip
import struct
from collections.abc import Mapping, Sequence

from fpaas.results.figure_columns import NUMERIC, Column

MAGIC = b"PAR1"
CREATED_BY = "fpaas"
# Of parquet.thrift.
DOUBLE, BYTE_ARRAY = 5, 6
UTF8, OPTIONAL = 0, 1
PLAIN, RLE = 0, 3
GZIP = 2
#: A higher one takes twice as long for a few per cent.
GZIP_LEVEL = 6
DATA_PAGE = 0
# Of Thrift's compact protocol.
I32, I64, BINARY, LIST, STRUCT = 5, 6, 8, 9, 12


def table(columns: Mapping[str, Column]) -> bytes:
    """Return the file of columns of one length; those of NUMERIC are doubles, others text."""
    rows = len(next(iter(columns.values()), []))
    content = bytearray(MAGIC)
    chunks = []
    for name, values in columns.items():
        kind = DOUBLE if name in NUMERIC else BYTE_ARRAY
        body = _levels(values) + _plain(values, kind)
        packed = gzip.compress(body, GZIP_LEVEL, mtime=0)
        header = _page_header(rows, len(body), len(packed))
        offset = len(content)
        content += header + packed
        sizes = len(header) + len(body), len(header) + len(packed)
        chunks.append(_chunk(name, kind, rows, offset, sizes))
    footer = _footer(columns, rows, chunks, len(content) - len(MAGIC))
    return bytes(content) + footer + struct.pack("<I", len(footer)) + MAGIC


def _levels(values: Column) -> bytes:
    """Return which values are there, as runs of equal bits, with their length before them."""
    runs = bytearray()
    at = 0
    while at < len(values):
        is_there = values[at] is not None
        until = at
        while until < len(values) and (values[until] is not None) == is_there:
            until += 1
        runs += _varint((until - at) << 1) + bytes([is_there])
        at = until
    return struct.pack("<I", len(runs)) + bytes(runs)


def _plain(values: Column, kind: int) -> bytes:
    there = [value for value in values if value is not None]
    if kind == DOUBLE:
        return struct.pack(f"<{len(there)}d", *there)
    encoded = [str(value).encode() for value in there]
    return b"".join(struct.pack("<I", len(one)) + one for one in encoded)


def _page_header(rows: int, size: int, packed_size: int) -> bytes:
    data = _struct((1, I32, rows), (2, I32, PLAIN), (3, I32, RLE), (4, I32, RLE))
    return _struct((1, I32, DATA_PAGE), (2, I32, size), (3, I32, packed_size), (5, STRUCT, data))


def _chunk(name: str, kind: int, rows: int, offset: int, sizes: tuple[int, int]) -> bytes:
    described = _struct(
        (1, I32, kind),
        (2, LIST, _list(I32, [_zigzag(PLAIN), _zigzag(RLE)])),
        (3, LIST, _list(BINARY, [_binary(name)])),
        (4, I32, GZIP),
        (5, I64, rows),
        (6, I64, sizes[0]),
        (7, I64, sizes[1]),
        (9, I64, offset),
    )
    return _struct((2, I64, offset), (3, STRUCT, described))


def _footer(columns: Mapping[str, Column], rows: int, chunks: list[bytes], size: int) -> bytes:
    schema = [_struct((4, BINARY, _binary("table")), (5, I32, len(columns)))]
    for name in columns:
        if name in NUMERIC:
            schema.append(_struct((1, I32, DOUBLE), (3, I32, OPTIONAL), (4, BINARY, _binary(name))))
        else:
            schema.append(
                _struct(
                    (1, I32, BYTE_ARRAY),
                    (3, I32, OPTIONAL),
                    (4, BINARY, _binary(name)),
                    (6, I32, UTF8),
                )
            )
    group = _struct((1, LIST, _list(STRUCT, chunks)), (2, I64, size), (3, I64, rows))
    return _struct(
        (1, I32, 1),
        (2, LIST, _list(STRUCT, schema)),
        (3, I64, rows),
        (4, LIST, _list(STRUCT, [group])),
        (6, BINARY, _binary(CREATED_BY)),
    )


# -- Thrift's compact protocol ---------------------------------------------------------------------


def _struct(*fields: tuple[int, int, int | bytes]) -> bytes:
    """Encode fields (id, type, number or encoded value), ids ascending by no more than 15."""
    content = bytearray()
    before = 0
    for number, kind, value in fields:
        content.append((number - before) << 4 | kind)
        content += _zigzag(value) if isinstance(value, int) else value
        before = number
    return bytes(content) + b"\0"


def _list(kind: int, items: Sequence[bytes]) -> bytes:
    head = bytes([len(items) << 4 | kind]) if len(items) < 15 else bytes([0xF0 | kind])
    return head + (b"" if len(items) < 15 else _varint(len(items))) + b"".join(items)


def _binary(text: str) -> bytes:
    encoded = text.encode()
    return _varint(len(encoded)) + encoded


def _zigzag(value: int) -> bytes:
    return _varint(value << 1 if value >= 0 else (-value << 1) - 1)


def _varint(value: int) -> bytes:
    content = bytearray()
    while value > 0x7F:
        content.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(content) + bytes([value])
