"""The shuffler's pure parts, its cursor file, its metrics, and how the command refuses."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest

from fpaas import spec as specs
from fpaas.cli import main
from fpaas.errors import BadInput, RunInvalid
from fpaas.firehose.due_times import due_times
from fpaas.jetstream.nats_address import NatsAddress
from fpaas.measures.calls import CallRecorder
from fpaas.shuffler.cursor_places import CursorFile
from fpaas.shuffler.run_files import RunFiles
from fpaas.shuffler.shuffler import Endpoints, Shuffler
from fpaas.shuffler.shuffler_metrics import ACK_BUCKETS_S, AckHistogram

URL = "ws://127.0.0.1:1/xrpc/com.atproto.sync.subscribeRepos"


def make_spec(**variables: object) -> specs.RunSpec:
    return specs.build(
        specs.read_variables(variables),
        run_id="test",
        scenario=specs.Scenario("test", "test", "test"),
        topology=specs.Topology(
            {"consumers": ["localhost"]},
            "nats://127.0.0.1:1",
            "http://127.0.0.1:2",
            "ws://127.0.0.1:3",
        ),
        first_seq=1,
        t0_unix_ns=10**18,
    )


def test_due_times() -> None:
    due_ns = due_times(make_spec(bench_firehose_rate_per_s=400))
    assert due_ns is not None
    assert [due_ns(seq) - 10**18 for seq in (1, 2, 401)] == [0, 2_500_000, specs.NS_PER_S]
    assert due_times(make_spec(bench_firehose_source="wss://bsky.network")) is None


def test_cursor_file(tmp_path: Path) -> None:
    path = tmp_path / "cursor.json"
    file = CursorFile(path, URL)
    assert asyncio.run(file.load()) is None
    file.save(None)
    assert not path.exists()
    file.save(12)
    assert asyncio.run(file.load()) == 12
    with pytest.raises(BadInput, match="is the cursor of"):
        asyncio.run(CursorFile(path, "ws://other.test").load())
    path.write_text('{"relay": "')
    with pytest.raises(BadInput, match="is no cursor file"):
        asyncio.run(file.load())


@given(st.lists(st.integers(0, 20_000_000_000)), st.integers(0, 3))
def test_ack_histogram_counts_every_sample_once(samples_ns: list[int], ticks: int) -> None:
    """A scrape has what the recorder has, too: `publishes_total` of the same one is not ahead."""
    recorder = CallRecorder("publish_ack")
    histogram = AckHistogram(recorder)

    def scraped() -> dict[tuple[str, str | None], float]:
        return {
            (sample.name.rsplit("_", 1)[1], sample.labels.get("le")): sample.value
            for sample in histogram.metric().samples
        }

    for position, sample_ns in enumerate(samples_ns, 1):
        recorder.samples_ns.append(sample_ns)
        assert scraped()["count", None] == position
        if ticks and position % ticks == 0:
            histogram.add()
            assert scraped()["count", None] == position
            recorder.forget()
    samples = scraped()
    assert samples["count", None] == len(samples_ns)
    assert samples["bucket", "+Inf"] == len(samples_ns)
    for bound_s in ACK_BUCKETS_S:
        within = sum(1 for sample_ns in samples_ns if sample_ns <= bound_s * 1e9)
        assert samples["bucket", str(bound_s)] == within


def shuffler_without_links() -> Shuffler:
    nats = NatsAddress.parse("nats://127.0.0.1:1")
    return Shuffler(Endpoints(URL, nats, "127.0.0.1:0"), after=None, due_ns=None)


def test_metrics_follow_prometheus_conventions(monkeypatch: pytest.MonkeyPatch) -> None:
    registries: list[CollectorRegistry] = []
    monkeypatch.setattr(
        "fpaas.metrics.serve", lambda registry, _listen: registries.append(registry)
    )

    async def build() -> Shuffler:
        return shuffler_without_links()

    shuffler = asyncio.run(build())
    shuffler.account.note_read(5)
    shuffler.account.refusals_by_reason["503 no stream takes the subject"] += 2
    shuffler.account.refusals_by_reason["no JetStream answer: b'a'"] += 1
    shuffler.account.refusals_by_reason["no JetStream answer: b'b'"] += 1
    text = generate_latest(registries[0]).decode()
    assert "fpaas_shuffler_frames_read_total 1.0" in text
    # What others write is no label: each text would be a series.
    assert 'fpaas_shuffler_publish_refusals_total{code="503"} 2.0' in text
    assert 'fpaas_shuffler_publish_refusals_total{code="other"} 2.0' in text
    assert text.count("fpaas_shuffler_publish_refusals_total{") == 2
    assert "fpaas_shuffler_in_flight 0.0" in text


def test_a_full_disk_is_named_and_counted_and_costs_no_run(tmp_path: Path) -> None:
    """/dev/full takes nothing: what a full disk does."""

    async def main_() -> None:
        shuffler = shuffler_without_links()
        (tmp_path / "shuffler.samples.jsonl").symlink_to("/dev/full")
        files = RunFiles(tmp_path, shuffler, goes_on=False)
        files.tick(None)
        files.tick(None)
        assert files.errors == 2
        assert str(tmp_path) in files.last_error
        # At the end there is nothing to go on for.
        with pytest.raises(RunInvalid, match="cannot be written: No space left"):
            files.close(None)

    asyncio.run(main_())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--run", "run.json"], "--run and --out belong together"),
        (["--out", "."], "--run and --out belong together"),
        (["--relay", "ftp://x"], "is no relay"),
        (["--nats-url", "http://x"], "is no NATS URL"),
        (["--metrics-listen", "nowhere"], "is not an address to listen on"),
        (["--run", "missing.json", "--out", "."], "missing.json: cannot be read"),
        (["--run", "x", "--out", ".", "--cursor-file", "c"], "--cursor-file"),
        (["--run", "x", "--out", ".", "--cursor-kv", "c"], "--cursor-kv"),
        (["--cursor-file", "c", "--cursor-kv", "c"], "has one place"),
        (["--cursor-kv", "a.b"], "letters, digits"),
    ],
)
def test_bad_arguments_end_with_exit_code_2(
    arguments: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(main, ["shuffler", *arguments])
    assert result.exit_code == 2
    assert message in result.output


def test_a_run_ignores_relay_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """RELAY_HOST is for the shuffler on its own; a run's relay stands in run.json."""
    opened: list[str] = []
    monkeypatch.setenv("RELAY_HOST", "elsewhere.test")

    async def note(_spec: object, _directory: object, endpoints: Endpoints) -> None:
        opened.append(endpoints.relay_url)

    async def note_serve(endpoints: Endpoints, _cursor: object) -> None:
        opened.append(endpoints.relay_url)

    monkeypatch.setattr("fpaas.shuffler.timeline.run", note)
    monkeypatch.setattr("fpaas.shuffler.service.serve", note_serve)
    path = tmp_path / "run.json"
    path.write_text(make_spec().to_json())
    runner = CliRunner()
    arguments = ["shuffler", "--run", str(path), "--out", str(tmp_path)]
    assert runner.invoke(main, arguments).exit_code == 0
    assert runner.invoke(main, ["shuffler"]).exit_code == 0
    assert [url.split("/")[2] for url in opened] == ["127.0.0.1:3", "elsewhere.test"]


def test_a_cursor_that_cannot_be_saved_is_counted(tmp_path: Path) -> None:
    directory = tmp_path / "gone"
    cursor_file = CursorFile(directory / "cursor.json", "wss://one.example")
    for cursor in (None, 5, 6):
        cursor_file.save(cursor)
    assert cursor_file.errors == 2
    directory.mkdir()
    cursor_file.save(6)
    assert asyncio.run(cursor_file.load()) == 6
    assert [path.name for path in directory.iterdir()] == ["cursor.json"]
