from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fpaas.spec import SpecError
from fpaas.sweep import grid

KNOWN = ("nats_tls", "relay_port")


def test_the_first_variable_changes_fastest() -> None:
    points = grid.expand({"bench_consumers": [10, 50, 100], "bench_poll_interval_s": [5, 30]}, ())
    assert [grid.label(point) for point in points[:4]] == [
        "bench_consumers=10 bench_poll_interval_s=5",
        "bench_consumers=50 bench_poll_interval_s=5",
        "bench_consumers=100 bench_poll_interval_s=5",
        "bench_consumers=10 bench_poll_interval_s=30",
    ]


@given(
    st.fixed_dictionaries(
        {
            "bench_consumers": st.lists(
                st.integers(1, 10_000), min_size=1, max_size=6, unique=True
            ),
            "bench_batch_size": st.lists(st.integers(1, 999), min_size=1, max_size=4, unique=True),
            "bench_fetch": st.lists(st.sampled_from(["once", "drain"]), min_size=1, unique=True),
        }
    )
)
def test_every_combination_is_one_point(axes: dict[str, list[Any]]) -> None:
    points = grid.expand(axes, ())
    assert len(points) == math.prod(map(len, axes.values()))
    assert len({grid.label(point) for point in points}) == len(points)
    for name, values in axes.items():
        assert {point[name] for point in points} == set(values)
    # As text, which is what -e name=value gives, it is the same grid.
    assert grid.expand(json.dumps(axes), ()) == points


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({}, "sweep_grid: {} is not allowed; expected an object of lists"),
        ([], "expected an object of lists"),
        (None, "expected an object of lists"),
        ("10,50", "expected an object of lists"),
        ("{", "is not JSON"),
        ({"bench_consumers": 5}, "bench_consumers: 5 is not allowed; expected a list"),
        ({"bench_consumers": "5"}, 'bench_consumers: "5" is not allowed; expected a list'),
        ({"bench_consumers": []}, "bench_consumers: has no value"),
        ({"bench_consumers": [0]}, "bench_consumers: 0 is not allowed; allowed: a whole number"),
        ({"bench_consumers": [True]}, "bench_consumers: True is not allowed"),
        ({"bench_consumers": [None]}, "bench_consumers: None is not allowed"),
        ({"bench_consumers": [[10]]}, "bench_consumers: [10] is not allowed"),
        ({"bench_consumers": [10, "10.0"]}, "bench_consumers: 10 is there twice"),
        ({"bench_poll_interval_s": [5, 5.0]}, "bench_poll_interval_s: 5 is there twice"),
        ({"bench_consumer": [1]}, "did you mean bench_consumers?"),
        ({"nats_tsl": [True]}, "did you mean nats_tls?"),
        ({"relay_port": [{}]}, "relay_port: {} is not allowed; expected a single value"),
        ({"bench_repeat": [1, 2]}, "bench_repeat cannot be swept"),
        ({"results_dir": ["/a", "/b"]}, "results_dir cannot be swept"),
        ({"bench_consumers": list(range(1, 1002))}, "has 1001 points; allowed: at most 1000"),
    ],
)
def test_what_is_wrong_is_named(wrong: object, message: str) -> None:
    with pytest.raises(SpecError, match="sweep_grid") as raised:
        grid.expand(wrong, KNOWN)
    assert message in str(raised.value)


def test_variables_that_are_none_of_the_load_are_taken_as_they_are() -> None:
    assert grid.expand({"nats_tls": [True, False]}, KNOWN) == [
        {"nats_tls": True},
        {"nats_tls": False},
    ]


def test_the_same_command_has_the_same_name() -> None:
    one = grid.identity("sweep", [{"bench_consumers": [1, 2]}, {"bench_seed": 1}])
    assert one == grid.identity("sweep", [{"bench_consumers": [1, 2]}, {"bench_seed": 1}])
    assert one != grid.identity("sweep", [{"bench_consumers": [2, 1]}, {"bench_seed": 1}])
    assert one.startswith("sweep-")
