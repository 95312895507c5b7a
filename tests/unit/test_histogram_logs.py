"""`.hlog` files are what other HdrHistogram tools read."""

from __future__ import annotations

import base64
import struct
import zlib
from pathlib import Path

import pytest
from hdrh.histogram import HdrHistogram
from hdrh.log import HistogramLogReader

from fpaas.measures.histogram_log import (
    BEYOND_SUFFIX,
    HIGHEST_US,
    LOWEST_US,
    NEGATIVE_SUFFIX,
    SIGNIFICANT_DIGITS,
    HistogramLog,
    Recorder,
)
from fpaas.measures.histograms import merge_logs, read_log
from tests.support.raw_run import HOST, RawRun

#: https://github.com/HdrHistogram/HdrHistogram: V2, and V2 compressed by DEFLATE.
COOKIE_V2 = 0x1C849303
COOKIE_V2_COMPRESSED = 0x1C849304
WORD_BYTES = 0x10
START_S = 1_790_000_000.0


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Two legs over three seconds; one of them has negative samples."""
    path = tmp_path / "agent.hlog"
    legs = [Recorder("fast"), Recorder("cross_host")]
    writer = HistogramLog(path, legs, START_S)
    for second in range(3):
        legs[0].samples_ns += [1_000 * (second + 1)] * 10
        legs[1].samples_ns += [250_000_000, -3_000_000, 7_200_000_000_000]
        writer.end_interval(START_S + second + 1)
    writer.close(START_S + 3)
    return path


def test_the_packages_own_reader_reads_every_interval(log: Path) -> None:
    total = HdrHistogram(LOWEST_US, HIGHEST_US, SIGNIFICANT_DIGITS)
    reader = HistogramLogReader(str(log), total)
    intervals = []
    while (histogram := reader.get_next_interval_histogram()) is not None:
        intervals.append(histogram)
    reader.close()
    tags = [histogram.get_tag() for histogram in intervals]
    cross_host = [f"cross_host{end}" for end in ("", BEYOND_SUFFIX, NEGATIVE_SUFFIX)]
    assert tags == ["fast", *cross_host] * 3
    assert sum(histogram.get_total_count() for histogram in intervals) == 3 * 13
    assert [h.get_max_value() for h in intervals if h.get_tag() == "fast"] == [1, 2, 3]
    # What is beyond an hour is counted apart, and so are magnitudes of negative samples.
    assert intervals[1].get_max_value() == pytest.approx(250_000, rel=1e-3)
    assert intervals[2].get_total_count() == 1
    assert intervals[3].get_max_value() == pytest.approx(3_000, rel=1e-3)
    starts = [histogram.get_start_time_stamp() / 1000 for histogram in intervals]
    assert starts[:4] == [START_S] * 4
    assert starts[4] == START_S + 1


def test_what_the_other_reader_adds_up_is_what_the_report_merges(log: Path) -> None:
    merged = merge_logs([log])
    total = HdrHistogram(LOWEST_US, HIGHEST_US, SIGNIFICANT_DIGITS)
    reader = HistogramLogReader(str(log), total)
    while reader.add_next_interval_histogram(total, 0.0, float("inf")):
        pass
    reader.close()
    assert total.get_total_count() == sum(leg.count for leg in merged.values())


def test_what_a_process_received_after_it_stood_still_is_of_when_it_went_on(tmp_path: Path) -> None:
    path = tmp_path / "agent.hlog"
    legs = [Recorder("end_to_end"), Recorder("loop_lag")]
    writer = HistogramLog(path, legs, START_S)
    # It stood still over the beginning of a window, and over its end.
    for until_s in (1, 9, 10, 19):
        for leg in legs:
            leg.samples_ns.append(until_s * 1_000_000)
        writer.end_interval(START_S + until_s)
    writer.close(START_S + 19)

    merged = merge_logs(
        [path], from_unix_s=START_S + 8, until_unix_s=START_S + 15, endless=["end_to_end"]
    )

    assert merged["loop_lag"].count == 2
    assert merged["end_to_end"].count == 3
    assert merged["end_to_end"].max_us == pytest.approx(19_000, rel=1e-3)


def test_the_payload_is_v2_compressed_by_the_format(log: Path) -> None:
    payloads = [base64.b64decode(interval.payload) for interval in read_log(log)]
    assert payloads
    for payload in payloads:
        cookie, length = struct.unpack_from(">II", payload)
        assert cookie == COOKIE_V2_COMPRESSED | WORD_BYTES
        assert length == len(payload) - 8
        content = zlib.decompress(payload[8:])
        inner, counts_bytes, offset, digits, lowest, highest, ratio = struct.unpack_from(
            ">IIIIQQd", content
        )
        assert inner == COOKIE_V2 | WORD_BYTES
        assert counts_bytes == len(content) - 40
        assert (offset, digits, lowest, highest) == (
            *(0, SIGNIFICANT_DIGITS, LOWEST_US, HIGHEST_US),
        )
        assert ratio == 1.0


def test_the_header_says_what_the_format_asks_for(log: Path) -> None:
    lines = log.read_text().splitlines()
    assert lines[0] == "#[Histogram log format version 1.3]"
    assert lines[1].startswith("#[StartTime: 1790000000.000 ")
    assert lines[3] == (
        '"StartTimestamp","Interval_Length","Interval_Max","Interval_Compressed_Histogram"'
    )


@pytest.mark.parametrize("name", ["relay.hlog", "shuffler.hlog", "consumers-0.hlog"])
def test_every_log_of_a_run_is_read(name: str, tmp_path: Path) -> None:
    RawRun().write(tmp_path / "run")
    path = tmp_path / "run" / "hosts" / HOST / name
    reader = HistogramLogReader(str(path), HdrHistogram(LOWEST_US, HIGHEST_US, SIGNIFICANT_DIGITS))
    count = 0
    while (histogram := reader.get_next_interval_histogram()) is not None:
        count += histogram.get_total_count()
    reader.close()
    assert count == sum(leg.count for leg in merge_logs([path]).values()) > 0
