"""What does not fit in a run's account, added up."""

from __future__ import annotations

from collections import defaultdict


class Disagreements:
    """Adds up what does not fit, by kind, with an example of each."""

    def __init__(self) -> None:
        self.total = 0
        self._kinds: defaultdict[str, list[tuple[int, str]]] = defaultdict(list)

    def note(self, amount: int, kind: str, example: str) -> None:
        """Note a disagreement about `amount` events; 0 is none."""
        if amount:
            self.total += abs(amount)
            self._kinds[kind].append((abs(amount), example))

    def sentences(self) -> list[str]:
        """One sentence a kind, with the largest of its examples."""
        sentences = []
        for kind, cases in self._kinds.items():
            worst = max(cases)[1]
            others = f" (and {len(cases) - 1} more such)" if len(cases) > 1 else ""
            sentences.append(f"{kind}: {sum(amount for amount, _ in cases)}; {worst}{others}")
        return sentences


def distance(value: int, at_least: int, at_most: int) -> int:
    """How far a value lies outside a range."""
    return max(at_least - value, value - at_most, 0)
