from __future__ import annotations

from pathlib import Path

from fpaas.firehose.frames import FrameError
from fpaas.records import events
from fpaas.records.events import EventLog, Value
from fpaas.shuffler.kept_frames import BYTES_MAX, EVENTS_MAX, FILES_MAX, KeptFrames


def kept(directory: Path) -> KeptFrames:
    return KeptFrames(directory, EventLog(directory / "shuffler.events.jsonl"))


def noted(directory: Path) -> list[dict[str, Value]]:
    found, wrong = events.read(directory / "shuffler.events.jsonl")
    assert wrong is None
    assert {one.kind for one in found} <= {events.FRAME_UNDECODABLE}
    return [one.parameters for one in found]


def files(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.glob("*.bin"))


def test_frame_is_an_event_with_its_bytes(tmp_path: Path) -> None:
    kept(tmp_path).keep(FrameError("is rubbish", 8), b"\xff\x00", after_seq=7)
    assert noted(tmp_path) == [
        {
            "cause": "is rubbish",
            "seq": 8,
            "after_seq": 7,
            "bytes": 2,
            "file": "shuffler.undecodable-01.bin",
        }
    ]
    assert (tmp_path / "shuffler.undecodable-01.bin").read_bytes() == b"\xff\x00"


def test_frame_that_comes_again_is_the_same(tmp_path: Path) -> None:
    subject = kept(tmp_path)
    for after_seq in (7, 7, 9):
        subject.keep(FrameError("is rubbish"), b"\xff", after_seq=after_seq)
    assert [one["after_seq"] for one in noted(tmp_path)] == [7, 9]
    assert files(tmp_path) == ["shuffler.undecodable-01.bin"]


def test_what_is_kept_is_bounded(tmp_path: Path) -> None:
    subject = kept(tmp_path)
    for number in range(EVENTS_MAX + 50):
        frame = number.to_bytes(4, "big") + bytes(BYTES_MAX if number < 20 else 0)
        subject.keep(FrameError("x" * 10_000), frame, after_seq=None)
    found = noted(tmp_path)
    assert len(found) == EVENTS_MAX
    assert max(len(str(one["cause"])) for one in found) == 300
    assert len(files(tmp_path)) == FILES_MAX
    assert {(tmp_path / name).stat().st_size for name in files(tmp_path)} == {BYTES_MAX}
    assert found[0]["bytes"] == BYTES_MAX + 4
    assert found[FILES_MAX]["file"] is None


def test_frame_that_was_not_received_has_no_bytes(tmp_path: Path) -> None:
    subject = kept(tmp_path)
    for _ in range(2):
        subject.keep(FrameError("is larger than 5 MB"), None, after_seq=3)
    [only] = noted(tmp_path)
    assert (only["bytes"], only["file"]) == (None, None)


def test_shuffler_that_was_started_again_overwrites_nothing(tmp_path: Path) -> None:
    for number in range(3):
        kept(tmp_path).keep(FrameError("is rubbish"), bytes([number]), after_seq=number)
    assert [(tmp_path / name).read_bytes() for name in files(tmp_path)] == [b"\0", b"\1", b"\2"]


def test_full_disk_costs_the_bytes_only(tmp_path: Path) -> None:
    subject = kept(tmp_path)
    (tmp_path / "shuffler.undecodable-01.bin").mkdir()
    subject.keep(FrameError("is rubbish"), b"\xff", after_seq=3)
    assert noted(tmp_path)[0]["file"] is None
