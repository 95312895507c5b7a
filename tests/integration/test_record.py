"""Recordings of the real relay, and of relays that misbehave, end as files that replay."""

from __future__ import annotations

import contextlib
import os
import re
import resource
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import ServerConnection, serve

from fpaas.firehose.capture import Capture
from fpaas.firehose.synthetic import Synthetic
from fpaas.relay.control_frames import error_frame, info_frame
from tests.support.bad_relay import GARBAGE, BadRelay
from tests.support.capture_files import frames_in
from tests.support.checkout import SCRIPTS
from tests.support.patience import PATIENCE_S
from tests.support.ports import free_port
from tests.support.relay_process import RelayProcess, message, running_relay, seqs
from tests.support.relay_run import a_run

pytestmark = pytest.mark.integration

FIREHOSE = Synthetic(seed=5)


@pytest.fixture(scope="module")
def relay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RelayProcess]:
    """Shared by the tests that leave it as it is."""
    directory = tmp_path_factory.mktemp("relay")
    with running_relay(directory, "--rate-per-s", 1000, "--seed", 5) as process:
        yield process


def start(*options: object, limit_bytes: int | None = None) -> subprocess.Popen[str]:
    def limit() -> None:
        if limit_bytes is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, limit_bytes))

    return subprocess.Popen(
        [SCRIPTS / "fpaas", "record", *map(str, options)],
        stderr=subprocess.PIPE,
        text=True,
        # Half a .pyc would stay, and fail whoever imports it next.
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        preexec_fn=limit,  # noqa: PLW1509
    )


def record(*options: object, limit_bytes: int | None = None) -> tuple[int, str]:
    with start(*options, limit_bytes=limit_bytes) as process:
        try:
            _, stderr = process.communicate(timeout=2 * PATIENCE_S)
        finally:
            process.kill()
    assert "Traceback" not in stderr
    return process.returncode, stderr


def assert_dense(frames: list[bytes]) -> None:
    numbers = seqs(frames)
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    assert frames == [FIREHOSE.frame(seq - 1) for seq in numbers]


def wait_for_bytes(path: Path, count: int) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not path.exists() or path.stat().st_size < count:
        assert time.monotonic() < deadline
        time.sleep(0.05)


@contextlib.contextmanager
def relay_that(handler: Callable[[ServerConnection], None]) -> Iterator[str]:
    with serve(handler, "127.0.0.1", 0, compression=None) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"ws://127.0.0.1:{server.socket.getsockname()[1]}"
        finally:
            server.shutdown()
            thread.join()


def test_frames_are_recorded_as_sent_and_replay_as_recorded(
    tmp_path: Path, relay: RelayProcess
) -> None:
    output = tmp_path / "capture"
    code, stderr = record(relay.url, "--output", output, "--max-frames", 500)
    assert code == 0
    frames = frames_in(output)
    assert len(frames) == 500
    assert_dense(frames)
    assert f"{output}: 500 frames" in stderr
    replayed = Capture(output)
    assert [replayed.frame(index) for index in range(500)] == frames


def test_bounds(tmp_path: Path, relay: RelayProcess) -> None:
    by_bytes = tmp_path / "bytes"
    assert record(relay.url, "--output", by_bytes, "--max-bytes", 300_000)[0] == 0
    assert 200_000 < by_bytes.stat().st_size <= 300_000
    assert_dense(frames_in(by_bytes))
    by_time = tmp_path / "time"
    began_s = time.monotonic()
    assert record(relay.url, "--output", by_time, "--max-seconds", 2)[0] == 0
    # However late its process was to start, or to end.
    assert 0 < len(frames_in(by_time)) < 1000 * (time.monotonic() - began_s)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_recording_replays(
    tmp_path: Path, relay: RelayProcess, number: signal.Signals
) -> None:
    output = tmp_path / "capture"
    with start(relay.url, "--output", output) as process:
        wait_for_bytes(output, 100_000)
        process.send_signal(number)
        _, stderr = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0
    assert "frames, " in stderr
    assert_dense(frames_in(output))


