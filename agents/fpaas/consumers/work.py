"""Messages that consumers received and are still at work on: their answers come later. No I/O.

A consumer works on one message after the other, in the order of their arrival, and polls again when
it is done with them. If it says that a message is in progress, it says so at once, and again
whenever half of the server's patience is over, until it is done. Times are Unix nanoseconds.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import NamedTuple

from fpaas.consumers.puller import IN_PROGRESS, Gate, Puller
from fpaas.measures.delivery_log import DeliveryLog
from fpaas.spec.answers import ACKED, Answer

#: An answer waits that long for its connection, if that is down, before it is tried again.
RETRY_NS = 50_000_000


def publish(reply: bytes, payload: bytes) -> bytes:
    """Return the protocol line and body of an answer."""
    return b"PUB %s %d\r\n%s\r\n" % (reply, len(payload), payload)


class Job(NamedTuple):
    """One delivery; `number` orders those that are due together."""

    due_unix_ns: int
    number: int
    done_unix_ns: int
    puller: Puller
    log: DeliveryLog
    consumer_seq: int
    reply: bytes
    answer: Answer


class Work:
    """All that the consumers of one process are at work on."""

    def __init__(self, ack_wait_ns: int, on_earlier: Callable[[], None]) -> None:
        self._remind_ns = ack_wait_ns // 2
        #: Called when something is to be answered before all else.
        self._on_earlier = on_earlier
        self._jobs: list[Job] = []
        self._taken = 0

    @property
    def next_unix_ns(self) -> int | None:
        """When something is to be answered next."""
        return self._jobs[0].due_unix_ns if self._jobs else None

    def take(
        self, puller: Puller, consumer_seq: int, reply: bytes, answer: Answer, now: int
    ) -> None:
        """Begin with a delivery when its consumer is done with those before."""
        processing = puller.habit.processing
        assert processing is not None, "it takes time"  # noqa: S101
        took_ns = processing.draw_ns(puller.log.consumer_index, consumer_seq)
        done = puller.busy_until_unix_ns = max(now, puller.busy_until_unix_ns) + took_ns
        due = now if answer is Answer.IN_PROGRESS else done
        self._taken += 1
        job = Job(due, self._taken, done, puller, puller.log, consumer_seq, reply, answer)
        heapq.heappush(self._jobs, job)
        if self._jobs[0] is job:
            self._on_earlier()

    def answer_due(self, now: int) -> tuple[dict[Gate, list[bytes]], int]:
        """Return what is to be written to connections by now, and how many acks are in it."""
        written: dict[Gate, list[bytes]] = {}
        acks = 0
        jobs = self._jobs
        while jobs and jobs[0].due_unix_ns <= now:
            job = heapq.heappop(jobs)
            gate = job.puller.gate
            if not gate.is_open:
                heapq.heappush(jobs, job._replace(due_unix_ns=now + RETRY_NS))
            elif job.due_unix_ns < job.done_unix_ns:
                again = min(job.done_unix_ns, now + self._remind_ns)
                heapq.heappush(jobs, job._replace(due_unix_ns=again))
                written.setdefault(gate, []).append(publish(job.reply, IN_PROGRESS))
            else:
                habit = job.puller.habit
                habit.answered[job.answer] += 1
                is_ack = job.answer in ACKED
                acks += is_ack
                payload = b"" if is_ack else habit.payload_of(job.answer)
                if is_ack or payload:
                    written.setdefault(gate, []).append(publish(job.reply, payload))
        return written, acks

    def abandon(self) -> None:
        """Note what was not answered: the stream is gone, or the run is over."""
        for job in self._jobs:
            job.log.unanswered.append(job.consumer_seq)
        self._jobs.clear()
