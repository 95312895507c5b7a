"""What every consumer does next: polls that fall due, pulls in flight, their ends; no I/O.

A puller idles until its poll is due and what it received is processed, passes its connection's
gate, and has one pull in flight at a time. The caller passes the time in, sends what gates hold in
`outbox`, and reports how pulls ended. Times are Unix nanoseconds.
"""

from __future__ import annotations

import heapq
from collections import Counter, deque
from collections.abc import Callable, Iterator
from itertools import chain

from fpaas.consumers.pull_timings import PullTimings, Timings
from fpaas.consumers.puller import Gate, Habit, Puller
from fpaas.jetstream.nats_wire import status_of
from fpaas.measures.calls import Bins
from fpaas.measures.delivery_log import DeliveryLog
from fpaas.records.consumers import Fetches, OrderedPlace, total_of

PULL_TIMEOUT_NS = 5_000_000_000
#: No pull is sent later than so long after the end: the server is about to be looked at last.
BEGUN_LATE_MAX_NS = 500_000_000
#: A pull ended because its next message did not fit into its `max_bytes`.
FULL_OF_BYTES = "409:Message Size Exceeds MaxBytes"
#: Follows the last message of a full batch, if the pull stated `max_bytes`: that pull has ended.
BATCH_COMPLETED = "Batch Completed"
#: And brought nothing: that message is larger than any pull.
NOTHING_FITS = f"{FULL_OF_BYTES}, and brought nothing"
#: Statuses that need no description: everybody knows what they mean.
_PLAIN_STATUSES = ("404", "408")