def test_lost_relay_is_taken_up_again_without_gap_or_repeat(tmp_path: Path) -> None:
    a_run(tmp_path, bench_measure_s=60)
    output = tmp_path / "capture"
    listen = f"127.0.0.1:{free_port()}"
    options = ("--run", tmp_path / "run.json", "--out", tmp_path, "--listen", listen)
    with contextlib.ExitStack() as stack:
        relay = stack.enter_context(running_relay(tmp_path, *options))
        process = stack.enter_context(start(relay.url, "--output", output, "--max-frames", 3000))
        stack.callback(process.kill)
        wait_for_bytes(output, 500_000)
        relay.process.kill()
        relay.process.wait()
        stack.enter_context(running_relay(tmp_path, *options))
        _, stderr = process.communicate(timeout=2 * PATIENCE_S)
    assert process.returncode == 0, stderr
    assert "WARNING" in stderr
    frames = frames_in(output)
    assert len(frames) == 3000
    assert_dense(frames)


def test_full_disk_leaves_whole_frames(tmp_path: Path, relay: RelayProcess) -> None:
    output = tmp_path / "capture"
    # To the writer a file size limit is a full disk.
    code, stderr = record(relay.url, "--output", output, limit_bytes=10_000_000)
    assert code == 3
    assert f"{output}: cannot write: File too large" in stderr
    frames = frames_in(output)
    assert f"the {len(frames)} frames before are kept" in stderr
    assert_dense(frames)


def test_existing_file_is_kept_unless_forced(tmp_path: Path, relay: RelayProcess) -> None:
    output = tmp_path / "capture"
    output.write_text("precious")
    options = (relay.url, "--output", output, "--max-frames", 5)
    code, stderr = record(*options)
    assert code == 2
    assert f"{output}: exists; choose another file, or --force" in stderr
    assert output.read_text() == "precious"
    assert record(*options, "--force")[0] == 0
    assert len(frames_in(output)) == 5


