"""When messages were stored, and until when they could be fetched."""

from __future__ import annotations

from fpaas.bundle.bundle import Bundle


def stored_at(bundle: Bundle, stream: int) -> list[tuple[int, int]]:
    """Tell what a stream had by when, as (time, last stream sequence): good enough to cut by.

    `stream` is the number of one that was lost, or of one of several. By the shuffler's samples,
    the seconds among them in which nothing was stored.
    """
    is_split = bundle.spec.stream.is_split
    for part in bundle.parts("shuffler"):
        stored = [
            (sample.unix_ns, seq)
            for sample in part.shuffler_samples
            if is_split or sample.stream == stream
            if (seq := sample.last_seq_of(stream if is_split else None)) is not None
        ]
        if stored:
            t0_unix_ns = bundle.spec.t0_unix_ns
            began_unix_ns = max(
                [
                    t0_unix_ns,
                    *(
                        sample.unix_ns
                        for sample in part.shuffler_samples
                        if not is_split and sample.stream < stream
                    ),
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
