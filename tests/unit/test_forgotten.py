"""What NATS had acked and forgot: the account of it, and what of it is back in its place."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest

from fpaas.ledger import forgotten
from fpaas.ledger.balance import balance
from fpaas.measures.delivery_log import ConsumerDeliveries
from fpaas.measures.intervals import IntervalSet
from fpaas.records.shuffler import Forgotten, ShufflerResult
from fpaas.shuffler.publish import Publish
from fpaas.shuffler.publish_account import Account
from tests.support.healthy_evidence import healthy

Run = tuple[int, int, int]


def publish(seq: int, *, again: bool = False) -> Publish:
    made = Publish(seq, b"s", b"h", b"frame", label="commit a.b.c", did_crc=seq)
    made.again = again
    return made


def test_an_account_of_what_a_stream_forgot() -> None:
    account = Account(keep_dids=True)
    for seq in range(101, 151):
        account.note_published(publish(seq), seq - 100)
    assert account.forget_beyond(30, 5).stream_seqs == [(131, 31, 20)]
    assert account.last_stream_seq == 30
    assert account.stream.stored_seqs == IntervalSet([(1, 30)])
    assert list(account.stream.dids or ()) == list(range(101, 131))
    assert account.to_restore == IntervalSet([(131, 150)])
    for seq in range(131, 141):
        account.note_published(publish(seq, again=True), seq - 100)
    # Before all of it was back, the server was killed once more.
    assert account.forget_beyond(35, 6).stream_seqs == [(136, 36, 5)]
    assert account.to_restore == IntervalSet([(136, 150)])
    for seq in range(136, 151):
        account.note_published(publish(seq, again=True), seq - 100)
    assert not account.to_restore
    assert account.stream.runs == [[101, 1, 50]]
    assert account.published == 50


def account_of(stream_seqs: list[Run], *was: Run) -> ShufflerResult:
    """Return an account of 100 events, of which those that `was` names were forgotten."""
    _, evidence = healthy()
    assert evidence.shuffler is not None
    return msgspec.structs.replace(
        evidence.shuffler,
        published=IntervalSet([(1, 100)]),
        stream_seqs=stream_seqs,
        forgotten=[Forgotten(stream_seqs=[run], noticed_unix_ns=1) for run in was],
    )


@pytest.mark.parametrize(
    ("stream_seqs", "was", "missing", "failed"),
    [
        ([(1, 1, 100)], [(61, 61, 40)], 0, 0),
        # Twice, and put back twice.
        ([(1, 1, 100)], [(61, 61, 40), (81, 81, 20)], 0, 0),
        # Later events took the places of some that the relay had no more.
        ([(1, 1, 60), (71, 61, 30)], [(61, 61, 40)], 40, 10),
        # Two changed places.
        ([(1, 1, 60), (62, 61, 1), (61, 62, 1), (63, 63, 38)], [(61, 61, 40)], 2, 0),
        ([(1, 1, 60)], [(61, 61, 40)], 40, 40),
    ],
)
def test_what_is_back_in_its_place(
    stream_seqs: list[Run], was: list[Run], missing: int, failed: int
) -> None:
    account = forgotten.as_at_end(account_of(stream_seqs, *was), None)
    assert forgotten.count(account) == 40
    assert forgotten.missing(account) == missing
    assert account.failed.total == failed
    assert account.published.total == 100 - failed
    assert account.failures_by_reason.get(forgotten.FORGOTTEN, 0) == failed


def test_what_was_forgotten_when_the_shuffler_had_ended() -> None:
    spec, evidence = healthy()
    server, shuffler = evidence.server, evidence.shuffler
    assert server is not None
    assert shuffler is not None
    last_seq = server.stream_before.last_seq
    state = msgspec.structs.replace(server.stream_before, last_seq=last_seq - 7)
    less = replace(server, stream_before=state, stream_after=state)
    account = forgotten.as_at_end(shuffler, less)
    assert forgotten.missing(account) == forgotten.count(account) == account.failed.total == 7
    ledger = balance(spec, replace(evidence, shuffler=account, server=less))
    assert ledger.offered == (ledger.published or 0) + 7
    assert ledger.publish_failed == 7
    # As long as nobody saw the server restart, that is nothing to go by.
    assert forgotten.as_at_end(shuffler, None) is shuffler


def test_what_nobody_knew_when_shuffler_and_server_were_killed() -> None:
    spec, evidence = healthy()
    assert evidence.shuffler is not None
    resumed_unix_ns = spec.t0_unix_ns + 4_000_000_000
    # The account knew of places up to 40; its stream ends at 30 when another shuffler goes on.
    shuffler = msgspec.structs.replace(
        evidence.shuffler,
        stream_seqs=[(1, 1, 50)],
        forgotten=[Forgotten(stream_seqs=[(31, 31, 10)], noticed_unix_ns=resumed_unix_ns)],
        resumed_at=[(resumed_unix_ns, 30)],
    )

    def received(*runs: tuple[int, int, int, int]) -> int:
        log = ConsumerDeliveries(0, "one", runs=list(runs))
        return forgotten.never_known(shuffler, spec, [log])

    assert received((3500, 1, 1, 40), (4100, 41, 41, 10)) == 0
    assert received((3500, 1, 1, 44), (4100, 45, 45, 6)) == 4
