"""Bad bytes: every corpus, what Hypothesis makes of it, and some seconds of plain mutations."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.__main__ import CORPUS, NAMES
from tests.fuzz.targets import TARGETS
from tests.support.checkout import CHECKOUT

SECONDS = 18


def test_each_target_has_a_corpus_of_small_inputs() -> None:
    assert sorted(TARGETS) == NAMES
    sizes = [path.stat().st_size for path in CORPUS.rglob("*") if path.is_file()]
    assert max(sizes) < 32_000
    assert sum(sizes) < 300_000


@pytest.mark.parametrize("name", NAMES)
def test_corpus(name: str) -> None:
    for path in sorted((CORPUS / name).iterdir()):
        TARGETS[name](path.read_bytes())


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_damaged_corpus(name: str, data: st.DataObject) -> None:
    inputs = [path.read_bytes() for path in sorted((CORPUS / name).iterdir())]
    raw = data.draw(st.sampled_from(inputs))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(raw)))
        to = data.draw(st.integers(at, min(len(raw), at + 20)))
        raw = raw[:at] + data.draw(st.binary(max_size=12)) + raw[to:]
    TARGETS[name](raw)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(raw=st.binary(max_size=300))
def test_any_bytes(name: str, raw: bytes) -> None:
    TARGETS[name](raw)


def test_mutations() -> None:
    command = (
        *(sys.executable, "-m", "tests.fuzz"),
        *("--engine", "plain"),
        f"--seconds={SECONDS}",
    )
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=CHECKOUT)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "found something in none" in done.stdout
