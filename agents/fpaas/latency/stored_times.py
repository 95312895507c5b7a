"""When messages were stored, and until when they could be fetched."""

from __future__ import annotations

from fpaas.bundle.bundle import Bundle
from fpaas.bundle.parts import cumulative


def stored_at(bundle: Bundle, stream: int) -> list[tuple[int, int]]:
    """Tell what a stream had by when, as (time, last stream sequence): good enough to cut by.

    By the shuffler's samples, the seconds among them in which nothing was stored.
    """
    for part in bundle.parts("shuffler"):
        samples = cumulative(
            [sample for sample in part.shuffler_samples if sample.stream == stream],
            "last_stream_seq",
        )
        stored = [(unix_ns, int(seq)) for unix_ns, seq in samples]
        if stored:
            t0_unix_ns = bundle.spec.t0_unix_ns
            began_unix_ns = max(
                [
                    t0_unix_ns,
                    *(sample.unix_ns for sample in part.shuffler_samples if sample.stream < stream),
                ]
            )
            return [(began_unix_ns, 0), *(one for one in stored if one[0] > began_unix_ns)]
    return []


def polled_until_unix_ns(bundle: Bundle) -> int:
    """Return until when each consumer polled at least: a run may end early."""
    last = (
        worker.samples[-1].unix_ns
        for _, worker in bundle.workers
        if worker.samples and worker.gone_on_unix_ns is None
    )
    return min([bundle.spec.end_unix_ns, *last])
