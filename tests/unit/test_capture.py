from __future__ import annotations

import os
import re
from pathlib import Path

import cbor2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fpaas.errors import BadInput
from fpaas.firehose import tid
from fpaas.firehose.capture import LENGTH, Capture
from fpaas.firehose.frames import Event, FrameError, decode
from fpaas.firehose.synthetic import Synthetic
from fpaas.relay import record
from fpaas.shuffler.subjects import message_id
from tests.support.event_frames import TIME, commit, events, frame, identity, malformed, message

TEMPLATES = Synthetic(seed=3)


def write(path: Path, frames: list[bytes]) -> Path:
    path.write_bytes(b"".join(LENGTH.pack(len(frame)) + frame for frame in frames))
    return path


def event(frame: bytes) -> Event:
    decoded = decode(frame)
    assert isinstance(decoded, Event)
    return decoded


def key(frame: bytes) -> tuple[str, str]:
    found = event(frame)
    return found.did, found.rev or f"{found.time} {found.digest}"


@pytest.fixture
def frames() -> list[bytes]:
    """A pool's worth has every kind."""
    return [TEMPLATES.frame(index) for index in range(2048)]


def test_first_loop_is_byte_exact(tmp_path: Path, frames: list[bytes]) -> None:
    source = Capture(write(tmp_path / "c", frames))
    assert [source.frame(index) for index in range(len(frames))] == frames
    assert source.first_seq == 1
    assert source.frames == len(frames)


def test_real_frames_are_byte_exact_too(real_frames: Path) -> None:
    source = Capture(real_frames)
    replayed = [source.frame(index) for index in range(source.frames)]
    assert b"".join(LENGTH.pack(len(f)) + f for f in replayed) == real_frames.read_bytes()
    assert source.first_seq == 31_527_015_322
    later = [source.frame(index) for index in range(7 * source.frames)]
    assert len({key(frame) for frame in later}) == len(later)


def test_loops_go_up_and_stay_distinct(tmp_path: Path, frames: list[bytes]) -> None:
    source = Capture(write(tmp_path / "c", frames))
    replayed = [source.frame(index) for index in range(4 * len(frames))]
    events = [event(frame) for frame in replayed]
    assert [found.seq for found in events] == list(range(1, 4 * len(frames) + 1))
    assert len({key(frame) for frame in replayed}) == len(replayed)
    latest: dict[str, str] = {}
    for found in events:
        if found.rev is not None:
            assert latest.get(found.did, "") < found.rev
            latest[found.did] = found.rev


def test_loops_change_nothing_else(tmp_path: Path, frames: list[bytes]) -> None:
    source = Capture(write(tmp_path / "c", frames))
    for position in (0, 1, *[p for p, f in enumerate(frames) if event(f).rev is None][:5]):
        original = cbor2.loads(frames[position][_header_end(frames[position]) :])
        again = source.frame(2 * len(frames) + position)
        looped = cbor2.loads(again[_header_end(again) :])
        changed = "rev" if "rev" in original else "time"
        for body in (original, looped):
            del body["seq"], body[changed]
        assert original == looped


def _header_end(frame: bytes) -> int:
    return len(cbor2.dumps(cbor2.loads(frame)))


def test_gaps_are_closed(tmp_path: Path) -> None:
    source = Capture(write(tmp_path / "c", [identity(seq) for seq in (250, 254, 300, 70_000)]))
    assert [event(source.frame(index)).seq for index in range(8)] == list(range(250, 258))


def test_once_has_an_end(tmp_path: Path) -> None:
    path = write(tmp_path / "c", [identity(7), identity(8)])
    assert Capture(path, loop=False).count == 2
    assert Capture(path).count is None


def test_unknown_kinds_are_replayed_and_counted(tmp_path: Path) -> None:
    path = write(tmp_path / "c", [identity(7), message("#labels", seq=8), identity(9)])
    source = Capture(path)
    assert source.frame(1) == message("#labels", seq=8)
    assert source.frame(4) == message("#labels", seq=11)
    assert [source.ignored(count) for count in range(7)] == [0, 0, 1, 1, 1, 2, 2]


def sync(seq: int, rev: str, did: str = "did:plc:a", time: str = TIME) -> bytes:
    return message("#sync", seq=seq, did=did, rev=rev, time=time, blocks=b"")


def identifiers(source: Capture, loops: int) -> list[str]:
    return [message_id(event(source.frame(index))) for index in range(loops * source.frames)]


def test_rev_that_is_no_tid_gets_the_loops_number(tmp_path: Path) -> None:
    source = Capture(write(tmp_path / "c", [sync(1, "zz"), sync(2, "z#"), sync(3, "z##1")]))
    assert [event(source.frame(index)).rev for index in (3, 4, 5, 6)] == [
        *("zz###1", "z####1", "z##1###1", "zz###2")
    ]
    assert event(source.frame(3)).time == TIME


