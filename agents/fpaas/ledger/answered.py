"""What consumers answered to each delivery, by their logs: who failed what, and how often.

The answer follows from the message and the number of its delivery (`fpaas.spec.answers`), so what
was logged says what was answered; the agents' own counts are held against it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Sequence

from fpaas.ledger.deliveries import Answered, received_of, split_repeats
from fpaas.ledger.disagreements import About, Disagreements, distance
from fpaas.measures.delivery_log import ConsumerDeliveries
from fpaas.measures.intervals import IntervalSet
from fpaas.records.consumers import WorkerResult
from fpaas.spec import RunSpec, acks
from fpaas.spec.answers import FAILURES, OTHER_ANSWERS, Answer, Answers
from fpaas.spec.mix import ConsumerClass


def answered_by_durable(spec: RunSpec, logs: Iterable[ConsumerDeliveries]) -> dict[str, Answered]:
    """Return the answers of the durables of one stream whose classes do not only ack at once."""
    found: dict[str, _Reader] = {}
    classes = spec.consumers.classes
    for log in logs if any(one.answers_otherwise for one in classes) else ():
        one = classes[spec.class_of(log.consumer_index)]
        if one.answers_otherwise:
            found.setdefault(log.durable, _Reader(one.answers)).read(log)
    return {durable: reader.answered() for durable, reader in found.items()}


class _Reader:
    """Reads the logs of one durable's consumers.

    `_settled` are repeats after which the server has nothing to wait for. First deliveries that
    were answered are kept only if something was not.
    """

    def __init__(self, answers: Answers) -> None:
        self._answers = answers
        self._answered = Answered()
        self._settled = IntervalSet()
        self._answered_first = IntervalSet()
        self._keeps_first = False

    def read(self, log: ConsumerDeliveries) -> None:
        """Go through a log, less what was not answered."""
        unanswered = sorted(log.unanswered)
        self._keeps_first = bool(unanswered)
        in_process = self._answered.in_process
        for _, consumer_seq, first, count, number in split_repeats(log):
            begin = first
            at = slice(
                bisect_left(unanswered, consumer_seq),
                bisect_left(unanswered, consumer_seq + count),
            )
            for one in unanswered[at]:
                seq = first + one - consumer_seq
                self._take(begin, seq - 1, number)
                in_process[seq] = max(in_process.get(seq, 0), number)
                begin = seq + 1
            self._take(begin, first + count - 1, number)

    def _take(self, first: int, last: int, number: int) -> None:
        if first > last:
            return
        counts, failed = self._answered.counts, self._answered.failed
        if number == 1:
            for answer in Answer:
                counts[answer] += self._answers.count(answer, first, last)
            for seq in self._answers.failing(first, last):
                failed.setdefault(seq, 1)
            if self._keeps_first:
                self._answered_first.add_range(first, last)
            return
        answer = self._answers.to(first, number)
        counts[answer] += 1
        if answer in FAILURES:
            failed[first] = max(failed.get(first, 0), number)
        else:
            self._settled.add_range(first, last)

    def answered(self) -> Answered:
        """Return what became of each message, after all its deliveries."""
        failed, in_process = self._answered.failed, self._answered.in_process
        for seq, number in list(in_process.items()):
            is_settled_first = (
                number > 1
                and seq in self._answered_first
                and self._answers.to(seq, 1) not in FAILURES
            )
            if is_settled_first or seq in self._settled:
                del in_process[seq]
            else:
                failed.pop(seq, None)
        for seq in [seq for seq in failed if seq in self._settled]:
            del failed[seq]
        return self._answered


def terminated_of(one: ConsumerClass, logs: Sequence[ConsumerDeliveries]) -> int:
    """Count messages that consumers of a class terminated, each once for each durable."""
    readers: dict[str, _Reader] = {}
    for log in logs:
        readers.setdefault(log.durable, _Reader(one.answers)).read(log)
    in_process = sum(
        one.answers.to(seq, number) is Answer.TERMINATE
        for reader in readers.values()
        for seq, number in reader.answered().in_process.items()
    )
    received = sum(
        one.answers.count(Answer.TERMINATE, first, last)
        for seqs in received_of(logs).values()
        for first, last in seqs
    )
    return received - in_process


def _acks_due(spec: RunSpec, logs: Iterable[ConsumerDeliveries], processed: int) -> tuple[int, int]:
    """Return how many answers there must be at least, and at most."""
    if spec.consumers.ack == acks.NONE:
        return 0, 0
    if spec.consumers.ack == acks.ALL:
        # One at least for each time that something came to a consumer.
        return len({log.consumer_index for log in logs if log.runs}), processed
    return processed, processed


def answered_wrongly(
    spec: RunSpec,
    workers: Iterable[WorkerResult],
    logs: Iterable[ConsumerDeliveries],
    processed: int,
    disagreements: Disagreements,
) -> None:
    """Note by how much the agents' counts of answers differ from deliveries, and from their logs.

    `logs` are of all streams: a stream's durables begin with it.
    """
    workers, logs = list(workers), list(logs)
    counted = Counter(
        {
            answer: sum(
                getattr(one, answer.value) for worker in workers for one in worker.by_class.values()
            )
            for answer in OTHER_ANSWERS
        }
    )
    acked = sum(worker.acks for worker in workers)
    others = counted.total() - counted[Answer.IN_PROGRESS]
    in_process = sum(len(log.unanswered) for log in logs)
    disagreements.note(
        distance(acked + others + in_process, *_acks_due(spec, logs, processed)),
        About.ACKS_COUNTED,
        acks=acked,
        others=others,
        in_process=in_process,
        counted=processed,
    )
    logged = sum(
        (one.counts for one in answered_by_durable(spec, logs).values()), Counter[Answer]()
    )
    for answer in OTHER_ANSWERS:
        disagreements.note(
            counted[answer] - logged[answer],
            About.ANSWERS_COUNTED,
            answer=answer.value,
            counted=counted[answer],
            logged=logged[answer],
        )
