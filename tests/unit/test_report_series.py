from __future__ import annotations

import math
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fpaas.measures.histograms import Leg, new_histogram, record_counts
from fpaas.report import chart_style, flow, percentile_charts
from fpaas.report.percentile_charts import Curve, Point, percentile_chart, percentile_curve
from fpaas.report.series import downsample, rate_per_s

values = st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=500)


@given(values, st.integers(2, 50))
def test_thinning_keeps_extremes_and_order(y: list[float], points_max: int) -> None:
    x = [float(i) for i in range(len(y))]
    thin_x, thin_y = downsample(x, y, points_max)
    assert len(thin_x) == len(thin_y) <= max(points_max, 2)
    assert thin_x == sorted(thin_x)
    assert min(thin_y) == min(y)
    assert max(thin_y) == max(y)
    assert all(y[int(at)] == value for at, value in zip(thin_x, thin_y, strict=True))


def test_short_series_are_left_alone() -> None:
    assert downsample([1, 2], [3, 4]) == ([1, 2], [3, 4])


def test_rates_add_counters_up_second_by_second() -> None:
    steady = ([0.0, 2.0, 4.0], [0.0, 20.0, 40.0])
    late = ([2.0, 4.0], [0.0, 10.0])
    x, y = rate_per_s([steady, late, ([], [])], until_s=4)
    assert x == [0.5, 1.5, 2.5, 3.5]
    assert y == pytest.approx([10, 10, 15, 15])


def test_a_counter_that_ends_early_stops_growing() -> None:
    x, y = rate_per_s([([0.0, 1.0], [0.0, 5.0]), ([0.0, 3.0], [0.0, 3.0])], until_s=10)
    assert x == [0.5, 1.5, 2.5]
    assert y == pytest.approx([6, 1, 1])


def test_no_samples_no_series() -> None:
    assert rate_per_s([], until_s=5) == ([], [])
    assert rate_per_s([([], [])], until_s=5) == ([], [])


@settings(deadline=None, max_examples=50)
@given(
    st.lists(st.integers(1, 10_000_000), min_size=1, max_size=300),
    st.lists(st.integers(1, 1000), max_size=30),
)
def test_a_curve_agrees_with_the_legs_own_percentiles(
    positive_us: list[int], negative_us: list[int]
) -> None:
    leg = Leg(new_histogram(), new_histogram())
    record_counts(leg.positive, Counter(positive_us))
    record_counts(leg.negative, Counter(negative_us))
    curve = percentile_curve(leg)
    shares = [point.share for point in curve]
    assert shares == sorted(shares)
    assert [point.ms for point in curve] == sorted(point.ms for point in curve)
    assert not any(point.is_at_least for point in curve)
    assert all(share < 1 for share in shares)
    top_us = leg.percentile_us(100)
    assert top_us is not None
    # The curve ends short of the last sample by less than one of its own steps.
    assert curve[-1].ms <= top_us / 1000 * 1.001
    for share, value_ms, *_ in curve:
        at_most = sum(us <= value_ms * 1000 * 1.001 for us in positive_us) + len(negative_us)
        assert at_most >= share * leg.count - 1


def test_a_leg_of_negative_samples_only_has_no_curve() -> None:
    leg = Leg(new_histogram(), new_histogram())
    assert percentile_curve(leg) == []
    record_counts(leg.negative, Counter([5]))
    assert percentile_curve(leg) == []
    assert percentile_chart({"x": Curve([], 0.1)}) is None


@settings(deadline=None, max_examples=50)
@given(
    st.lists(st.integers(1, 10_000_000), max_size=100),
    st.lists(st.integers(1, 10_000_000), min_size=1, max_size=100),
    st.integers(0, 5),
)
def test_a_curve_has_the_legs_own_bounds(
    answered_us: list[int], ages_us: list[int], beyond: int
) -> None:
    leg = Leg(new_histogram(), new_histogram(), beyond=beyond)
    record_counts(leg.positive, Counter(answered_us))
    leg.add_open(Counter(ages_us))
    total = leg.count + leg.open_count
    for share, least_ms, is_at_least, highest_ms in percentile_curve(leg):
        # In the middle between ranks, so that rounding takes none for another.
        rank = max(1, math.ceil(share * total - 1e-9))
        least, highest = leg.percentile_bounds_us(100 * (rank - 0.5) / total)
        assert least_ms == (least or 0) / 1000
        assert is_at_least == (least != highest)
        assert highest_ms == (highest / 1000 if is_at_least and highest is not None else None)


