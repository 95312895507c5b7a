"""What does not fit in a run's account, added up."""

from __future__ import annotations

from collections import defaultdict

_Kinds = defaultdict[str, list[tuple[int, str]]]


class Disagreements:
    """Adds up what does not fit, by kind, with an example of each."""

    def __init__(self) -> None:
        self.total = 0
        self._kinds: _Kinds = defaultdict(list)
        self._tolerated: _Kinds = defaultdict(list)

    def note(self, amount: int, kind: str, example: str) -> None:
        """Note a disagreement about `amount` events; 0 is none."""
        if amount:
            self.total += abs(amount)
            self._kinds[kind].append((abs(amount), example))

    def tolerate(self, amount: int, kind: str, example: str) -> None:
        """Note what does not fit and is known not to: it is told, and no part of the total."""
        if amount:
            self._tolerated[kind].append((abs(amount), example))

    def sentences(self) -> list[str]:
        """One sentence a kind, with the largest of its examples."""
        return _sentences(self._kinds)

    def tolerated(self) -> list[str]:
        """Return the same of what is tolerated."""
        return _sentences(self._tolerated)


def _sentences(kinds: _Kinds) -> list[str]:
    sentences = []
    for kind, cases in kinds.items():
        worst = max(cases)[1]
        others = f" (and {len(cases) - 1} more such)" if len(cases) > 1 else ""
        sentences.append(f"{kind}: {sum(amount for amount, _ in cases)}; {worst}{others}")
    return sentences


def distance(value: int, at_least: int, at_most: int) -> int:
    """How far a value lies outside a range."""
    return max(at_least - value, value - at_most, 0)
