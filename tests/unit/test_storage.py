from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fpaas.plan import storage
from fpaas.report import storage_table
from fpaas.summary import message_sizes
from tests.support.raw_run import RawRun

SIZES = {
    "commit app.bsky.feed.like": {5000: 70, 5400: 20},
    "commit app.bsky.feed.post": {7000: 10},
    "identity _": {},
}
STREAM = RawRun().spec.stream


def test_storage_is_what_a_message_takes_times_rate_time_and_replicas() -> None:
    made = storage.estimate(5_460.0, 5_620_000, 1_000, 450.0)
    assert made["stream_bytes_per_message"] == 5_620
    assert made["overhead_bytes_per_message"] == 160
    rows = {row["per_s"]: row for row in made["rates"]}
    assert list(rows) == [450, 350, 1500, 2000]
    assert rows[450]["bytes_5_min_r1"] == 5_620 * 450 * 300
    assert rows[450]["bytes_5_min_r3"] == 5_620 * 450 * 300 * 3
    assert rows[2000]["bytes_24_h_r1"] == 5_620 * 2000 * 86_400
    assert rows[2000]["bytes_24_h_r3"] == 5_620 * 2000 * 86_400 * 3


@pytest.mark.parametrize(
    "given_",
    [(None, 100, 1, 450.0), (5_460.0, None, None, 450.0), (5_460.0, 100, None, None)],
)
def test_what_was_not_measured_is_none(given_: tuple[Any, Any, Any, Any]) -> None:
    made = storage.estimate(*given_)
    assert made["overhead_bytes_per_message"] is None
    measured, mean = made["rates"][:2]
    assert (mean["bytes_24_h_r1"] is None) == (given_[2] is None)
    assert (measured["bytes_24_h_r1"] is None) == (given_[2] is None or given_[3] is None)


def test_sizes_by_kind_are_sorted_by_their_share_of_all_bytes() -> None:
    kinds = message_sizes.by_kind(SIZES)
    assert kinds is not None
    assert list(kinds) == ["commit app.bsky.feed.like", "commit app.bsky.feed.post", "identity _"]
    like = kinds["commit app.bsky.feed.like"]
    assert (like.count, like.p50, like.p99, like.max) == (90, 5000, 5400, 5400)
    assert like.share_of_bytes == pytest.approx(458 / 528)
    assert kinds["identity _"].count == 0
    assert message_sizes.total(SIZES).count == 100
    assert message_sizes.total(SIZES).mean == 5280
    assert message_sizes.by_kind(None) is None
    assert message_sizes.total(None).count is None
    assert message_sizes.by_kind({}) == {}


sizes_of_kinds = st.dictionaries(
    st.text("abc. ", min_size=1, max_size=8),
    st.dictionaries(st.integers(1, 9_999), st.integers(1, 500), min_size=1, max_size=5),
    min_size=1,
    max_size=20,
)


@given(sizes_of_kinds)
def test_kinds_add_up_to_all_also_in_the_table(sizes: dict[str, dict[int, int]]) -> None:
    kinds, everything = message_sizes.by_kind(sizes), message_sizes.total(sizes)
    assert kinds is not None
    assert sum(kind.count or 0 for kind in kinds.values()) == everything.count
    assert sum(kind.share_of_bytes or 0 for kind in kinds.values()) == pytest.approx(1)
    content = {"message_bytes": everything, "message_bytes_by_kind": kinds}
    rows = storage_table.message_rows(msgspec.to_builtins(content))
    counts = [int(row["cells"][0].replace(",", "")) for row in rows]
    assert sum(counts[:-1]) == counts[-1]
    assert len(rows) <= storage_table.KINDS_MAX + 2


def test_the_table_says_what_a_message_takes_and_what_the_stream_holds() -> None:
    made = {"storage": storage.estimate(5_460.0, 5_620_000, 1_000, 450.0)}
    text = storage_table.a_message(made, replace(STREAM, max_age_s=300, max_bytes=2_000_000_000))
    assert "5,620 bytes of the stream: 5,460 of payload and 160 that the server adds" in text
    assert "up to 1,186 messages a second" in text
    rows = storage_table.storage_rows(made)
    assert rows[0]["cells"] == ["759 MB", "2.28 GB", "219 GB", "656 GB"]
    assert "was not measured" in storage_table.a_message({}, STREAM)
    assert storage_table.storage_rows({}) == []
    assert storage_table.message_rows({}) == []
