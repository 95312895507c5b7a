"""Account, publisher and reader of a shuffler, connected with each other and to metrics."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from msgspec import UNSET
from prometheus_client import CollectorRegistry

from fpaas import common_time, metrics
from fpaas.firehose.subscription import Patience
from fpaas.jetstream.asked import Config
from fpaas.jetstream.nats_address import NatsAddress
from fpaas.jetstream.progress import Listener
from fpaas.jetstream.stream_keeper import StreamKeeper
from fpaas.measures.calls import Bins, CallRecorder
from fpaas.records.calls import Calls
from fpaas.records.fields import Number
from fpaas.records.shuffler import (
    LostStream,
    NatsConnections,
    PublishedTo,
    RelayConnections,
    ShufflerResult,
    ShufflerSample,
)
from fpaas.records.status import figures_of
from fpaas.shuffler.ack_gaps import AckGaps
from fpaas.shuffler.kept_frames import KeptFrames
from fpaas.shuffler.publish_account import Account, StreamPlaces
from fpaas.shuffler.publisher import Publisher
from fpaas.shuffler.recovery import Recovery
from fpaas.shuffler.relay_reader import RelayReader
from fpaas.shuffler.settled_reader import SettledReader
from fpaas.shuffler.shuffler_metrics import AckHistogram, ShufflerCollector
from fpaas.shuffler.subjects import DEFAULT_PARTITIONS, Addresser
from fpaas.spec import STREAM_NAME

WRITER_BYTES = 4


@dataclass(frozen=True)
class Endpoints:
    """Addresses to connect to, and where to serve metrics."""

    relay_url: str
    nats: NatsAddress
    metrics_listen: str


class Shuffler:
    """Account, publisher and reader, connected with each other and to metrics.

    `writer` tells its messages from others'; one that goes on has that of the one before it.
    """

    def __init__(
        self,
        endpoints: Endpoints,
        *,
        after: int | None,
        partitions: int = DEFAULT_PARTITIONS,
        keep_dids: bool = False,
        classes_of: Callable[[bytes], int] | None = None,
        contiguous: bool = False,
        due_ns: Callable[[int], int] | None = None,
        bins: Bins | None = None,
        patience: Patience | None = None,
        kept_frames: KeptFrames | None = None,
        asked: Config | None = None,
        listener: Listener | None = None,
        streams: Sequence[str] = (STREAM_NAME,),
        writer: str | None = None,
    ) -> None:
        count = len(streams)
        writer = writer or secrets.token_hex(WRITER_BYTES)
        self.account = Account(
            keep_dids=keep_dids, classes_of=classes_of, streams=count, writer=writer
        )
        self.publisher = Publisher(
            endpoints.nats,
            self.account,
            Addresser(partitions, count, writer),
            due_ns=due_ns,
            bins=bins,
            streams=streams if count > 1 else (),
        )
        self.reader = RelayReader(
            endpoints.relay_url,
            self.publisher,
            self.account,
            after=after,
            contiguous=contiguous,
            due_ns=due_ns,
            bins=bins,
            patience=patience,
            kept_frames=kept_frames,
        )
        self.recovery = Recovery(
            self.publisher,
            self.account,
            StreamKeeper(endpoints.nats, STREAM_NAME, asked, name="fpaas-shuffler-keeper"),
            relay_url=endpoints.relay_url,
            cursor=lambda: self.reader.position,
            numbering=lambda: self.reader.numbering,
            listener=listener,
        )
        if count == 1:
            # What of several streams is lost stays lost, and the ledger says so.
            self.publisher.recovery = self.recovery
        self.settled_reader = SettledReader(
            endpoints.nats, streams, self.account, self.publisher.window
        )
        #: The account that a killed shuffler left, which this one goes on with.
        self.left: ShufflerResult | None = None
        #: How often the cursor could not be saved.
        self.cursor_errors = 0
        self.loop_lag = CallRecorder("loop_lag", bins)
        self._acks = AckHistogram(self.publisher.calls.publish_ack)
        self._ack_gaps = AckGaps(self.publisher.calls.publish_ack)
        registry = CollectorRegistry()
        registry.register(
            ShufflerCollector(
                self.account,
                self.publisher,
                self.reader,
                self._acks,
                cursor_errors=lambda: self.cursor_errors,
            )
        )
        metrics.serve(registry, endpoints.metrics_listen)

    @property
    def recorders(self) -> list[CallRecorder]:
        """Every latency leg."""
        return [
            self.reader.due_to_read,
            self.publisher.calls.publish_ack,
            self.publisher.calls.due_to_ack,
            self.loop_lag,
        ]

    def tick(self) -> None:
        """Note where it is now; to be called once a second."""
        self.recovery.trail.note(time.monotonic(), self.reader.position)

    def count_acks(self) -> None:
        """Bring the metric of ack latency up to date; call it before the recorders are emptied."""
        self._acks.add()

    def sample(self, calls: Calls | None = None) -> ShufflerSample:
        """Return the running counts as of now; one that is to be written has the `calls`."""
        account = self.account
        ack_gaps = [] if calls is None else self._ack_gaps.find()
        return ShufflerSample(
            unix_ns=common_time.now_ns(),
            read=account.read,
            published=account.published,
            duplicates=account.duplicates,
            failed=account.failed,
            unknown=account.unknown,
            in_flight=len(self.publisher.window.pending),
            last_seq=self.reader.last_read,
            last_stream_seq=account.last_stream_seq or None,
            relay_connects=self.reader.subscription.connects,
            nats_connects=self.publisher.connection.connects,
            calls=calls,
            lag_s=self.reader.listening.lag_s,
            reading_paused_s=self.reader.listening.paused_s,
            stream=len(account.lost_streams),
            replayed=account.replayed,
            last_ack_unix_ns=self._ack_gaps.last_unix_ns,
            ack_gaps=ack_gaps,
            last_stream_seqs=[places.last_seq for places in account.streams]
            if len(account.streams) > 1
            else UNSET,
        )

    def figures(self) -> dict[str, Number]:
        """Return the running counts, as status and log show them."""
        return figures_of(self.sample())

    def result(self, cursor: int | None, *, complete: bool) -> ShufflerResult:
        """Return the account as of now; `complete`: it is the last one, and has sizes."""
        account, reader, left = self.account, self.reader, self.left
        connection = self.publisher.connection
        [stream] = account.streams if len(account.streams) == 1 else [StreamPlaces()]
        return ShufflerResult(
            writer=account.writer or UNSET,
            read=account.read_seqs,
            published=account.published_seqs,
            duplicates=account.duplicate_seqs,
            failed=account.failed_seqs,
            unknown=account.unknown_seqs,
            undecodable_seqs=account.undecodable_seqs,
            undecodable=account.undecodable,
            undecodable_once=account.undecodable_once,
            ignored=account.ignored,
            ignored_seqs=account.ignored_seqs,
            reread=account.reread,
            settled=account.settled,
            stored_twice=account.stored_twice,
            copy_seqs=stream.copy_seqs,
            foreign=account.foreign,
            failures_by_reason=account.failures_by_reason,
            refusals_by_reason=account.refusals_by_reason,
            stream_seqs=_runs(stream.runs),
            stream_began_anew=self.publisher.window.stream_began_anew,
            message_bytes=account.message_bytes,
            relay_connections=RelayConnections(
                connects=reader.subscription.connects, errors=reader.subscription.errors
            ),
            nats_connections=NatsConnections(
                connects=connection.connects,
                errors=connection.errors,
                reconnects=max(connection.connects - 1, 0),
            ),
            last_cursor=cursor,
            numbering=reader.numbering.kept,
            complete=complete,
            quiet=[*((left and left.quiet) or ()), *reader.listening.quiet()],
            gaps=[*(left.gaps if left else ()), *reader.gaps.found],
            gap_count=reader.gaps.count + (left.gap_count if left else 0),
            numbers_densely=reader.gaps.is_dense(account.read),
            jumps=reader.gaps.jumps + ((left.jumps or 0) if left else 0),
            jumped_seqs=reader.gaps.jumped_seqs + ((left.jumped_seqs or 0) if left else 0),
            seq_resets=reader.seq_resets + (left.seq_resets if left else 0),
            stream_created=stream.created,
            lost_streams=[
                LostStream(
                    created=lost.created,
                    stream_seqs=_runs(lost.runs),
                    presumed_seqs=_runs(lost.presumed),
                    copy_seqs=lost.copy_seqs,
                    noticed_unix_ns=lost.noticed_unix_ns,
                    rewound_to_seq=lost.rewound_to_seq,
                    oldest_seq=lost.oldest_seq,
                )
                for lost in account.lost_streams
            ],
            replayed_seqs=account.replayed_seqs,
            resumed_at=account.resumed_at,
            forgotten=account.forgotten,
            cursor_errors=self.cursor_errors + (left.cursor_errors if left else 0),
            lives=1 if left is None else left.lives + 1,
            nats_outages=[*(left.nats_outages if left else ()), *self.publisher.outages.all],
            streams=[PublishedTo(copy_seqs=one.copy_seqs) for one in account.streams]
            if len(account.streams) > 1
            else UNSET,
        )


def _runs(runs: list[list[int]]) -> list[tuple[int, int, int]]:
    return [(seq, at, count) for seq, at, count in runs]