def test_relay_of_the_environment(
    tmp_path: Path, relay: RelayProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RELAY_HOST", relay.url)
    assert record("--output", tmp_path / "capture", "--max-frames", 5)[0] == 0


def test_no_relay_there(tmp_path: Path, relay: RelayProcess) -> None:
    output = tmp_path / "capture"
    code, stderr = record(f"ws://127.0.0.1:{free_port()}", "--output", output)
    assert code == 2
    assert "cannot connect" in stderr
    assert not output.exists()
    code, stderr = record(f"{relay.url}/elsewhere", "--output", output)
    assert code == 2
    assert "answered HTTP 404" in stderr
    assert not output.exists()


def test_output_that_cannot_be_made(tmp_path: Path) -> None:
    code, stderr = record("ws://127.0.0.1:1", "--output", tmp_path / "missing" / "capture")
    assert code == 2
    assert "cannot be written: No such file or directory" in stderr


def test_silent_relay_leaves_no_file(tmp_path: Path) -> None:
    output = tmp_path / "capture"
    with running_relay(tmp_path, "--rate-per-s", 0.01) as relay:
        time.sleep(0.1)
        code, stderr = record(relay.url, "--output", output, "--max-seconds", 0.5)
    assert code == 3
    assert "no frame came" in stderr
    assert not output.exists()


def test_what_has_no_seq_or_is_garbage_is_left_out(tmp_path: Path) -> None:
    frames = [FIREHOSE.frame(index) for index in range(3)]

    def handler(connection: ServerConnection) -> None:
        noise = [info_frame("OutdatedCursor", "old"), error_frame("ConsumerTooSlow", "slow")]
        for frame in [noise[0], frames[0], b"garbage", frames[0], *frames[1:], noise[1]]:
            connection.send(frame)
        connection.recv()

    output = tmp_path / "capture"
    with relay_that(handler) as url:
        code, stderr = record(url, "--output", output, "--max-seconds", 5)
    assert code == 0
    assert frames_in(output) == frames
    assert "1 undecodable left out" in stderr


def test_frame_that_is_too_large_is_left_out(tmp_path: Path) -> None:
    def handler(connection: ServerConnection) -> None:
        for frame in (FIREHOSE.frame(0), bytes(6_000_000), FIREHOSE.frame(1)):
            connection.send(frame)
        with contextlib.suppress(ConnectionClosed):
            connection.recv()

    output = tmp_path / "capture"
    with relay_that(handler) as url:
        code, stderr = record(url, "--output", output, "--max-frames", 2)
    assert code == 0
    assert "a frame after seq 1 is left out: it is larger than 5242880 bytes" in stderr
    assert "1 undecodable left out" in stderr
    assert frames_in(output) == [FIREHOSE.frame(0), FIREHOSE.frame(1)]


def test_a_relay_that_renumbers_ends_the_recording(tmp_path: Path) -> None:
    def handler(connection: ServerConnection) -> None:
        request = connection.request
        assert request is not None
        if "cursor=" in request.path:
            connection.send(error_frame("FutureCursor", "cursor 1 is in the future"))
        else:
            connection.send(FIREHOSE.frame(0))

    output = tmp_path / "capture"
    with relay_that(handler) as url:
        code, stderr = record(url, "--output", output)
    assert code == 3
    assert "renumbers its events" in stderr
    assert frames_in(output) == [FIREHOSE.frame(0)]


def test_a_relay_that_only_answers_pings_is_connected_again(tmp_path: Path) -> None:
    with BadRelay(
        50, manner=lambda s: "silent" if s > 0.3 and len(bad.subscriptions) < 2 else "serve"
    ) as bad:
        output = tmp_path / "capture"
        options = ("--max-seconds", PATIENCE_S, "--max-frames", 100, "--stuck-s", 0.6)
        code, stderr = record(bad.url, "--output", output, *options)
    assert code == 0
    assert "taken for stuck" in stderr
    assert len(bad.subscriptions) >= 2
    numbers = seqs(frames_in(output))
    assert numbers == list(range(numbers[0], numbers[0] + 100))


def test_new_numberings_bad_frames_and_lost_connections_are_recorded_through(
    tmp_path: Path,
) -> None:
    with BadRelay(
        200,
        waits=True,
        seq=lambda event: 1000 + event if event < 1440 else event - 1439,
        renumbers_at=(1440,),
        frames=lambda event: GARBAGE if event % 60 in (20, 21, 22) else b"",
        # Long before it renumbers: whoever comes back only then asks for what is still to come.
        manner=lambda s: "close" if 0.4 < s < 2 and len(bad.subscriptions) < 2 else "serve",
    ) as bad:
        output = tmp_path / "capture"
        code, stderr = record(bad.url, "--output", output, "--max-frames", 1500)
    assert code == 0, stderr
    assert "renumbered 1 times" in stderr
    events = [message(frame)[1]["rev"] for frame in frames_in(output)]
    assert len(events) == len(set(events)) == 1500
    numbers = [int(rev) for rev in events]
    assert numbers == sorted(numbers)
    missing = set(range(numbers[0], numbers[-1])) - set(numbers)
    assert {number % 60 for number in missing} <= {20, 21, 22}
    left_out = re.findall(r"(\d+) undecodable left out", stderr)[-1]
    # Three in a row may have come before the first good one.
    assert 0 <= int(left_out) - len(missing) <= 3


def test_a_final_answer_ends_the_recording_at_once(tmp_path: Path) -> None:
    with BadRelay(50, answer=lambda _: (501, {})) as relay:
        code, stderr = record(relay.url, "--output", tmp_path / "capture")
    assert code == 2
    assert "HTTP 501" in stderr
    assert len(relay.attempts) == 1