@pytest.mark.parametrize(
    "frames",
    [
        [sync(1, "zz")],
        [sync(1, "x"), sync(2, "x#1"), sync(3, "x##1"), sync(4, "x#")],
        [sync(1, tid.encode(0)), sync(2, tid.encode(tid.MAX)), sync(3, "2222222222222#1")],
        [sync(n, tid.encode(tid.MAX - 1024 * n)) for n in range(1, 9)],
        [identity(1, "0001-01-01T00:00:00Z"), identity(2, "9999-12-31T23:59:59Z")],
        [identity(1, "0001-01-01T00:00:00+14:00"), identity(2, "9999-12-31T23:59:59.9-14:00")],
        [identity(1, "9999-12-31T23:59:59Z"), identity(2, "9999-12-31T23:59:53Z")],
        [identity(1, "yesterday"), identity(2, "yesterday#1"), identity(3, "2026-07-04")],
        [identity(1, "2026-07-04T14+02:00"), identity(2, "2026-W27-6T14:38:07Z")],
        [identity(1, "\u0662026-07-04T14:38:07Z"), identity(2, "\U0001f600")],
        [identity(n, f"2026-07-04T14:38:{n:02d}Z") for n in range(1, 9)],
        [message("#account", seq=1, did="", time="x") if False else sync(1, "\0")],
        list(events().values()),
    ],
)
def test_each_loop_has_identifiers_of_its_own(tmp_path: Path, frames: list[bytes]) -> None:
    """What the frames of a capture repeat among themselves, each loop repeats, and no more."""
    source = Capture(write(tmp_path / "c", frames))
    found = identifiers(source, 50)
    assert len(set(found)) == 50 * len(set(found[: len(frames)]))


@settings(max_examples=300)
@given(
    st.lists(
        st.builds(
            lambda account, rev: (account, rev),
            st.sampled_from(["did:plc:a", "did:plc:b"]),
            st.text("#12z", max_size=4, min_size=1)
            | st.integers(0, tid.MAX).map(tid.encode)
            | st.integers(0, 2**40).map(lambda n: tid.encode(tid.MAX - n)),
        ),
        min_size=1,
        max_size=6,
        unique=True,
    )
)
def test_no_loop_repeats_another(
    tmp_path_factory: pytest.TempPathFactory, revs: list[tuple[str, str]]
) -> None:
    frames = [sync(n, rev, did) for n, (did, rev) in enumerate(revs, 1)]
    source = Capture(write(tmp_path_factory.mktemp("capture") / "c", frames))
    found = identifiers(source, 12)
    assert len(set(found)) == len(found)


def test_clock_that_is_off_delays_nothing(tmp_path: Path) -> None:
    times = ["0001-01-01T00:00:00Z", TIME, "9999-12-31T23:59:59Z", "2026-07-04T14:38:08.517Z"]
    source = Capture(write(tmp_path / "c", [identity(n, time) for n, time in enumerate(times, 1)]))
    assert source.offsets_ns() == [0, 0, 0, 1_000_000_000]
    assert source._texts.seconds == 2


def test_frames_change_length(tmp_path: Path) -> None:
    """A seq in more bytes stands before the time, and behind the rev."""
    frames = [identity(22), commit(seq=30, rev="zz"), identity(300)]
    source = Capture(write(tmp_path / "c", frames))
    assert [event(source.frame(index)).seq for index in range(300)] == list(range(22, 322))
    assert event(source.frame(4)).rev == "zz#1"


@pytest.mark.parametrize("seq", [2**53 - 1, 2**53 - 2**40])
def test_seq_that_a_replay_would_pass_is_refused(tmp_path: Path, seq: int) -> None:
    path = write(tmp_path / "c", [identity(seq)])
    with pytest.raises(BadInput, match=rf"c: the frame at byte 4 has seq {seq}, and a replay"):
        Capture(path)


@pytest.mark.parametrize("seq", [0, 2**53, 2**63, 2**64 - 1])
def test_seq_that_is_none_is_refused(tmp_path: Path, seq: int) -> None:
    path = write(tmp_path / "c", [identity(7), identity(seq)])
    with pytest.raises(BadInput, match=r"c: the frame at byte 100 is #identity with .* seq"):
        Capture(path)


def test_text_that_a_loop_makes_too_long_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "c", [identity(7), sync(8, "z" * 1025)])
    with pytest.raises(BadInput, match=r"c: the frame at byte 100 has a rev or time of 1025 "):
        Capture(path)


def test_pipe_and_device_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(BadInput, match="is not a file"):
            Capture(path)


def test_record_of_more_than_a_frame_is_refused(tmp_path: Path) -> None:
    with (tmp_path / "c").open("wb") as file:
        file.write(LENGTH.pack(2**32 - 1))
        file.truncate(2**32 + 100)
    with pytest.raises(BadInput, match=r"c: the record at byte 0 is said to be 4294967295 bytes"):
        Capture(tmp_path / "c")