class Polling:
    """All pullers of one process."""

    def __init__(
        self,
        pullers: list[Puller],
        *,
        until_unix_ns: int,
        bins: Bins | None = None,
        from_unix_ns: int = 0,
        takes_time: bool = False,
    ) -> None:
        #: One for each class that is played here.
        self.habits = list(dict.fromkeys(puller.habit for puller in pullers))
        self.timings = Timings(bins)
        for habit in self.habits:
            own = [PullTimings(bins, habit.name)] if habit.name else []
            habit.pull_timings = [self.timings, *own]
        self.first_poll_unix_ns: int | None = None
        #: Ordered consumers that were made again, by cause.
        self.made_again: Counter[str] = Counter()
        self._in_flight: set[Puller] = set()
        #: Gates whose `outbox` has something; the driver sends and clears both.
        self.to_send: list[Gate] = []
        self._until_unix_ns = self._last_due_unix_ns = until_unix_ns
        #: (when it is due and done with its messages, position).
        self._idle: list[tuple[int, int]] = []
        #: Whether some are at work when they are due.
        self._takes_time = takes_time
        self._pullers = pullers
        self._gates = list(dict.fromkeys(puller.gate for puller in pullers))
        self._sent: deque[tuple[int, Puller, int]] = deque()
        for position, puller in enumerate(pullers):
            puller.position = position
            schedule = puller.habit.schedule
            puller.due_unix_ns = schedule.first_due(puller.log.consumer_index)
            while puller.due_unix_ns < from_unix_ns:
                puller.poll += 1
                puller.due_unix_ns = schedule.next_due(
                    puller.log.consumer_index, puller.poll, puller.due_unix_ns
                )
            puller.absences = schedule.absences_before(puller.due_unix_ns)
            self._sleep_until(puller, puller.due_unix_ns)

    @property
    def polls(self) -> int:
        """How many polls were sent."""
        return sum(habit.polls for habit in self.habits)

    def fetches(self) -> Fetches:
        """Return how pulls of all classes ended."""
        return total_of(habit.fetches for habit in self.habits)

    @property
    def in_flight(self) -> int:
        """How many pulls wait for their answer."""
        return len(self._in_flight)

    @property
    def next_due_unix_ns(self) -> int | None:
        """When the next idle consumer's poll is due; None if none will poll again."""
        due = self._idle[0][0] if self._idle else None
        return due if due is not None and due < self._until_unix_ns else None

    def start_due(self, now: int) -> None:
        """Start the polls that are due."""
        idle = self._idle
        if self._is_over(now):
            return
        while idle and idle[0][0] <= now and idle[0][0] < self._until_unix_ns:
            self._offer(self._pullers[heapq.heappop(idle)[1]], now)

    def pull_answered(self, puller: Puller, status_header: bytes, now: int) -> None:
        """End a pull: its batch is full (no header), or a status came.

        Source of the statuses: NATS ADR-37 and ADR-13.
        """
        habit = puller.habit
        fetches = habit.fetches
        code = status = ""
        brought = puller.remaining < habit.batch_size
        if status_header:
            code, description = status_of(status_header)
            if description == BATCH_COMPLETED:
                return
            plain = code in _PLAIN_STATUSES or not description
            status = code if plain else f"{code}:{description}"
            if status == FULL_OF_BYTES and not brought:
                status = NOTHING_FITS
            fetches.by_status[status] = fetches.by_status.get(status, 0) + 1
        if not puller.in_flight:
            # The late end of a pull that was given up.
            return
        if brought:
            fetches.ok += 1
        elif code in _PLAIN_STATUSES:
            fetches.empty += 1
        else:
            fetches.refused += 1
        for timings in habit.pull_timings:
            timings.end(puller, now)
        self._land(puller)
        there_may_be_more = not status_header or status == FULL_OF_BYTES
        is_draining = habit.drain or puller.catches_up
        if is_draining and there_may_be_more and now < self._until_unix_ns:
            self._pull_again(puller, now)
        else:
            self._end_poll(puller, now)
        self._pump(puller.gate, now)

    def expire(self, now: int) -> None:
        """Give up pulls that nothing came for within the timeout."""
        sent = self._sent
        while sent and sent[0][0] + PULL_TIMEOUT_NS <= now:
            _, puller, pull = sent.popleft()
            if not puller.in_flight or puller.pull != pull:
                continue
            if puller.progress_unix_ns + PULL_TIMEOUT_NS > now:
                sent.append((puller.progress_unix_ns, puller, pull))
                continue
            # Should its messages come after all, they count as deliveries, and at worst fill up
            # the next pull early.
            puller.habit.fetches.client_timeout += 1
            self._give_up(puller, now)
            self._end_poll(puller, now)
            self._pump(puller.gate, now)

    def connection_up(self, gate: Gate, now: int) -> None:
        """Send what waited for the connection."""
        gate.is_open = True
        self._pump(gate, now)

    def begin_stream(self, stream: int, now: int) -> None:
        """Log what comes from now on as of another stream; pulls in flight are given up."""
        for gate in self._gates:
            self.connection_lost(gate, now)
        for puller in self._pullers:
            puller.log.end_run()
            puller.log = DeliveryLog(puller.log.consumer_index, puller.log.durable, stream)

    def connection_lost(self, gate: Gate, now: int) -> None:
        """Give up the pulls in flight on a connection; later polls wait until it is up again."""
        gate.is_open = False
        gate.outbox.clear()
        for puller in gate.pullers:
            if puller.in_flight:
                puller.habit.fetches.lost += 1
                self._give_up(puller, now)
                self._end_poll(puller, now)
            puller.log.end_life()

    def stop(self, now: int) -> None:
        """Start no more; pulls in flight may still end. Polls that are due and unsent stay so."""
        timings = self.timings
        for puller, due in self._due_and_unsent(now):
            puller.habit.fetches.unsent += 1
            for one in puller.habit.pull_timings:
                one.fetch_call_intended.give_up(due, now)
        for _, due in self._due_and_not_begun(now):
            timings.poll_lateness.give_up(due, now)
        self._until_unix_ns = self._last_due_unix_ns = 0
        self._idle.clear()
        for gate in self._gates:
            gate.queue.clear()

    def abandon(self, now: int) -> None:
        """Count what is still in flight as unanswered; for the very end."""
        for puller in self._pullers:
            if puller.in_flight:
                puller.habit.fetches.unanswered += 1
                self._give_up(puller, now)
            puller.log.end_run()

    def places(self) -> dict[str, OrderedPlace]:
        """Return by durable which ordered consumer stands in its place; none of who polls."""
        return {}

    def watch(self, clock: Callable[[], int]) -> None:
        """Let the recorders know what is open, by this clock's time."""
        self._watch_pulls(self.timings, set(self.habits), clock)
        for habit in self.habits:
            for own in habit.pull_timings[1:]:
                self._watch_pulls(own, {habit}, clock)
        self.timings.poll_lateness.still_open = lambda: [
            due for _, due in self._due_and_not_begun(clock())
        ]

    def _watch_pulls(
        self, timings: PullTimings, habits: set[Habit], clock: Callable[[], int]
    ) -> None:
        timings.fetch_call.still_open = lambda: [
            one.sent_unix_ns for one in self._in_flight if one.habit in habits
        ]
        timings.fetch_call_intended.still_open = lambda: [
            *(one.pull_due_unix_ns for one in self._in_flight if one.habit in habits),
            *(due for one, due in self._due_and_unsent(clock()) if one.habit in habits),
        ]

    # -- inside ----------------------------------------------------------------------------------

    def _due_and_unsent(self, now: int) -> Iterator[tuple[Puller, int]]:
        """Iterate over whose pulls were due when, and have not been sent."""
        for puller in self._queued():
            if puller.is_poll_begun:
                # The next pull of a poll that drains.
                yield puller, puller.pull_due_unix_ns
        yield from self._due_and_not_begun(now)

    def _due_and_not_begun(self, now: int) -> Iterator[tuple[Puller, int]]:
        """Iterate over whose polls were due when, and have not begun, however many each has."""
        latest = min(now, self._last_due_unix_ns - 1)
        overdue: list[Puller] = []
        if self._takes_time or (self._idle and self._idle[0][0] <= latest):
            overdue = [self._pullers[position] for _, position in self._idle]
        for puller in chain(overdue, self._in_flight, self._queued()):
            due, poll = puller.due_unix_ns, puller.poll
            if puller.is_poll_begun:
                poll += 1
                due = puller.habit.schedule.next_due(puller.log.consumer_index, poll, due)
            while due <= latest:
                yield puller, due
                poll += 1
                due = puller.habit.schedule.next_due(puller.log.consumer_index, poll, due)

    def _queued(self) -> Iterator[Puller]:
        return chain.from_iterable(gate.queue for gate in self._gates)

    def _is_over(self, now: int) -> bool:
        """Whether it is too late to pull: who stood still over the end would do so unseen."""
        return now >= self._until_unix_ns + BEGUN_LATE_MAX_NS

    def _sleep_until(self, puller: Puller, unix_ns: int) -> None:
        if puller.due_unix_ns < self._until_unix_ns:
            heapq.heappush(self._idle, (unix_ns, puller.position))

    def _offer(self, puller: Puller, now: int) -> None:
        if puller.is_poll_begun:
            for timings in puller.habit.pull_timings:
                timings.fetch_call_intended.begin(puller.pull_due_unix_ns)
        else:
            puller.pull_due_unix_ns = puller.due_unix_ns
        self._pass(puller, now)

    def _pull_again(self, puller: Puller, now: int) -> None:
        """Go on with a poll that fetches until empty, once what came is processed."""
        puller.pull_due_unix_ns = max(now, puller.busy_until_unix_ns)
        if puller.pull_due_unix_ns > now:
            self._sleep_until(puller, puller.pull_due_unix_ns)
        else:
            self._offer(puller, now)

    def _pass(self, puller: Puller, now: int) -> None:
        """Send a pull, or queue it at a gate that is closed or full."""
        gate = puller.gate
        if gate.is_open and gate.in_flight < gate.limit and not gate.queue:
            self._send(puller, now)
        else:
            puller.delayed = True
            gate.queue.append(puller)

    def _pump(self, gate: Gate, now: int) -> None:
        while (
            gate.queue and gate.is_open and gate.in_flight < gate.limit and not self._is_over(now)
        ):
            self._send(gate.queue.popleft(), now)

    def _send(self, puller: Puller, now: int) -> None:
        gate = puller.gate
        if not puller.is_poll_begun:
            self._begin_poll(puller, now)
        puller.habit.fetches.pulls += 1
        puller.pull += 1
        puller.remaining = puller.habit.batch_size
        puller.sent_unix_ns = puller.progress_unix_ns = now
        puller.in_flight = True
        self._in_flight.add(puller)
        gate.in_flight += 1
        for timings in puller.habit.pull_timings:
            timings.fetch_call.begin(now)
        if not gate.outbox:
            self.to_send.append(gate)
        gate.outbox.append(puller.request)
        self._sent.append((now, puller, puller.pull))

    def _begin_poll(self, puller: Puller, now: int) -> None:
        puller.is_poll_begun = True
        puller.habit.polls += 1
        absences = puller.habit.schedule.absences_before(puller.due_unix_ns)
        puller.catches_up = absences > puller.absences
        puller.absences = absences
        if self.first_poll_unix_ns is None:
            self.first_poll_unix_ns = now
        self.timings.poll_lateness.end(puller.due_unix_ns, now)
        if not puller.delayed:
            self.timings.poll_lateness_own.end(puller.due_unix_ns, now)

    def _land(self, puller: Puller) -> None:
        puller.in_flight = False
        puller.gate.in_flight -= 1
        self._in_flight.discard(puller)

    def _give_up(self, puller: Puller, now: int) -> None:
        for timings in puller.habit.pull_timings:
            timings.give_up(puller, now)
        self._land(puller)

    def _end_poll(self, puller: Puller, now: int) -> None:
        puller.log.end_run()
        puller.is_poll_begun = False
        puller.poll += 1
        puller.due_unix_ns = puller.habit.schedule.next_due(
            puller.log.consumer_index, puller.poll, puller.due_unix_ns
        )
        ready_unix_ns = max(puller.due_unix_ns, puller.busy_until_unix_ns)
        puller.delayed = puller.due_unix_ns <= now or ready_unix_ns > puller.due_unix_ns
        if ready_unix_ns <= now < self._until_unix_ns:
            self._offer(puller, now)
        else:
            self._sleep_until(puller, ready_unix_ns)
