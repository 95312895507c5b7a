"""How the relay behaved: silence, falling behind, gaps, renumbering, repeats."""

from __future__ import annotations

import math
from itertools import pairwise
from statistics import median

from fpaas.bundle import relay_silence
from fpaas.bundle.bundle import Bundle
from fpaas.bundle.relay_silence import Silences
from fpaas.measures.figures import Window
from fpaas.records.accounts import Relay, RelayGap
from fpaas.records.shuffler import ShufflerSample
from fpaas.spec import NS_PER_S

#: A relay further behind than this does not claim to be live: it plays what was recorded once.
LIVE_WITHIN_S = 86_400.0
#: Fewer samples of lag than this show no trend.
SAMPLES_MIN = 6
GAPS_LISTED_MAX = 100


def account(bundle: Bundle, window: Window) -> Relay:
    """Return the section `relay` of summary.json; figures are None if they were not measured."""
    shuffler, t0_unix_ns = bundle.shuffler, bundle.spec.t0_unix_ns
    silences = relay_silence.find(bundle, window)
    is_known = shuffler is not None and shuffler.quiet is not None
    gaps = shuffler.gaps if shuffler is not None and is_known else None
    return Relay(
        foreign=bundle.spec.firehose.rate_per_s is None,
        silent_s=_silent_s(silences),
        lag_s=_lag_s(bundle, window),
        lag_growth_s=_lag_growth_s(bundle, window),
        timed_pct=_timed_pct(bundle, window) if is_known else None,
        gaps=None
        if gaps is None
        else [
            RelayGap(
                after_seq=gap.after_seq,
                missing=gap.missing,
                at_s=(gap.at_unix_ns - t0_unix_ns) / NS_PER_S,
                cause=gap.cause,
            )
            for gap in gaps[:GAPS_LISTED_MAX]
        ],
        gap_count=shuffler.gap_count if shuffler is not None and is_known else None,
        missing=None
        if gaps is None
        or not (shuffler is not None and shuffler.numbers_densely)
        or any(gap.missing is None for gap in gaps)
        else sum(gap.missing or 0 for gap in gaps),
        jumps=shuffler.jumps if shuffler is not None else None,
        jumped_seqs=shuffler.jumped_seqs if shuffler is not None else None,
        seq_resets=shuffler.seq_resets if shuffler is not None and is_known else None,
        read=shuffler.read.total if shuffler is not None else None,
        reread=shuffler.reread if shuffler is not None else None,
        ignored=shuffler.ignored if shuffler is not None else None,
        undecodable=shuffler.undecodable if shuffler is not None else None,
        undecodable_once=shuffler.undecodable_once if shuffler is not None else None,
    )


def is_recorded(lag_s: float | None) -> bool:
    """Whether a relay so far behind plays what was recorded once, at whatever speed."""
    return abs(lag_s or 0.0) > LIVE_WITHIN_S


def _silent_s(silences: Silences | None) -> dict[str, float | None]:
    if silences is None:
        names = ("total", "longest", "unasked_total", "unasked_longest", "counted_from")
        return dict.fromkeys(names)
    lengths_s = silences.lengths_s(silences.stretches)
    unasked_s = silences.lengths_s(silences.unasked)
    return {
        "total": sum(lengths_s),
        "longest": max(lengths_s, default=0.0),
        "unasked_total": sum(unasked_s),
        "unasked_longest": max(unasked_s, default=0.0),
        "counted_from": silences.least_s,
    }


def _lag_growth_s(bundle: Bundle, window: Window) -> float | None:
    """Return the most by which a live relay fell behind real time in a window.

    An offset that stays is none: clocks differ, and a relay that is read from far back catches up.
    Our relay's frames have their own times; its lateness is measured by when they are due. While
    the stream took no more, the shuffler was late and not the relay.
    """
    samples = _samples_of_lag(bundle, window)
    third = len(samples) // 3
    if len(samples) < SAMPLES_MIN or abs(_median_lag_s(samples[:third])) > LIVE_WITHIN_S:
        return None
    grown_s, least_s, least_paused_s = 0.0, math.inf, 0.0
    # One event whose time is wrong is no lag, so two samples in a row have to say it.
    for before, sample in pairwise(samples):
        lags_s = [one.lag_s for one in (before, sample) if one.lag_s is not None]
        own_s = before.reading_paused_s - least_paused_s
        grown_s = max(grown_s, min(lags_s) - least_s - own_s)
        if max(lags_s) < least_s:
            least_s, least_paused_s = max(lags_s), sample.reading_paused_s
    return grown_s


def _lag_s(bundle: Bundle, window: Window) -> float | None:
    samples = _samples_of_lag(bundle, window)
    return _median_lag_s(samples) if samples else None


def _timed_pct(bundle: Bundle, window: Window) -> float | None:
    """Return in how many samples with new events of a foreign relay their time could be read."""
    if bundle.spec.firehose.rate_per_s is not None:
        return None
    are_timed = [
        sample.lag_s is not None
        for part in bundle.parts("shuffler")
        for before, sample in pairwise(part.shuffler_samples)
        if sample.unix_ns in window and sample.read > before.read
    ]
    return 100 * sum(are_timed) / len(are_timed) if are_timed else None


def _samples_of_lag(bundle: Bundle, window: Window) -> list[ShufflerSample]:
    """Return the samples in a window that say how late a foreign relay's events were read."""
    if bundle.spec.firehose.rate_per_s is not None:
        return []
    return [
        sample
        for part in bundle.parts("shuffler")
        for sample in part.shuffler_samples
        if sample.unix_ns in window and sample.lag_s is not None
    ]


def _median_lag_s(samples: list[ShufflerSample]) -> float:
    return median(sample.lag_s for sample in samples if sample.lag_s is not None)
