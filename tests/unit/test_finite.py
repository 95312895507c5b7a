"""Numbers of the command line: nan and infinity are none, nor is what only Python reads."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from fpaas.cli import main


@pytest.mark.parametrize("number", ["nan", "inf", "-inf", "NaN"])
@pytest.mark.parametrize(
    "arguments",
    [
        ["relay", "--rate-per-s"],
        ["relay", "--duration-s"],
        ["relay", "--speed"],
        ["record", "ws://127.0.0.1:1", "out.bin", "--max-seconds"],
        ["size", "--poll"],
        ["report", ".", "--warmup-s"],
    ],
    ids=" ".join,
)
def test_what_is_no_finite_number_is_refused(arguments: list[str], number: str) -> None:
    result = CliRunner().invoke(main, [*arguments, number])
    assert result.exit_code == 2
    assert arguments[-1] in result.output
    assert "is not a finite number" in result.output or "is not in the range" in result.output


@pytest.mark.parametrize("number", ["1_000", "\u0661\u0660"])
@pytest.mark.parametrize(
    "arguments", [["relay", "--speed"], ["relay", "--seed"], ["size", "--poll"]], ids=" ".join
)
def test_a_number_is_written_plainly(arguments: list[str], number: str) -> None:
    result = CliRunner().invoke(main, [*arguments, number])
    assert result.exit_code == 2
    assert arguments[-1] in result.output
    assert "number" in result.output
