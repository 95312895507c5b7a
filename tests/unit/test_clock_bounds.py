"""Properties of the clock's bound."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fpaas.common_time import NS_PER_S
from fpaas.probe.clock_bounds import DRIFT_MAX_PPM, Exchange, bound, bounds, parse_rfc3339_ns
from fpaas.records.probe import ClockComparison

START_NS = 1_700_000_000 * NS_PER_S
MS = 1_000_000


def exchange(sent_ns: int, there_ns: int, back_ns: int, offset_ns: int) -> Exchange:
    """An exchange as a server with a clock that is `offset_ns` ahead would make it."""
    return Exchange(sent_ns, sent_ns + there_ns + back_ns, sent_ns + there_ns + offset_ns)


path_ns = st.integers(1, 50 * MS)
paths = st.lists(st.tuples(path_ns, path_ns), min_size=1, max_size=60)


@given(paths, st.integers(-(10**12), 10**12))
def test_a_constant_offset_is_inside_the_bound(
    delays: list[tuple[int, int]], offset_ns: int
) -> None:
    exchanges = [
        exchange(START_NS + i * 5 * NS_PER_S, there, back, offset_ns)
        for i, (there, back) in enumerate(delays)
    ]
    found = bound(exchanges)
    assert found.offset_low_ns <= offset_ns <= found.offset_high_ns
    assert not found.stepped
    assert not found.drifting
    # As tight as the best one-way delay on each side.
    assert found.offset_high_ns - offset_ns == min(there for there, _ in delays)
    assert offset_ns - found.offset_low_ns == min(back for _, back in delays)


@given(paths, st.integers(-DRIFT_MAX_PPM, DRIFT_MAX_PPM))
def test_drift_is_no_step_and_stays_inside_the_bound(
    delays: list[tuple[int, int]], drift_ppm: int
) -> None:
    def offset_ns(sent_ns: int) -> int:
        return (sent_ns - START_NS) * drift_ppm // 1_000_000

    times = [START_NS + i * 5 * NS_PER_S for i in range(len(delays))]
    exchanges = [
        exchange(sent_ns, there, back, offset_ns(sent_ns))
        for sent_ns, (there, back) in zip(times, delays, strict=True)
    ]
    found = bound(exchanges)
    assert not found.stepped
    if found.drifting:
        assert all(
            found.offset_low_ns <= offset_ns(sent_ns) <= found.offset_high_ns for sent_ns in times
        )


@given(st.integers(2, 40), st.data(), st.sampled_from([-1, 1]))
def test_a_step_is_found(count: int, data: st.DataObject, sign: int) -> None:
    at = data.draw(st.integers(1, count - 1))
    exchanges = [
        exchange(START_NS + i * 5 * NS_PER_S, MS, MS, 0 if i < at else sign * NS_PER_S)
        for i in range(count)
    ]
    found = bound(reversed(exchanges))
    assert found.stepped
    assert found.drifting
    assert found.offset_low_ns <= 0 <= found.offset_high_ns
    assert found.offset_low_ns <= sign * NS_PER_S <= found.offset_high_ns


@given(
    st.lists(
        st.builds(
            exchange,
            # Drift over 2 µs is a whole number of ns.
            st.integers(0, 50_000_000).map(lambda i: START_NS + 2000 * i),
            path_ns,
            path_ns,
            st.integers(-60 * MS, 60 * MS),
        ),
        min_size=1,
        max_size=12,
    )
)
def test_two_passes_find_what_all_pairs_do(exchanges: list[Exchange]) -> None:
    def contradict(a: Exchange, b: Exchange) -> bool:
        drift_ns = abs(b.sent_unix_ns - a.sent_unix_ns) * DRIFT_MAX_PPM // 1_000_000
        return a.offset_low_ns - b.offset_high_ns > drift_ns

    found = bound(exchanges)
    assert found.stepped == any(contradict(a, b) for a in exchanges for b in exchanges)
    assert found.offset_low_ns <= found.offset_high_ns


def test_no_exchange_is_no_bound() -> None:
    assert bounds([]) == []


def test_each_server_of_a_cluster_has_a_bound_of_its_own() -> None:
    first = [exchange(START_NS + k, 2 * MS, 4 * MS, 10 * MS) for k in range(3)]
    second = [exchange(START_NS + 9, 2 * MS, 4 * MS, 70 * MS)]
    found = bounds(
        [replace(one, server="n2") for one in second] + [replace(one, server="n1") for one in first]
    )
    assert [(one.server, one.exchanges) for one in found] == [("n1", 3), ("n2", 1)]
    assert found[0].comparison().offset_ms == pytest.approx(9)
    assert found[1].comparison().offset_ms == pytest.approx(69)


def test_bound_in_milliseconds() -> None:
    found = bound([exchange(START_NS, 2 * MS, 4 * MS, 10 * MS)])
    assert found.comparison() == ClockComparison(
        bound_ms=3.0,
        offset_ms=9.0,
        method="publish and stored timestamp, 1 exchanges",
        exchanges=1,
    )


@pytest.mark.parametrize(
    ("text", "unix_ns"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("2026-11-23T16:18:27.72721063Z", 1_795_450_707_727_210_630),
        ("2026-11-23T18:18:27.727210631+02:00", 1_795_450_707_727_210_631),
        ("2026-11-23T14:48:27.000000001-01:30", 1_795_450_707_000_000_001),
        (" 1970-01-01T00:00:01.5Z\r\n", 1_500_000_000),
    ],
)
def test_parse_rfc3339(text: str, unix_ns: int) -> None:
    assert parse_rfc3339_ns(text) == unix_ns


@given(st.integers(0, 4 * 10**18))
def test_every_nanosecond_survives(unix_ns: int) -> None:
    seconds, fraction = divmod(unix_ns, NS_PER_S)
    moment = dt.datetime.fromtimestamp(seconds, dt.UTC)
    assert parse_rfc3339_ns(f"{moment:%Y-%m-%dT%H:%M:%S}.{fraction:09d}Z") == unix_ns


@pytest.mark.parametrize(
    "text", ["", "now", "2026-11-23", "2026-13-01T00:00:00Z", "2026-11-23T16:18:27"]
)
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="time"):
        parse_rfc3339_ns(text)
