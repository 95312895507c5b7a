"""How many consumers each class of a mix has, and which ones."""

from __future__ import annotations

from typing import Any

from fpaas.errors import SpecError


def counts_of(entries: list[dict[str, Any]], total: int) -> list[int]:
    """Return how many consumers each class has. Raises SpecError if they do not add up."""
    counted = sum(entry.get("count", 0) for entry in entries)
    shares = [entry.get("share_pct", 0.0) for entry in entries]
    left = total - counted
    if not any(shares):
        if left:
            raise SpecError(
                f"bench_mix: its classes have {counted} consumers, and bench_consumers is {total}; "
                "make them equal, or give a class a share_pct in place of its count"
            )
        return [entry["count"] for entry in entries]
    if abs(sum(shares) - 100) > 0.01:
        raise SpecError(
            f"bench_mix: the share_pct of its classes are {sum(shares):g} together; they must be "
            "100, of the consumers that classes with a count leave"
        )
    # The largest remainders get what rounding down leaves.
    exact = [left * share / sum(shares) for share in shares]
    whole = [int(one) for one in exact]
    order = sorted(range(len(exact)), key=lambda i: (whole[i] - exact[i], i))
    for i in [i for i in order if shares[i]][: left - sum(whole)]:
        whole[i] += 1
    counts = [entry.get("count", whole[i]) for i, entry in enumerate(entries)]
    if min(counts) < 1 or left < 0:
        few = ", ".join(f"{e['name']} {n}" for e, n in zip(entries, counts, strict=True))
        raise SpecError(
            f"bench_mix: of bench_consumers={total} the classes get {few}; each needs one at least"
        )
    return counts


def spread(counts: list[int]) -> list[int]:
    """Return the class of each consumer; hosts and workers all get the same mix.

    >>> spread([4, 2])
    [0, 1, 0, 0, 1, 0]
    """
    places = (
        ((member + 0.5) / count, number)
        for number, count in enumerate(counts)
        for member in range(count)
    )
    return [number for _, number in sorted(places)]
