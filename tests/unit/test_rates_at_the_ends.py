"""Rates of a window, if something stood still just when it began or ended."""

from __future__ import annotations

from pathlib import Path

import pytest

from fpaas.bundle.bundle import Bundle
from fpaas.bundle.loader import load_bundle
from fpaas.records.events import AGENT_PAUSED, EventRecord
from fpaas.records.summary import Throughput
from fpaas.spec import NS_PER_S
from fpaas.summary import summary
from tests.support.raw_run import RawRun

RATE_PER_S = 100.0


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return load_bundle(RawRun().write(tmp_path / "run"))


def rates(bundle: Bundle) -> Throughput:
    return Throughput(**summary.analyse(bundle)["throughput"])


def test_a_relay_that_stood_still_at_the_end_has_offered_what_was_due(bundle: Bundle) -> None:
    (part,) = bundle.parts("relay")
    until_ns = bundle.spec.offer_until_unix_ns
    kept = [one for one in part.relay_samples if one.unix_ns < until_ns - NS_PER_S // 2]
    part.relay_samples[:] = [*kept, part.relay_samples[-1]]
    assert rates(bundle).offered_per_s == pytest.approx(RATE_PER_S, rel=0.005)


@pytest.mark.parametrize(("until_s", "is_known"), [(1.2, False), (0.1, True)])
def test_nobody_knows_what_a_shuffler_had_published_that_stood_still_at_the_end(
    bundle: Bundle, until_s: float, *, is_known: bool
) -> None:
    (part,) = bundle.parts("shuffler")
    until_ns = bundle.spec.offer_until_unix_ns
    begin_ns, end_ns = until_ns - NS_PER_S // 10, until_ns + round(until_s * NS_PER_S)
    part.events["shuffler"] = [
        EventRecord(kind=AGENT_PAUSED, begin_unix_ns=begin_ns, end_unix_ns=end_ns)
    ]
    assert (rates(bundle).published_per_s is not None) is is_known