def test_a_curve_is_dashed_from_where_open_calls_could_change_it() -> None:
    leg = Leg(new_histogram(), new_histogram())
    record_counts(leg.positive, Counter([1000] * 90))
    leg.add_open({4_000_000: 10})
    figure = percentile_chart({"x": Curve(percentile_curve(leg), 0.0)})
    assert figure is not None
    solid, dashed = figure["data"]
    assert (solid["line"]["dash"], dashed["line"]["dash"]) == ("solid", "dash")
    assert set(solid["y"]) == {1.0}
    assert dashed["y"][0] == 1.0
    assert dashed["y"][-1] == pytest.approx(4000, rel=0.001)
    assert float(solid["heads"][-1].split(" ")[0]) == pytest.approx(90, abs=1.5)
    assert [trace["showlegend"] for trace in figure["data"]] == [True, False]


def test_what_the_clocks_cannot_resolve_is_dotted_and_shaded() -> None:
    points = [Point(*one) for one in ((0.0, 0.05), (0.5, 0.2), (0.9, 3.0))]
    figure = percentile_chart(
        {
            "across": Curve(points, 0.1),
            "one clock": Curve(points, 0.0),
        }
    )
    assert figure is not None
    lower, upper, dotted, solid, whole = figure["data"]
    assert lower["y"] == [percentile_charts.DRAWN_MIN_MS, 0.1, 2.9]
    assert upper["y"] == [0.15, 0.3, 3.1]
    assert (dotted["y"], dotted["line"]["dash"]) == ([0.05], "dot")
    assert (solid["y"], solid["line"]["dash"]) == ([0.2, 3.0], "solid")
    assert whole["y"] == [0.05, 0.2, 3.0]
    assert [trace["showlegend"] for trace in figure["data"]] == [False, False, True, False, True]
    assert figure["layout"]["shapes"][0]["y1"] == 0.1
    alone = percentile_chart({"one clock": Curve(points, 0.0)})
    assert alone is not None
    assert "shapes" not in alone["layout"]


def test_the_ledger_flows_to_where_everything_ended() -> None:
    ledger = {"owed": 10, "delivered": 4, "pending_at_end": 0, "expired_unread": 4, "lost": 2}
    bars = flow.deliveries(
        {**ledger, "lost_by_cause": {"stream_lost": 1, "removed": 1, "agent_died": 0}}
    )
    assert [(bar.label, bar.share_pct, bar.is_cause) for bar in bars] == [
        ("delivered 4 (40.0 %)", 40, False),
        ("expired unread 4 (40.0 %)", 40, False),
        ("lost 2 (20.0 %)", 20, False),
        ("stream lost 1", 10, True),
        ("removed 1", 10, True),
    ]
    one = flow.deliveries({**ledger, "lost_by_cause": {"stream_lost": 2}})
    assert one[-1].label == "lost 2 (20.0 %): stream lost"
    assert flow.deliveries({**ledger, "lost": None}) == []
    assert flow.frames({"offered": 0}) == []


def looks(names: list[str]) -> list[tuple[str, str]]:
    return [(style["color"], style["dash"]) for style in chart_style.styles_of(names)]


@pytest.mark.parametrize(
    "names",
    [
        ["consumers", "faults", "probe", "relay", "shuffler", "nats", "prometheus", "grafana"],
        ["offered", "read", "published", "processed"],
        ["localhost received", "localhost sent", "localhost loopback"],
        [f"{name} on n{host}" for host in (1, 2, 3) for name in ("nats", "probe", "relay")],
    ],
)
def test_lines_of_a_chart_look_different(names: list[str]) -> None:
    assert len(set(looks(names))) == len(names)


def test_what_a_line_is_of_has_the_same_colour_in_every_chart() -> None:
    [nats, _] = looks(["nats", "relay"])
    assert looks(["mine", "faults", "nats"])[2] == nats


def test_runs_of_a_group_look_alike() -> None:
    assert len(set(looks(["A one", "A two", "B one"]))) == 2
