"""Recovery when the shuffler is connected to NATS again: the stream may be another one.

If the stream is gone, it is made again with the same settings. Events that the lost one had and
some consumer had not, as far as they told, are read from the relay again and published before
anything new, if they are still young enough for the stream; so is everything that was in flight.
The account keeps the streams apart.

A server that is killed before files are on its disk comes back with the same stream, which may have
forgotten its last messages although they were acked. These are read again and published before
anything else, all of them and in their order, so that they get their places back: consumers that
had them find the same events there.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterable

from fpaas import common_time
from fpaas.firehose.numbering import Numbering
from fpaas.jetstream.progress import Listener
from fpaas.jetstream.stream_keeper import StreamKeeper, StreamLife
from fpaas.measures.intervals import IntervalSet
from fpaas.records.events import STREAM_LOST, EventLog, EventRecord
from fpaas.shuffler.publish_account import Account, StreamPlaces
from fpaas.shuffler.publisher import Publisher
from fpaas.shuffler.replay import Replay
from fpaas.shuffler.trail import Trail
from fpaas.spec import NS_PER_S

log = logging.getLogger(__name__)


class Recovery:
    """Looks after a publisher's stream; `events` is None if nobody keeps them."""

    def __init__(
        self,
        publisher: Publisher,
        account: Account,
        keeper: StreamKeeper,
        *,
        relay_url: str,
        cursor: Callable[[], int | None],
        numbering: Callable[[], Numbering],
        listener: Listener | None,
    ) -> None:
        self.events: EventLog | None = None
        #: Set if it goes on after one that was killed, until it has seen the stream.
        self.goes_on = False
        #: Until the stream was looked at, its maximum age is not known.
        self.trail = Trail(math.inf)
        self._publisher = publisher
        self._account = account
        self._keeper = keeper
        self._relay_url = relay_url
        self._cursor = cursor
        self._numbering = numbering
        self._listener = listener
        self._event: EventRecord | None = None

    async def look(self) -> bool:
        """Find out whether the stream is the one that it was; if not, what is to be replayed.

        Returns whether there is one.
        """
        account = self._account
        life = await self._keeper.look(account.stream.created)
        if self._keeper.asked is not None:
            # None is 0 there, which is for ever.
            self.trail.max_age_s = (self._keeper.asked.get("max_age") or math.inf) / NS_PER_S
        if life is None:
            return False
        if self.goes_on and not self._publisher.is_clustered:
            account.resumed_at.append((common_time.now_ns(), life.last_seq))
        self.goes_on = False
        if account.stream.created is None and not account.last_stream_seq:
            account.stream.created = life.created
        elif life.created != account.stream.created:
            self._begin(life)
        elif life.last_seq < account.last_stream_seq and not self._publisher.is_clustered:
            self._begin_restoring(life)
        else:
            self._publisher.window.know_no_next()
        return True

    async def replay(self) -> None:
        """Read again what is to be replayed, and publish it."""
        window = self._publisher.window
        if not window.to_replay and not window.withdrawn:
            return
        replay = Replay(self._relay_url, self._publisher, self._numbering())
        await replay.run()
        missing = len(window.withdrawn)
        log.warning("read %d events again; %d in flight could not be", replay.count, missing)
        window.give_up_withdrawn()
        self._end_event()

    def _begin(self, life: StreamLife) -> None:
        account, publisher = self._account, self._publisher
        lost = account.begin_stream(life.created)
        lost.noticed_unix_ns = common_time.now_ns()
        cursor = self._cursor()
        lost.presume(publisher.withdraw())
        lost.oldest_seq = self.trail.oldest_kept(time.monotonic())
        window = publisher.window
        missed = self._missed(cursor).union(account.to_restore)
        window.to_replay = _union(missed, window.withdrawn)
        lost.rewound_to_seq = window.to_replay.first
        log.error(
            "stream %s was lost with %d messages of ours, and made again; %d events are read again "
            "from seq %s on",
            *(self._keeper.stream, lost.last_seq, window.to_replay.total, lost.rewound_to_seq),
        )
        self._begin_event(lost, life)

    def _begin_restoring(self, life: StreamLife) -> None:
        """Have everything published again that the stream forgot, and what was in flight."""
        account, publisher = self._account, self._publisher
        publisher.withdraw()
        window = publisher.window
        for publish in window.withdrawn.values():
            # It is the same stream: it may have what was repeated, at an earlier place.
            publish.in_next = publish.doubtful
        if window.floor_before is not None:
            window.floor_before = min(window.floor_before, life.last_seq)
        forgotten = account.forget_beyond(life.last_seq, common_time.now_ns())
        window.to_replay = _union(account.to_restore, window.withdrawn)
        # No event is to wait for its turn: others would get its place.
        window.begin_at(life.last_seq)
        log.error(
            "stream %s forgot %d messages of ours that it had acked; they are published again",
            *(self._keeper.stream, sum(count for _, _, count in forgotten.stream_seqs)),
        )

    def _missed(self, cursor: int | None) -> IntervalSet:
        """Return the relay seqs that lost streams had and not every consumer did.

        If no consumer told, these are all published events that are young enough.
        """
        oldest = self._account.lost_streams[-1].oldest_seq or 0
        if self._listener is None:
            first = max(oldest, self.trail.first or 0)
            is_any = cursor is not None and first <= cursor and self.trail.first is not None
            return IntervalSet([(first, cursor)] if is_any and cursor is not None else [])
        had, missed = IntervalSet(), IntervalSet()
        for lost in self._account.lost_streams:
            reached = self._listener.reached(lost.created)
            had = had.union(lost.up_to(reached))
            missed = missed.union(lost.beyond(reached))
        return IntervalSet(
            (max(first, oldest), last) for first, last in missed.difference(had) if last >= oldest
        )

    def _begin_event(self, lost: StreamPlaces, life: StreamLife) -> None:
        if self.events is None:
            return
        self._end_event()
        self._event = self.events.begin(
            STREAM_LOST,
            lost.noticed_unix_ns,
            {
                "created": life.created,
                "rewound_to_seq": lost.rewound_to_seq,
                "to_replay": self._publisher.window.to_replay.total,
            },
        )

    def _end_event(self) -> None:
        if self.events is not None and self._event is not None:
            self.events.end(self._event, common_time.now_ns(), self._event.parameters)
            self._event = None


def _union(seqs: IntervalSet, others: Iterable[int]) -> IntervalSet:
    result = seqs.union(IntervalSet())
    for seq in sorted(others):
        result.add(seq)
    return result
