"""A reported run in a notebook, and its tables as Parquet."""

from __future__ import annotations

import json
import math
import os
import struct
import zlib
from pathlib import Path

import pytest
from click.testing import CliRunner

import fpaas
from fpaas.commands import report
from fpaas.report import parquet
from fpaas.results.figure_columns import columns
from tests.support.raw_run import RawRun


@pytest.fixture(scope="module")
def reported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = RawRun().write(tmp_path_factory.mktemp("results") / "run")
    CliRunner().invoke(report.command, [str(directory)])
    return directory


def test_a_run_is_loaded_with_its_figures(reported: Path) -> None:
    run = fpaas.load(str(reported))
    assert run.summary == json.loads((reported / "summary.json").read_text())
    assert repr(run) == f"LoadedRun(directory={reported!r})"
    assert run.run["variables"]["bench_consumers"] == RawRun().spec.consumers.count
    assert {"series", "percentiles", "summary", "ledger"} <= set(run.tables)
    for name in run.tables:
        assert len({len(column) for column in run.table(name).values()}) == 1, name
    figures = run.table("summary")
    published = figures["value"][figures["figure"].index("ledger.published")]  # type: ignore[arg-type]
    assert published == run.summary["ledger"]["published"]
    assert isinstance(published, float)


def test_what_cannot_be_loaded_says_what_to_do(reported: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected the directory of a reported run"):
        fpaas.load(tmp_path)
    with pytest.raises(ValueError, match="tables: events, goals"):
        fpaas.load(reported).table("nothing")
    (tmp_path / "summary.json").write_text("[]")
    with pytest.raises(ValueError, match="is not a JSON object"):
        fpaas.load(tmp_path)


@pytest.mark.parametrize(
    ("content", "wrong"),
    [
        (b"", "it is empty"),
        (b"figure,value\na,1\nb", "row 2 has 1 of 2 cells"),
        (b"figure,value\na,1,2\n", "row 1 has 3 of 2 cells"),
        (b"figure,value\na,x\n", "'x' is not a number"),
        (b"figure,value\na,\xff\n", "can't decode byte 0xff"),
        (b"figure,value\n" + b"a" * 200_000 + b",1\n", "field larger than field limit"),
    ],
)
def test_a_damaged_table_says_what_is_wrong_and_what_to_do(
    reported: Path, tmp_path: Path, content: bytes, wrong: str
) -> None:
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "cut.csv").write_bytes(content)
    for name in ("summary.json", "run.json"):
        (tmp_path / name).write_bytes((reported / name).read_bytes())
    with pytest.raises(ValueError, match=wrong) as raised:
        fpaas.load(tmp_path).table("cut")
    said = str(raised.value)
    assert said.startswith(f"{tmp_path}/figures/cut.csv: is not a table of figures: ")
    assert said.endswith(f"; `fpaas report {tmp_path}` writes it again")


def test_what_is_no_regular_file_is_not_waited_for(reported: Path, tmp_path: Path) -> None:
    (tmp_path / "run.json").write_bytes((reported / "run.json").read_bytes())
    os.mkfifo(tmp_path / "summary.json")
    with pytest.raises(ValueError, match=r"summary.json: cannot be read: is no regular file"):
        fpaas.load(tmp_path)
    (tmp_path / "summary.json").unlink()
    (tmp_path / "summary.json").write_bytes((reported / "summary.json").read_bytes())
    (tmp_path / "figures").mkdir()
    os.mkfifo(tmp_path / "figures" / "series.csv")
    with pytest.raises(ValueError, match=r"series.csv: cannot be read: is no regular file"):
        fpaas.load(tmp_path).table("series")


def test_every_table_is_there_as_parquet(reported: Path) -> None:
    for path in (reported / "figures").glob("*.csv"):
        content = path.with_suffix(".parquet").read_bytes()
        assert content[:4] == content[-4:] == parquet.MAGIC
        (length,) = struct.unpack("<I", content[-8:-4])
        footer = content[-8 - length : -8]
        for name in path.read_text().splitlines()[0].split(","):
            assert name.encode() in footer


def test_a_page_has_which_values_are_there_and_then_those() -> None:
    """As the format says: runs of equal bits with their length before them, then plain values."""
    assert unpacked(parquet.table({"value": [1.5, None, 3.0, math.inf]})) == [
        struct.pack("<I", 6) + bytes([2, 1, 2, 0, 4, 1]) + struct.pack("<3d", 1.5, 3.0, math.inf)
    ]
    nothing: list[float | None] = [None, None]
    assert unpacked(parquet.table({"of": [None, "ü"], "count": nothing})) == [
        struct.pack("<I", 4) + bytes([2, 0, 2, 1]) + struct.pack("<I", 2) + "ü".encode(),
        struct.pack("<I", 2) + bytes([4, 0]),
    ]


def unpacked(content: bytes) -> list[bytes]:
    """Return the pages of a file."""
    pages = []
    while (start := content.find(b"\x1f\x8b\x08")) >= 0:
        packed = zlib.decompressobj(wbits=31)
        pages.append(packed.decompress(content[start:]))
        content = packed.unused_data
    return pages


def test_cells_become_numbers_or_text_by_their_column() -> None:
    found = columns(["series", "value"], [["1", "2"], ["", ""]])
    assert found == {"series": ["1", None], "value": [2.0, None]}
    assert columns(["series", "value"], []) == {"series": [], "value": []}
    with pytest.raises(ValueError, match="is not a number"):
        columns(["value"], [["x"]])
