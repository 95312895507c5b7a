"""Sizes of published messages: of all, and by kind and collection. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from fpaas.measures import figures
from fpaas.records.summary import KindBytes, MessageBytes

#: `message_bytes` of shuffler.json: "<kind> <collection>" → size in bytes → how many.
Sizes = Mapping[str, Mapping[int, int]]


def total(sizes: Sizes | None) -> MessageBytes:
    """Return `message_bytes` of summary.json; None each if no shuffler left its account."""
    if sizes is None:
        return MessageBytes(count=None, mean=None, p50=None, p99=None, max=None)
    counts: Counter[int] = Counter()
    for of_kind in sizes.values():
        counts.update(of_kind)
    return MessageBytes(**figures.weighted(counts))


def by_kind(sizes: Sizes | None) -> dict[str, KindBytes] | None:
    """Return the same for each kind and collection, and its share of all bytes; largest first."""
    if sizes is None:
        return None
    bytes_of = {
        kind: sum(size * count for size, count in of_kind.items())
        for kind, of_kind in sizes.items()
    }
    everything = sum(bytes_of.values())
    return {
        kind: KindBytes(
            **figures.weighted(sizes[kind]),
            share_of_bytes=bytes_of[kind] / everything if everything else None,
        )
        for kind in sorted(sizes, key=lambda kind: (-bytes_of[kind], kind))
    }
