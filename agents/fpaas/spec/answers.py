"""What the consumers of a class answer to a delivery: an ack, or the answer of a failing service.

It follows from the message's place in the stream and from how often it was delivered, so that the
agents and the ledger each come to the same answer.
"""

from __future__ import annotations

import enum
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate

#: Places by which messages are told apart: thousandths of a per cent.
PLACES = 100_000
#: Spreads places evenly over the stream: near PLACES times the golden section, and prime to it.
_STEP = 61_803


class Answer(enum.StrEnum):
    """An answer to one delivery; the values are the names of counts in a worker's account."""

    ACK = "acks"
    #: Says that it is at work, and acks then.
    IN_PROGRESS = "in_progress"
    TERMINATE = "terminated"
    NAK = "naks"
    #: None at all: the server waits for its ack_wait.
    NO_ACK = "not_acked"


#: These end with an ack.
ACKED = (Answer.ACK, Answer.IN_PROGRESS)
#: Counted for each class.
OTHER_ANSWERS = tuple(answer for answer in Answer if answer is not Answer.ACK)
#: After these the server delivers the message again.
FAILURES = (Answer.NAK, Answer.NO_ACK)


@dataclass(frozen=True)
class Answers:
    """Per cent of the messages of the stream by their answer; all others are acked.

    A message that is not acked fails its first `fail_times` deliveries, and is acked at the next.
    """

    terminate_pct: float = 0.0
    nak_pct: float = 0.0
    no_ack_pct: float = 0.0
    in_progress_pct: float = 0.0
    fail_times: int = 1

    def __bool__(self) -> bool:
        """Whether there is any answer but acks."""
        return bool(self._ends[-1][1])

    @property
    def fails(self) -> bool:
        """Whether some answers cause messages to be delivered again."""
        return self.nak_pct > 0 or self.no_ack_pct > 0

    def to(self, stream_seq: int, delivered: int) -> Answer:
        """Return the answer to a delivery; the server counts a message's deliveries from 1."""
        answer = self._first_answer(stream_seq)
        if answer in FAILURES and delivered > self.fail_times:
            return Answer.ACK
        return answer

    def count(self, answer: Answer, first: int, last: int) -> int:
        """Count the messages from one stream sequence to another with a first answer."""
        upto = self._counts[answer]
        whole = upto[PLACES]

        def before(seq: int) -> int:
            rounds, rest = divmod(seq, PLACES)
            return rounds * whole + upto[rest]

        return before(last + 1) - before(first)

    def failing(self, first: int, last: int) -> Iterator[int]:
        """Iterate over the messages from one stream sequence to another that fail at first."""
        residues = self._failing_residues
        if not residues:
            return
        base = first - first % PLACES
        position = bisect_left(residues, first % PLACES)
        while True:
            if position == len(residues):
                base, position = base + PLACES, 0
            if base + residues[position] > last:
                return
            yield base + residues[position]
            position += 1

    def _first_answer(self, stream_seq: int) -> Answer:
        place = stream_seq * _STEP % PLACES
        for answer, end in self._ends:
            if place < end:
                return answer
        return Answer.ACK

    @cached_property
    def _ends(self) -> list[tuple[Answer, int]]:
        shares = (
            (Answer.TERMINATE, self.terminate_pct),
            (Answer.NAK, self.nak_pct),
            (Answer.NO_ACK, self.no_ack_pct),
            (Answer.IN_PROGRESS, self.in_progress_pct),
        )
        ends = accumulate(round(pct * PLACES / 100) for _, pct in shares)
        return [(answer, end) for (answer, _), end in zip(shares, ends, strict=True)]

    @cached_property
    def _counts(self) -> dict[Answer, list[int]]:
        """By answer, how many of the first residues have it."""
        answers = [self._first_answer(residue) for residue in range(PLACES)]
        return {
            answer: list(accumulate((one is answer for one in answers), initial=0))
            for answer in Answer
        }

    @cached_property
    def _failing_residues(self) -> list[int]:
        if not self.fails:
            return []
        return [seq for seq in range(PLACES) if self._first_answer(seq) in FAILURES]
