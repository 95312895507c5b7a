"""How many digits of a number are written."""

from __future__ import annotations

import pytest

from fpaas import digits


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (999.6, "1,000"),
        (99.96, "100"),
        (1e7, "10,000,000"),
        (0, "0"),
        (0.5, "0.5"),
        (-2e-5, "-0.0000200"),
    ],
)
def test_no_number_is_written_as_a_power(value: float, written: str) -> None:
    assert digits.significant(value) == written
