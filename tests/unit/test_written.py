"""Numbers as people see them."""

from __future__ import annotations

import pytest

from fpaas.report.written import number, with_unit


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (0.000087, "0.0000870"),
        (-0.000087, "-0.0000870"),
        (0.00012, "0.00012"),
        (99.96, "100"),
        (1234567.0, "1,234,567"),
        (0.0, "0"),
        (None, "not measured"),
    ],
)
def test_numbers_are_written_without_exponents(value: float | None, written: str) -> None:
    assert number(value) == written


def test_a_unit_follows() -> None:
    assert with_unit(0.000087, "MB") == "0.0000870 MB"
