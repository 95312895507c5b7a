"""What was never delivered counts in ages with how old it was in the end."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from fpaas.bundle.loader import load_bundle
from fpaas.ledger.deliveries import OwedSeqs
from fpaas.ledger.undelivered import Missing
from fpaas.measures.figures import leg_of_counts_ms
from fpaas.measures.intervals import IntervalSet
from fpaas.summary import summary
from tests.support.raw_run import RawRun

STORED = 30
SECOND_NS = 1_000_000_000

seqs = st.sets(st.integers(1, STORED))
owed_listed = st.one_of(st.none(), seqs.map(sorted))


@given(st.lists(st.tuples(owed_listed, seqs), max_size=4), st.lists(st.integers(0, STORED)))
def test_ages_are_those_of_each_delivery_that_was_not_made(
    durables: list[tuple[list[int] | None, set[int]]], stored_by_second: list[int]
) -> None:
    stored_at = [(second * SECOND_NS, seq) for second, seq in enumerate(sorted(stored_by_second))]
    stored_at = [(0, 0), *stored_at]
    end_ns = (len(stored_at) + 5) * SECOND_NS
    owed, received = {}, {}
    expected: Counter[int] = Counter()
    for number, (listed, got) in enumerate(durables):
        owed[str(number)] = OwedSeqs(STORED, listed)
        received[str(number)] = IntervalSet()
        for seq in sorted(got):
            received[str(number)].add(seq)
        for seq in {*(listed if listed is not None else range(1, STORED + 1))} - got:
            at_ns = next((at for at, last in stored_at if last >= seq), None)
            if at_ns is not None:
                expected[(end_ns - at_ns) // 1000] += 1
    assert Missing(owed, received).ages_us(stored_at, end_ns) == expected


def test_percentiles_are_lower_bounds_by_what_nobody_fetched() -> None:
    found = leg_of_counts_ms({10: 90}, 10, 0.0, open_counts={5: 1, 300: 9})
    assert found["count"] == 90
    assert found["p50"] == 1.0
    assert found["p99"] == 30.0
    assert found["at_least"] == {"min": 1.0, "p99": None, "p999": None, "max": None}


def test_a_run_whose_consumers_missed_most_has_no_percentile_of_the_rest(tmp_path: Path) -> None:
    run = RawRun()
    directory = run.write(tmp_path / "run", sealed=False)
    run.file_by_beginning()
    bundle = load_bundle(directory)
    leg = summary.analyse(bundle)["latency_ms"]["publish_to_fetch"]
    owed = len(run.stored_ns) * run.spec.consumers.count
    assert leg["missing_count"] == owed - run.truth.delivered
    assert leg["missing_min_ms"] < leg["p50"] < leg["p99"]
    assert set(leg["at_least"]) >= {"p50", "p99", "max"}
