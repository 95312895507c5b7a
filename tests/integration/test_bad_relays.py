"""The shuffler on relays that keep to no rule: every good event is stored, once, and accounted."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable
from email.utils import formatdate

import nats
import pytest
import uvloop

from fpaas import spec
from fpaas.firehose import dialing
from fpaas.firehose.relay_client import subscription_url
from fpaas.firehose.relay_errors import RelayError
from fpaas.firehose.subscription import Patience
from fpaas.jetstream.nats_address import NatsAddress
from fpaas.shuffler.shuffler import Endpoints, Shuffler
from tests.support.bad_relay import GARBAGE, BadRelay, commit, frame
from tests.support.nats_servers import NatsServer
from tests.support.patience import PATIENCE_S
from tests.support.streams import create_stream

pytestmark = pytest.mark.integration

FAST = 2000.0


async def stored_events(url: str) -> list[int]:
    """Return the numbers of the events in the stream, in order."""
    connection = await nats.connect(url)
    context = connection.jetstream(timeout=PATIENCE_S)
    state = (await context.stream_info(spec.STREAM_NAME)).state
    found = []
    for seq in range(1, state.last_seq + 1):
        message = await context.get_msg(spec.STREAM_NAME, seq)
        found.append(int((message.headers or {})["Nats-Msg-Id"].rpartition("/")[2]))
    await connection.close()
    return found


@contextlib.asynccontextmanager
async def shuffling(
    server: NatsServer, relay: BadRelay, after: int | None, patience: Patience | None = None
) -> AsyncIterator[Shuffler]:
    endpoints = Endpoints(subscription_url(relay.url), NatsAddress.parse(server.url), "127.0.0.1:0")
    subject = Shuffler(endpoints, after=after, patience=patience)
    await subject.publisher.connect(PATIENCE_S)
    reading = asyncio.ensure_future(subject.reader.run())
    try:
        yield subject
    finally:
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
        await subject.publisher.close()


async def until(true: Callable[[], object], in_time_s: float = PATIENCE_S) -> None:
    async with asyncio.timeout(in_time_s):
        while not true():
            await asyncio.sleep(0.02)


def is_settled(subject: Shuffler, count: int) -> Callable[[], bool]:
    def look() -> bool:
        return subject.account.read >= count and not subject.publisher.window.pending

    return look


def read_all(
    server: NatsServer, relay: BadRelay, *, good: int, after: int | None = 999
) -> tuple[Shuffler, list[int]]:
    """Read until `good` events are stored, and a little longer; return what is in the stream."""

    async def main() -> tuple[Shuffler, list[int]]:
        await create_stream(server.url)
        async with shuffling(server, relay, after) as subject:
            await until(is_settled(subject, good))
            await asyncio.sleep(0.3)
        return subject, await stored_events(server.url)

    return uvloop.run(main())


def balance(subject: Shuffler) -> None:
    account = subject.account
    outcomes = account.published + account.duplicates + account.failed + account.unknown
    assert account.read == outcomes == account.read_seqs.total


@pytest.mark.parametrize("inclusive", [True, False])
@pytest.mark.parametrize("step", [1, 1000])
@pytest.mark.parametrize("bad", [1, 2, 3, 16])
def test_bad_frames_in_a_row_cost_no_good_one(
    nats_server: NatsServer,
    bad: int,
    step: int,
    inclusive: bool,  # noqa: FBT001
) -> None:
    broken = range(20, 20 + bad)
    with BadRelay(
        FAST,
        seq=lambda event: 1000 + step * event,
        frames=lambda event: GARBAGE if event in broken else b"",
        inclusive=inclusive,
        count=60,
    ) as relay:
        subject, stored = read_all(nats_server, relay, good=60 - bad)
    assert sorted(stored) == [event for event in range(60) if event not in broken]
    assert subject.account.undecodable == bad
    assert subject.account.duplicates == 0
    assert len(relay.subscriptions) == 2
    assert subject.reader.gaps.found == []
    balance(subject)


def test_two_shufflers_on_two_relays_store_each_event_once(nats_server: NatsServer) -> None:
    async def main() -> tuple[Shuffler, Shuffler, list[int]]:
        await create_stream(nats_server.url)
        async with (
            shuffling(nats_server, relay, 999) as one,
            shuffling(nats_server, other_relay, 899) as other,
        ):
            await until(is_settled(one, 400))
            await until(is_settled(other, 400))
        return one, other, await stored_events(nats_server.url)

    # The same seqs on both, of other events.
    with (
        BadRelay(400, count=400) as relay,
        BadRelay(400, seq=lambda event: 900 + event, count=400) as other_relay,
    ):
        one, other, stored = uvloop.run(main())
    assert sorted(stored) == list(range(400))
    assert one.account.published + other.account.published == 400
    for subject in (one, other):
        assert subject.account.read == 400
        assert subject.account.undecodable == subject.account.failed == 0
        balance(subject)


def test_a_new_numbering_is_read_on(nats_server: NatsServer) -> None:
    # It goes back to 1 in the middle of a connection, and says nothing.
    with BadRelay(
        50,
        waits=True,
        seq=lambda event: 1000 + event if event < 100 else event - 99,
        renumbers_at=(100,),
        count=150,
    ) as relay:
        subject, stored = read_all(nats_server, relay, good=150)
    assert sorted(stored) == list(range(150))
    assert subject.reader.seq_resets == 1
    assert subject.account.reread == 0
    balance(subject)


@pytest.mark.parametrize("says_future", [True, False])
def test_a_new_numbering_between_connections(
    nats_server: NatsServer,
    says_future: bool,  # noqa: FBT001
) -> None:
    def manner(_: float) -> str:
        """Close the first connection before it renumbers, and serve nobody until it has."""
        is_first = len(relay.subscriptions) < 2
        return "close" if relay.due > 30 and (is_first or relay.due <= 60) else "serve"

    relay = BadRelay(
        50,
        waits=True,
        seq=lambda event: 1000 + event if event < 50 else event - 49,
        renumbers_at=(50,),
        manner=manner,
        says_future=says_future,
    )
    with relay:
        subject, stored = read_all(nats_server, relay, good=90)
    assert sorted(set(stored)) == sorted(stored)
    assert subject.reader.seq_resets == 1
    assert subject.reader.gaps.found[0].missing is None
    balance(subject)


@pytest.mark.parametrize("by", [5_000, 100_000, 10**9])
def test_one_seq_far_ahead_loses_nothing(nats_server: NatsServer, by: int) -> None:
    with BadRelay(
        FAST, seq=lambda event: 1000 + event + (by if event == 50 else 0), count=120
    ) as relay:
        subject, stored = read_all(nats_server, relay, good=120)
    assert sorted(stored) == list(range(120))
    assert subject.account.reread == 0
    balance(subject)


def test_a_leap_for_good_is_a_gap_of_unknown_size(nats_server: NatsServer) -> None:
    with BadRelay(
        FAST, seq=lambda event: 1000 + event + (10**9 if event >= 50 else 0), count=120
    ) as relay:
        subject, stored = read_all(nats_server, relay, good=120)
    assert sorted(stored) == list(range(120))
    (gap,) = subject.reader.gaps.found
    assert (gap.after_seq, gap.missing, gap.cause) == (1049, None, "seq_jump")
    balance(subject)


@pytest.mark.parametrize("bad_seq", [10**9, 2**53 - 1, 1, 1055])
def test_bad_seq_of_what_is_no_event(nats_server: NatsServer, bad_seq: int) -> None:
    unknown = frame({"t": "#new", "op": 1}, {"seq": bad_seq})
    with BadRelay(FAST, frames=lambda event: unknown if event == 50 else b"", count=120) as relay:
        subject, stored = read_all(nats_server, relay, good=119)
    assert sorted(stored) == [event for event in range(120) if event != 50]
    assert subject.account.ignored == 1
    balance(subject)


def test_gap_after_an_outage_has_its_size(nats_server: NatsServer) -> None:
    # It keeps the last 10 events, and is away for half a second: 50.
    with BadRelay(
        100,
        manner=lambda s: "dead" if s > 0.5 and relay.dead_for_s < 0.5 else "serve",
        window=10,
    ) as relay:
        subject, stored = read_all(nats_server, relay, good=100, after=None)
    (gap,) = subject.reader.gaps.found
    assert gap.cause == "outdated_cursor"
    assert gap.after_seq is not None
    last = gap.after_seq - 1000
    following = min(event for event in stored if event > last)
    assert gap.missing == following - last - 1 > 10
    balance(subject)


def test_gap_of_a_sparse_relay_has_no_size(nats_server: NatsServer) -> None:
    with BadRelay(
        100,
        seq=lambda event: 1000 + 7 * event + event % 3,
        manner=lambda s: "dead" if s > 0.5 and relay.dead_for_s < 0.5 else "serve",
        window=10,
    ) as relay:
        subject, _ = read_all(nats_server, relay, good=100, after=None)
    (gap,) = subject.reader.gaps.found
    assert (gap.cause, gap.missing) == ("outdated_cursor", None)


def test_a_relay_that_repeats_itself_is_read_once(nats_server: NatsServer) -> None:
    with BadRelay(
        FAST,
        seq=lambda event: 1000 + event % 40,
        frames=lambda event: commit(1000 + event % 40, event % 40, 1.8e9 + event % 40),
        count=400,
    ) as relay:
        subject, stored = read_all(nats_server, relay, good=40)
    assert sorted(stored) == list(range(40))
    assert subject.account.reread > 300
    assert subject.reader.seq_resets == 0
    balance(subject)


@pytest.mark.parametrize("manner", ["silent", "info"])
def test_a_relay_without_events_is_stuck(nats_server: NatsServer, manner: str) -> None:
    async def main() -> float:
        """Return how much later than asked for this process went on at most."""
        await create_stream(nats_server.url)
        late_s, loop = 0.0, asyncio.get_running_loop()
        async with shuffling(nats_server, relay, None, Patience(stuck_s=1.0)):
            while len(relay.attempts) < 3:
                looked_s = loop.time()
                await asyncio.sleep(0.02)
                late_s = max(late_s, loop.time() - looked_s - 0.02)
                assert relay.since_s < PATIENCE_S
        return late_s

    with BadRelay(50, manner=lambda _: manner) as relay:
        late_s = uvloop.run(main())
        first, second, third = relay.attempts[:3]
    # After 1 s, and after 2 s more. Time in which it did not run itself proves nothing.
    assert 0.95 < second - first < 1.6 + 10 * late_s
    assert 1.95 < third - second < 2.8 + 10 * late_s


def test_a_slow_relay_is_not_stuck(nats_server: NatsServer) -> None:
    async def main() -> None:
        await create_stream(nats_server.url)
        async with shuffling(nats_server, relay, None, Patience(stuck_s=0.3)) as subject:
            await until(lambda: subject.account.read >= 8)

    with BadRelay(2) as relay:
        uvloop.run(main())
    # Of eight intervals between events, two at most were taken for more than those before.
    assert len(relay.subscriptions) <= 3


@pytest.mark.parametrize("manner", ["garbage", "close"])
def test_what_is_no_relay_is_left_alone_longer_and_longer(
    nats_server: NatsServer, manner: str
) -> None:
    async def main() -> None:
        await create_stream(nats_server.url)
        async with shuffling(nats_server, relay, 999):
            await asyncio.sleep(8)
            assert len(relay.subscriptions) <= 10
            await until(lambda: len(relay.subscriptions) >= 2)

    with BadRelay(50, manner=lambda _: manner) as relay:
        uvloop.run(main())


@pytest.mark.parametrize("kind", ["seconds", "date"])
@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_honoured(nats_server: NatsServer, status: int, kind: str) -> None:
    def answer(number: int) -> tuple[int, dict[str, str]] | None:
        if number:
            return None
        value = "3" if kind == "seconds" else formatdate(time.time() + 3.9, usegmt=True)
        return status, {"Retry-After": value}

    async def main() -> None:
        await create_stream(nats_server.url)
        async with shuffling(nats_server, relay, None) as subject:
            await until(lambda: subject.account.read)

    with BadRelay(50, answer=answer) as relay:
        uvloop.run(main())
    first, second = relay.attempts
    # Without it, it would be tried again within two seconds; or be left alone for good.
    assert 2.5 < second - first < PATIENCE_S


@pytest.mark.parametrize("status", [400, 401, 404, 410, 501, 505])
def test_final_answers_end_it(nats_server: NatsServer, status: int) -> None:
    async def main() -> None:
        await create_stream(nats_server.url)
        endpoints = Endpoints(
            subscription_url(relay.url), NatsAddress.parse(nats_server.url), "127.0.0.1:0"
        )
        subject = Shuffler(endpoints, after=None)
        await subject.publisher.connect(PATIENCE_S)
        with pytest.raises(RelayError, match=f"HTTP {status}"):
            await subject.reader.run()
        await subject.publisher.close()

    with BadRelay(50, answer=lambda _: (status, {})) as relay:
        uvloop.run(main())
    assert len(relay.attempts) == 1


@pytest.mark.parametrize("status", [302, 404, 501])
def test_a_relay_that_was_read_is_tried_again_whatever_answers_in_its_place(
    nats_server: NatsServer, status: int
) -> None:
    def answer(number: int) -> tuple[int, dict[str, str]] | None:
        return (status, {"Location": "wss://elsewhere.test"}) if number in {1, 2} else None

    has_been_read = threading.Event()

    def manner(_: float) -> str:
        """Close the first connection once it was read."""
        is_first = has_been_read.is_set() and len(relay.subscriptions) < 2
        return "close" if is_first else "serve"

    async def main() -> None:
        await create_stream(nats_server.url)
        async with shuffling(nats_server, relay, None) as subject:
            await until(lambda: subject.account.read)
            has_been_read.set()
            await until(lambda: len(relay.attempts) > 3)
            read = subject.account.read
            await until(lambda: subject.account.read > read)

    with BadRelay(50, answer=answer, manner=manner) as relay:
        uvloop.run(main())


def test_a_redirect_says_where_it_leads(nats_server: NatsServer) -> None:
    async def main() -> None:
        endpoints = Endpoints(
            subscription_url(relay.url), NatsAddress.parse(nats_server.url), "127.0.0.1:0"
        )
        subject = Shuffler(endpoints, after=None)
        with pytest.raises(RelayError, match=r"which leads to wss://elsewhere\.test"):
            await subject.reader.connect_once()

    with BadRelay(50, answer=lambda _: (302, {"Location": "wss://elsewhere.test"})) as relay:
        uvloop.run(main())


def test_addresses_are_tried_side_by_side(monkeypatch: pytest.MonkeyPatch) -> None:
    """An address that swallows every packet does not cost the connection."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        hole = socket.create_server(("127.0.0.1", 0), backlog=0)
        fillers = []
        # A listener whose queue is full answers nobody.
        for _ in range(8):
            filler = socket.socket()
            filler.setblocking(False)  # noqa: FBT003
            with contextlib.suppress(BlockingIOError):
                filler.connect(hole.getsockname())
            fillers.append(filler)
        good = socket.create_server(("127.0.0.1", 0))
        infos: list[dialing.AddressInfo] = [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", hole.getsockname()),
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", good.getsockname()),
        ]

        async def resolve(*_: object, **__: object) -> list[dialing.AddressInfo]:
            return infos

        monkeypatch.setattr(loop, "getaddrinfo", resolve)
        began_s = loop.time()
        connected = await dialing.dial("relay.test", 443)
        assert connected.getpeername() == good.getsockname()
        # One after the other, the first would take minutes.
        assert loop.time() - began_s < PATIENCE_S
        for one in (*fillers, hole, good, connected):
            one.close()

    asyncio.run(main())


def test_before_a_run_begins_no_relay_is_stuck(nats_server: NatsServer) -> None:
    async def main() -> None:
        await create_stream(nats_server.url)
        async with shuffling(nats_server, relay, None, Patience(stuck_s=0.5)) as subject:
            subject.reader.subscription.expects_events = False
            await until(lambda: relay.subscriptions)
            await asyncio.sleep(2.5)
            assert len(relay.subscriptions) == 1
            subject.reader.subscription.expects_events = True
            await until(lambda: len(relay.subscriptions) == 2)

    with BadRelay(50, manner=lambda _: "silent") as relay:
        uvloop.run(main())
