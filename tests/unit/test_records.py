"""What agents write is read back as it was, and what is wrong with a file is said."""

from __future__ import annotations

from pathlib import Path

import pytest

from fpaas.measures.intervals import IntervalSet
from fpaas.records import files
from fpaas.records.calls import CallFigures
from fpaas.records.files import LineWriter, TornError, UnreadableError
from fpaas.records.relay import RelayResult, RelaySample
from fpaas.records.shuffler import ShufflerResult
from tests.support.shuffler_results import make_shuffler

RELAY = RelayResult(1, 10, 10, 9, 1, 2, 1, 0, 0.5, complete=False)
SAMPLE = RelaySample(
    unix_ns=1_790_000_000_000_000_000,
    offered=10,
    ignored=2,
    sent=9,
    replayed=1,
    subscribers=1,
    blocked_s=0.0,
    calls={"relay_lateness": CallFigures(begun=[(0.0, 3)], open=[(1.0, 2, 40.5)])},
)


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    written = make_shuffler(5, copy_seqs=IntervalSet([(7, 9)]), message_bytes={"a": {5460: 5}})
    files.write(tmp_path / "shuffler.json", written)
    assert files.read(tmp_path / "shuffler.json", ShufflerResult) == written
    assert [path.name for path in tmp_path.iterdir()] == ["shuffler.json"]


def test_lines_are_read_as_they_were_written(tmp_path: Path) -> None:
    writer = LineWriter(tmp_path / "samples")
    writer.write(SAMPLE)
    writer.write(SAMPLE)
    writer.close()
    assert files.read_lines(tmp_path / "samples", RelaySample) == files.Lines([SAMPLE, SAMPLE])
    assert SAMPLE.events == 8


def test_keys_of_later_versions_are_ignored(tmp_path: Path) -> None:
    files.write(tmp_path / "relay.json", RELAY)
    path = tmp_path / "relay.json"
    path.write_text(path.read_text().replace("{", '{"of_later":{"x":1},', 1))
    assert files.read(path, RelayResult) == RELAY


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"", TornError),
        (b"\n", TornError),
        (b'{"first_seq": 1, "last', TornError),
        (b"\xff\x00", UnreadableError),
        (b"[]", UnreadableError),
        (b"{}", UnreadableError),
    ],
)
def test_what_is_wrong_with_a_file_is_said(
    content: bytes, error: type[UnreadableError], tmp_path: Path
) -> None:
    path = tmp_path / "relay.json"
    path.write_bytes(content)
    with pytest.raises(UnreadableError) as raised:
        files.read(path, RelayResult)
    assert raised.type is error


def test_the_field_that_is_wrong_is_named(tmp_path: Path) -> None:
    path = tmp_path / "shuffler.json"
    files.write(path, make_shuffler(5))
    path.write_text(path.read_text().replace('"failed":[]', '"failed":[[9,7]]'))
    with pytest.raises(UnreadableError, match=r"\$\.failed"):
        files.read(path, ShufflerResult)


def test_good_lines_are_kept_and_others_named_by_what_is_wrong(tmp_path: Path) -> None:
    path = tmp_path / "samples"
    files.write(path, SAMPLE)
    good = path.read_bytes()
    path.write_bytes(good + good.replace(b'"offered":10', b'"offered":-1') + good + good[:20])
    lines = files.read_lines(path, RelaySample)
    assert lines.good == [SAMPLE, SAMPLE]
    assert lines.torn is not None
    assert "line 4" in lines.torn
    assert lines.wrong is not None
    assert "line 2" in lines.wrong
    assert "$.offered" in lines.wrong


def test_an_empty_file_of_lines_is_torn(tmp_path: Path) -> None:
    (tmp_path / "samples").touch()
    assert files.read_lines(tmp_path / "samples", RelaySample).torn == "is empty"


def test_a_full_disk_leaves_the_file_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "relay.json"
    files.write(path, RELAY)

    def full(_path: Path, _content: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space"):
        files.write(path, SAMPLE)
    monkeypatch.undo()
    assert files.read(path, RelayResult) == RELAY


def test_last_words_take_the_place_of_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "relay.json"
    files.write(path, RELAY)
    files.overwrite(path, SAMPLE)
    assert files.read(path, RelaySample) == SAMPLE