def test_recorder_and_captures_refuse_what_the_shuffler_refuses(tmp_path: Path) -> None:
    """One table over all three."""
    for what, raw in malformed().items():
        with pytest.raises(FrameError):
            decode(raw)
        if len(raw) < 1_000_000:  # the library is asked the same of larger ones
            first = identity(1)
            with pytest.raises(BadInput, match=f"c: the frame at byte {len(first) + 8} (is|has) "):
                Capture(write(tmp_path / "c", [first, raw]))
        assert recorded(tmp_path, raw) == ([], 1), what
    for what, raw in events().items():
        assert isinstance(decode(raw), Event)
        assert recorded(tmp_path, raw) == ([raw], 0), what
        assert Capture(write(tmp_path / "c", [identity(1), raw])).frames == 2


def recorded(tmp_path: Path, raw: bytes) -> tuple[list[bytes], int]:
    """What the recorder keeps of a frame, and how many it calls undecodable."""
    options = record.Options(
        "relay.test",
        tmp_path / "recorded",
        force=True,
        max_seconds=None,
        max_frames=None,
        max_bytes=None,
    )
    writer = record.CaptureWriter(options.output, force=True)
    recording = record.Recording(writer, options)
    recording.take([raw])
    writer.flush()
    kept = options.output.read_bytes()
    writer.close()
    return [kept[LENGTH.size :]] if kept else [], recording.undecodable


def test_one_odd_clock_does_not_stretch_the_loops(tmp_path: Path) -> None:
    rev = tid.encode(tid.from_unix_us(1_783_000_000_000_000))
    late = tid.encode(tid.MAX)
    frames = [sync(1, rev), sync(2, late, "did:plc:b"), sync(3, rev)]
    source = Capture(write(tmp_path / "c", frames))
    assert source._texts.seconds == 2
    revs = {event(source.frame(index)).rev for index in range(1, 30, 3)}
    assert len(revs) == 10  # beyond the largest number they are marked


def test_offsets_follow_the_frames_times(tmp_path: Path) -> None:
    times = [
        "2026-07-04T14:38:07.500Z",
        "2026-07-04T14:38:07.250Z",
        "yesterday",
        "2026-07-04T16:38:08.000+02:00",
    ]
    frames = [identity(seq, time) for seq, time in enumerate(times, 1)]
    source = Capture(write(tmp_path / "c", frames))
    assert source.offsets_ns() == [0, 0, 0, 500_000_000]
    assert source._texts.seconds == 2


def test_missing_and_empty_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"nowhere: cannot be read: No such file"):
        Capture(tmp_path / "nowhere")
    (tmp_path / "empty").touch()
    with pytest.raises(BadInput, match=r"empty: is empty"):
        Capture(tmp_path / "empty")


def test_directory_is_no_capture(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="cannot be read"):
        Capture(tmp_path)


@settings(max_examples=50)
@given(st.data())
def test_truncated_file_is_refused_at_its_offset(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    frames = [identity(seq) for seq in (1, 2, 3)]
    path = write(tmp_path_factory.mktemp("capture") / "c", frames)
    whole = path.read_bytes()
    record = LENGTH.size + len(frames[0])
    length = data.draw(st.integers(1, len(whole) - 1).filter(lambda n: n % record))
    path.write_bytes(whole[:length])
    at = length // record * record
    remedy = f"`truncate -s {at} " if at else "it may be no capture at all"
    expected = f"{re.escape(str(path))}: is truncated.* byte {at} .*{remedy}"
    with pytest.raises(BadInput, match=expected):
        Capture(path)


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (b"garbage!", "DRISL-CBOR: ends early"),
        (b"", "ends early"),
        (identity(1)[:-3], "ends behind the end"),
        (identity(1) + b"\x00", "1 bytes behind"),
        (frame({"op": -1}, {"error": "FutureCursor"}), "has no seq"),
        (frame({"op": 1}, {}), "no text t in"),
        (message("#info", name="OutdatedCursor"), "has no seq"),
        (message("#new", seq=2**53), "has no seq"),
        (message("#identity", seq=-1, did="did:plc:a", time="t"), "seq is not an integer"),
        (message("#identity", seq=1, time="t"), "without did"),
        (message("#sync", seq=1, did="did:plc:a", time="t"), "without rev"),
    ],
)
def test_frame_that_is_no_event_is_refused_at_its_offset(
    tmp_path: Path, raw: bytes, why: str
) -> None:
    first = identity(1)
    path = write(tmp_path / "c", [first, raw, first])
    at = LENGTH.size + len(first) + LENGTH.size
    with pytest.raises(BadInput, match=rf"c: the frame at byte {at} (is|has) .*{why}"):
        Capture(path)
