"""One worker's account: its running totals, and `consumers-W.json`."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from fpaas.consumers.assignment import Assignment
from fpaas.consumers.consumer_figures import Figures
from fpaas.consumers.deliveries import Deliveries
from fpaas.consumers.polling import Polling
from fpaas.consumers.pull_connections import PullConnections
from fpaas.consumers.stream_changes import StreamChanges
from fpaas.jetstream.progress import Progress
from fpaas.measures.delivery_log import duplicate_deliveries
from fpaas.records.consumers import ClassFetches, Connections, WorkerResult
from fpaas.spec.answers import OTHER_ANSWERS


@dataclass
class WorkerAccount:
    """Adds up what the parts of a worker counted."""

    assignment: Assignment
    connections: PullConnections
    polling: Polling
    deliveries: Deliveries
    changes: StreamChanges
    figures: Figures
    #: Polls that fell due while nobody played are not made up for.
    polls_from_unix_ns: int | None
    started_unix_ns: int | None = None
    #: Polls that were due by then are accounted for; None while they go on.
    stopped_unix_ns: int | None = None

    def update_figures(self) -> Figures:
        """Return the running totals as of now."""
        figures, deliveries = self.figures, self.deliveries
        fetches = self.polling.fetches()
        figures.fetch_latency.add_ns(self.polling.timings.fetch_call.samples_ns)
        figures.poll_lateness.add_ns(self.polling.timings.poll_lateness.samples_ns)
        for name in ("processed", "bytes", "acks", "redelivered"):
            setattr(figures, name, getattr(deliveries, name))
        figures.polls = self.polling.polls
        for name in ("ok", "empty", "refused", "client_timeout", "lost"):
            setattr(figures, name, getattr(fetches, name))
        figures.by_status = dict(fetches.by_status)
        connections = self.connections.by_gate.values()
        figures.connections = sum(c.connected.is_set() for c in connections)
        figures.connection_errors = sum(c.errors for c in connections)
        figures.reconnects = sum(max(0, c.connects - 1) for c in connections)
        figures.slow_consumer_disconnects = sum(c.disconnects_slow_consumer for c in connections)
        return figures

    def progress(self) -> Progress:
        """Return how far the consumers are; see fpaas.jetstream.progress."""
        of_all = max if self.assignment.spec.consumers.delivery == "shared" else min
        waiting, starts = self.changes.waiting, self.changes.starts[-1]
        reached = (
            max(puller.log.reached, starts.get(puller.log.durable, 1) - 1)
            for puller in self.connections.pullers
            # Consumers that have not joined miss nothing.
            if puller.gate not in waiting
        )
        return Progress(
            first=self.assignment.first,
            consumers=self.assignment.count,
            created=self.changes.created,
            reached=of_all(reached, default=sys.maxsize),
        )

    def result(self, *, complete: bool) -> WorkerResult:
        """Return `consumers-W.json` as of now; what is known at the end only, if `complete`."""
        deliveries, figures = self.deliveries, self.figures
        connections = self.connections.by_gate.values()
        round_trips_s = [c.round_trip_s for c in connections if c.round_trip_s]
        all_logs = self.changes.all_logs
        fetched = {log.consumer_index for log in all_logs if log.runs}
        return WorkerResult(
            worker=self.assignment.worker,
            first=self.assignment.first,
            count=self.assignment.count,
            processed=deliveries.processed,
            bytes=deliveries.bytes,
            redelivered=deliveries.redelivered,
            duplicate_deliveries=duplicate_deliveries(all_logs) if complete else None,
            polls=self.polling.polls,
            acks=deliveries.acks,
            consumers_never_fetched=self.assignment.count - len(fetched),
            fetches=self.polling.fetches(),
            by_class={
                name: ClassFetches(
                    habit.polls,
                    habit.fetches,
                    **{one.value: habit.answered[one] for one in OTHER_ANSWERS},
                )
                for name, habit in self.connections.habits.items()
            },
            connections=Connections(
                count=len(connections),
                errors=figures.connection_errors,
                reconnects=figures.reconnects,
                slow_consumer_disconnects=figures.slow_consumer_disconnects,
            ),
            first_poll_unix_ns=self.polling.first_poll_unix_ns,
            started_unix_ns=self.started_unix_ns,
            nats_rtt_ms=min(round_trips_s) * 1000 if round_trips_s else None,
            polls_until_unix_ns=self.stopped_unix_ns,
            polls_from_unix_ns=self.polls_from_unix_ns,
            complete=complete,
            streams=self.changes.streams,
            starts=self.changes.starts,
            ordered=self.polling.places(),
            made_again=dict(self.polling.made_again),
            nats_outages=self.changes.outages,
        )
