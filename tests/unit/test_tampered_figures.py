"""One figure of the server is changed in the raw files: the run is invalid, and says which one."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fpaas.bundle.loader import load_bundle
from fpaas.ledger.disagreements import About
from fpaas.measures import delivery_log
from fpaas.measures.delivery_log import DeliveryLog
from fpaas.summary import summary
from tests.support import verdict_codes
from tests.support.raw_run import HOST, RawRun

Tamper = Callable[[dict[str, Any]], None]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return RawRun().write(tmp_path_factory.mktemp("tampered") / "run")


@pytest.fixture
def run(written: Path, tmp_path: Path) -> Path:
    run = Path(shutil.copytree(written, tmp_path / "run"))
    # Its checksums would find all of it.
    (run / "hosts" / HOST / "seal.json").unlink()
    return run


def stream(name: str, change: int) -> Tamper:
    def tamper(final: dict[str, Any]) -> None:
        for look in ("stream_before", "stream_after"):
            final[look][name] += change

    return tamper


def durable(name: str, change: int) -> Tamper:
    def tamper(final: dict[str, Any]) -> None:
        final["consumers"][3][name] += change

    return tamper


FINAL: dict[str, tuple[Tamper, About]] = {
    "last_seq": (stream("last_seq", 1), About.STORED_PUBLISHED),
    "messages": (stream("messages", -1), About.STREAM_MESSAGES),
    "num_deleted": (stream("num_deleted", 1), About.STREAM_MESSAGES),
    "consumer_count": (stream("consumer_count", 1), About.STREAM_CONSUMERS),
    "delivered, consumer": (durable("delivered_consumer_seq", 1), About.DELIVERIES_UNSEEN),
    "delivered, stream": (durable("delivered_stream_seq", -1), About.DELIVERED),
    "ack_floor, consumer": (durable("ack_floor_consumer_seq", -1), About.ACK_FLOOR),
    "ack_floor, stream": (durable("ack_floor_stream_seq", -1), About.ACK_FLOOR),
    "num_pending": (durable("num_pending", 5), About.NUM_PENDING),
    "num_ack_pending": (durable("num_ack_pending", 1), About.ACK_FLOOR),
}


def differing(run: Path) -> dict[str, dict[str, Any]]:
    content = summary.analyse(load_bundle(run))
    assert content["verdict"]["status"] == "invalid"
    assert content["ledger"]["unexplained"] > 0
    return {
        one["parameters"]["about"]: one["parameters"]["example"]
        for one in verdict_codes.entries(content, "invalid")
        if one["code"] == "ledger_disagreement"
    }


@pytest.mark.parametrize("figure", FINAL)
def test_a_figure_after_the_run(figure: str, run: Path) -> None:
    tamper, about = FINAL[figure]
    path = run / "hosts" / HOST / "probe.final.json"
    final = json.loads(path.read_text())
    tamper(final)
    path.write_text(json.dumps(final))
    assert about in differing(run)


def test_a_figure_of_jsz_during_the_run(run: Path) -> None:
    path = run / "hosts" / HOST / "probe.nats.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    lines[-1]["stream"]["last_seq"] += 1
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert differing(run)[About.STREAM_SEEN_BY_JSZ] == {"jsz": 3501, "api": 3500}


@pytest.mark.parametrize(
    ("name", "figure", "about"),
    [
        ("consumers-0.json", "processed", About.DELIVERIES_COUNTED),
        ("consumers-0.json", "acks", About.ACKS_COUNTED),
        ("relay.json", "offered", About.OFFERED_OUTCOMES),
    ],
)
def test_a_figure_of_an_agent(name: str, figure: str, about: About, run: Path) -> None:
    path = run / "hosts" / HOST / name
    content = json.loads(path.read_text())
    content[figure] -= 1
    path.write_text(json.dumps(content))
    assert about in differing(run)


def put(value: object, *keys: str) -> Tamper:
    def tamper(content: dict[str, Any]) -> None:
        for key in keys[:-1]:
            content = content[key]
        content[keys[-1]] = value

    return tamper


def more(change: int, *keys: str) -> Tamper:
    def tamper(content: dict[str, Any]) -> None:
        for key in keys[:-1]:
            content = content[key]
        content[keys[-1]] += change

    return tamper


@pytest.mark.parametrize(
    ("name", "tamper", "about"),
    [
        ("consumers-0.json", more(1, "fetches", "pulls"), About.PULLS_ENDED),
        ("consumers-0.json", put(0, "fetches", "ok"), About.PULLS_ENDED),
        ("consumers-0.json", put(0, "fetches", "ok"), About.COUNTED_LESS),
        ("consumers-0.json", put(0, "polls"), About.COUNTED_LESS),
        ("consumers-0.json", put(1, "consumers_never_fetched"), About.NEVER_FETCHED_COUNTED),
        ("shuffler.json", put([], "read"), About.OUTCOME_UNREAD),
        ("shuffler.json", put({"commit x": {"7": 3}}, "message_bytes"), About.SIZES_COUNTED),
        ("shuffler.json", put([[1, 1]], "ignored_seqs"), About.READ_NOT_OFFERED),
        ("probe.final.json", more(1, "stream_after", "messages"), About.STREAM_MESSAGES),
    ],
)
def test_an_account_that_contradicts_itself(
    name: str, tamper: Tamper, about: About, run: Path
) -> None:
    path = run / "hosts" / HOST / name
    content = json.loads(path.read_text())
    tamper(content)
    path.write_text(json.dumps(content))
    assert about in differing(run)


def test_a_consumer_that_received_nothing_and_was_not_counted(tmp_path: Path) -> None:
    """The worker says that everybody was served, and its log that somebody was not."""
    run = RawRun().write(tmp_path / "run", sealed=False)
    log = run / "hosts" / HOST / "consumers-0.deliveries.cbor.gz"
    logs = [DeliveryLog(one.consumer_index, one.durable) for one in delivery_log.read(log)]
    for one, read in zip(logs[1:], delivery_log.read(log)[1:], strict=True):
        for since_ms, seq, consumer, count in read.runs:
            one.runs.extend((since_ms, seq, consumer, count))
    delivery_log.write(log, logs)
    assert differing(run)[About.NEVER_FETCHED_COUNTED] == {"counted": 0, "logged": 1}


@pytest.mark.parametrize(
    ("name", "figure"),
    [
        ("relay.samples.jsonl", "offered"),
        ("shuffler.samples.jsonl", "published"),
        ("consumers-0.samples.jsonl", "reconnects"),
    ],
)
def test_samples_that_counted_more_than_the_account(name: str, figure: str, run: Path) -> None:
    path = run / "hosts" / HOST / name
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    lines[-1][figure] += 1
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    example = differing(run)[About.COUNTED_LESS]
    assert figure in str(example["figure"])
    assert example["sampled"] == example["counted"] + 1


@pytest.mark.parametrize("content", [bytes(3500 * 4), b""])
def test_without_their_dids_nobody_knows_the_order_of_events(content: bytes, run: Path) -> None:
    (run / "hosts" / HOST / "shuffler.dids.bin").write_bytes(content)
    assert differing(run)[About.DIDS_UNKNOWN] == {"placed": 3500, "known": 0}
