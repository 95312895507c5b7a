from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fpaas.measures import delivery_log
from fpaas.measures.delivery_log import DeliveryJournal, DeliveryLog

#: (steps of the stream sequence, of the consumer sequence, whether a poll ends here).
DELIVERIES = st.lists(st.tuples(st.integers(-3, 4), st.integers(1, 3), st.booleans()), max_size=80)


@given(DELIVERIES)
def test_every_delivery_comes_back_in_order(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[int, int, bool]]
) -> None:
    log = DeliveryLog(7, "fpaas-00007")
    expected = []
    stream_seq, consumer_seq = 100, 1
    for now_ms, (stream_step, consumer_step, poll_ends) in enumerate(steps):
        stream_seq += stream_step
        consumer_seq += consumer_step
        expected.append((stream_seq, consumer_seq))
        log.record(stream_seq, consumer_seq, now_ms)
        if poll_ends:
            log.end_run()
    path = tmp_path_factory.mktemp("log") / "deliveries.cbor.gz"

    delivery_log.write(path, [log])
    (consumer,) = delivery_log.read(path)

    assert consumer.consumer_index == 7
    assert consumer.durable == "fpaas-00007"
    assert [
        (stream + i, sequence + i)
        for _, stream, sequence, count in consumer.runs
        for i in range(count)
    ] == expected
    assert all(earlier[0] <= later[0] for earlier, later in pairwise(consumer.runs))


def test_a_poll_in_order_is_one_run() -> None:
    log = DeliveryLog(0, "fpaas-00000")
    for i in range(1000):
        log.record(500 + i, 1 + i, since_t0_ms=42 + i)
    log.end_run()

    assert list(log.runs) == [42, 500, 1, 1000]


def test_expiry_and_an_unseen_delivery_look_different() -> None:
    log = DeliveryLog(0, "fpaas-00000")
    log.record(1, 1, 0)
    log.record(5, 2, 0)  # 2 … 4 expired
    log.record(7, 4, 0)  # 6 was delivered as 3, and not seen here
    log.end_run()

    assert list(log.runs) == [0, 1, 1, 1, 0, 5, 2, 1, 0, 7, 4, 1]


def test_the_next_poll_starts_a_run_of_its_own() -> None:
    log = DeliveryLog(0, "fpaas-00000")
    log.record(1, 1, 10)
    log.end_run()
    log.end_run()
    log.record(2, 2, 60_000)
    log.end_run()

    assert list(log.runs) == [10, 1, 1, 1, 60_000, 2, 2, 1]


@pytest.mark.parametrize("content", [b"", b"not gzip", b"\x1f\x8b\x08\x00"])
def test_a_file_that_is_none_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "consumers-0.deliveries.cbor.gz"
    path.write_bytes(content)

    with pytest.raises(ValueError, match=r"consumers-0\.deliveries\.cbor\.gz"):
        delivery_log.read(path)


def test_a_truncated_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "consumers-0.deliveries.cbor.gz"
    logs = [DeliveryLog(i, f"fpaas-{i:05d}") for i in range(50)]
    delivery_log.write(path, logs)
    path.write_bytes(path.read_bytes()[:-20])

    with pytest.raises(ValueError, match="is not a delivery log"):
        delivery_log.read(path)


@pytest.mark.parametrize("run", [(0, 5, 1, -2), (0, 0, 1, 1), (0, 5, 0, 1)])
def test_runs_that_no_consumer_logs_are_refused(run: tuple[int, ...], tmp_path: Path) -> None:
    log = DeliveryLog(0, "fpaas-00000")
    log.runs.extend(run)
    path = tmp_path / "consumers-0.deliveries.cbor.gz"
    delivery_log.write(path, [log])
    with pytest.raises(ValueError, match=r"consumers-0\.deliveries\.cbor\.gz: is not a"):
        delivery_log.read(path)
    journal = DeliveryJournal(tmp_path / "journal", [log])
    journal.append()
    with pytest.raises(ValueError, match="consumer 0 has a run"):
        delivery_log.read_journal(tmp_path / "journal", str)
