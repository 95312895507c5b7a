from __future__ import annotations

import re
from pathlib import Path

import cbor2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fpaas.errors import BadInput
from fpaas.firehose import capture, tid
from fpaas.firehose.capture import LENGTH, Capture
from fpaas.firehose.frames import Event, decode
from fpaas.firehose.synthetic import Synthetic

TEMPLATES = Synthetic(seed=3)


def write(path: Path, frames: list[bytes]) -> Path:
    path.write_bytes(b"".join(LENGTH.pack(len(frame)) + frame for frame in frames))
    return path


def message(kind: str, **body: object) -> bytes:
    return cbor2.dumps({"op": 1, "t": kind}, canonical=True) + cbor2.dumps(body, canonical=True)


def identity(seq: int, time: str = "2026-07-04T14:38:07.517Z") -> bytes:
    return message("#identity", seq=seq, did="did:plc:aaaaaaaaaaaaaaaaaaaaaaaa", time=time)


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
    assert source.first_seq == capture.first_seq(tmp_path / "c") == 1
    assert capture.check(tmp_path / "c") == len(frames)


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


def test_rev_that_is_no_tid_is_left_alone_and_the_time_moves(tmp_path: Path) -> None:
    frame = message(
        "#sync", seq=1, did="did:plc:a", rev="zz", time="2026-07-04T14:38:07+02:00", blocks=b""
    )
    source = Capture(write(tmp_path / "c", [frame]))
    again = event(source.frame(1))
    assert (again.rev, again.time) == ("zz", "2026-07-04T14:38:09+02:00")


def test_one_odd_clock_does_not_stretch_the_loops(tmp_path: Path) -> None:
    def sync(seq: int, did: str, rev: int) -> bytes:
        time = "2026-07-04T14:38:07.517Z"
        return message("#sync", seq=seq, did=did, rev=tid.encode(rev), time=time, blocks=b"")

    rev = tid.from_unix_us(1_783_000_000_000_000)
    frames = [sync(1, "did:plc:a", rev), sync(2, "did:plc:b", tid.MAX), sync(3, "did:plc:a", rev)]
    source = Capture(write(tmp_path / "c", frames))
    assert source.loop_seconds == 2
    revs = {event(source.frame(index)).rev for index in range(1, 30, 3)}
    assert len(revs) == 10  # beyond the largest number they begin anew


def test_offsets_follow_the_frames_times(tmp_path: Path) -> None:
    times = [
        "2026-07-04T14:38:07.500Z",
        "2026-07-04T14:38:07.250Z",
        "yesterday",
        "2026-07-04T16:38:08.000+02:00",
    ]
    frames = [identity(seq, time) for seq, time in enumerate(times)]
    source = Capture(write(tmp_path / "c", frames))
    assert source.offsets_ns() == [0, 0, 0, 500_000_000]
    assert source.loop_seconds == 2


def test_missing_and_empty_files_are_named(tmp_path: Path) -> None:
    for read in (capture.check, capture.first_seq):
        with pytest.raises(BadInput, match=r"nowhere: cannot be read: No such file"):
            read(tmp_path / "nowhere")
        (tmp_path / "empty").touch()
        with pytest.raises(BadInput, match=r"empty: is empty"):
            read(tmp_path / "empty")


def test_directory_is_no_capture(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="cannot be read"):
        capture.check(tmp_path)


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
        capture.check(path)


@pytest.mark.parametrize(
    ("frame", "why"),
    [
        (b"garbage!", "no map"),
        (b"", "ends early"),
        (identity(1)[:-3], "ends behind the end|ends early"),
        (identity(1) + b"\x00", "1 bytes follow"),
        (cbor2.dumps({"op": -1}) + cbor2.dumps({"error": "FutureCursor"}), "op 1"),
        (cbor2.dumps({"op": 1}) + cbor2.dumps({}), "no type"),
        (message("#info", name="OutdatedCursor"), "#info has no seq"),
        (message("#identity", seq=-1, did="did:plc:a", time="t"), "seq is -1"),
        (message("#identity", seq="1", did="did:plc:a", time="t"), "no integer"),
        (message("#identity", seq=1, time="t"), "lacks one of did, time"),
        (message("#sync", seq=1, did="did:plc:a", time="t"), "did, time and rev"),
    ],
)
def test_frame_that_is_no_event_is_refused_at_its_offset(
    tmp_path: Path, frame: bytes, why: str
) -> None:
    first = identity(1)
    path = write(tmp_path / "c", [first, frame, first])
    at = LENGTH.size + len(first) + LENGTH.size
    with pytest.raises(BadInput, match=rf"c: the frame at byte {at} is no .*event: .*({why})"):
        capture.check(path)
