"""The account of every event in a run, from the notes of each part.

    offered = not_read + undecodable + published + duplicates_rejected
              + publish_failed + publish_unknown
    owed    = delivered + expired_unread + pending_at_end + lost

Every term has its own evidence and none is computed as a remainder, so the identities can fail.
`unexplained` is by how much, and every disagreement between the parts; it is 0 in a good run.
`publishing` has the first identity, `receiving` and `durable_account` the second, `server_checks`
the server's own figures.

If a part was killed, its last files are used, and the server's figures say what became of the rest.
After a shuffler's death, what the stream has beyond its account was published, and the rest of what
was offered was not read. After a relay's, what was read counts as offered. For consumers, see
`durable_account`. A memory stream that went with its server is accounted for as it was last seen.
"""

from __future__ import annotations

from dataclasses import asdict, replace

from fpaas.bundle.parts import ServerFinal
from fpaas.ledger import server_checks, split_checks
from fpaas.ledger.disagreements import About, Disagreements
from fpaas.ledger.evidence import Evidence
from fpaas.ledger.ledger import Ledger
from fpaas.ledger.lost_streams import Streams
from fpaas.ledger.publishing import account_publishing, at_least_read
from fpaas.ledger.receiving import account_deliveries
from fpaas.spec import RunSpec


def balance(spec: RunSpec, evidence: Evidence) -> Ledger:
    """Balance a run's ledger."""
    if evidence.relay is not None:
        relay = at_least_read(evidence.relay, evidence.shuffler)
        evidence = replace(evidence, relay=relay)
    ledger = Ledger()
    disagreements = Disagreements()
    for one in evidence.counted_less:
        disagreements.note(one.sampled - one.counted, About.COUNTED_LESS, **asdict(one))
    server = evidence.server
    if evidence.relay is not None and spec.firehose.rate_per_s is not None:
        ledger.offered = evidence.relay.offered - evidence.relay.ignored
    if evidence.shuffler is not None:
        account_publishing(spec, evidence, evidence.shuffler, ledger, disagreements)
    if server is not None:
        ledger.stored = server.stream_before.last_seq
        _check_server(evidence, server, disagreements)
    elif evidence.lost_stream is not None:
        ledger.stored = evidence.lost_stream.last_seq
    streams = Streams(evidence.lost, evidence.shuffler.stream_seqs if evidence.shuffler else ())
    if ledger.stored is not None:
        # Each event once, whichever of the streams had it.
        ledger.stored += sum(one.state.last_seq for one in evidence.lost) - streams.stored_again
    if evidence.workers is not None:
        ledger.redelivered = sum(worker.redelivered for worker in evidence.workers)
    if evidence.deliveries is not None:
        account_deliveries(spec, evidence, streams, ledger, disagreements)
    is_read = ledger.not_read is not None or spec.firehose.rate_per_s is None
    if ledger.offered is not None and is_read and ledger.owed is not None:
        ledger.unexplained = disagreements.total
    ledger.disagreements = disagreements.noted()
    ledger.tolerated = disagreements.tolerated()
    return ledger


def _check_server(evidence: Evidence, server: ServerFinal, disagreements: Disagreements) -> None:
    """Hold the server's own figures against each other and against the shuffler's."""
    for one in evidence.streams:
        if one.server is not None:
            server_checks.check_stream(one.server, one.nats_samples, disagreements)
    server_checks.check_consumers(server, disagreements)
    if evidence.shuffler is None:
        return
    if evidence.by_stream:
        split_checks.check(evidence.shuffler, evidence.by_stream, disagreements)
    else:
        server_checks.check_stored(evidence.shuffler, server, disagreements)
