"""The size of a stream: bytes for a time, at a rate, with replicas. Pure arithmetic.

A message takes its payload and what the server adds to it (subject, headers, record), measured as
the stream's bytes by its messages; the sizes are the server's own account of the stream, so the
memory of a server with a memory stream is more (see `capacity`).
"""

from __future__ import annotations

from typing import Any

from fpaas.plan.capacity import FIREHOSE_MEAN_PER_S

# Measured on the firehose in 2026.
FIREHOSE_PEAKS_PER_S = (1_500.0, 2_000.0)
DURATIONS_S = {"5_min": 300, "24_h": 86_400}
REPLICAS = (1, 3)


def estimate(
    payload_bytes_mean: float | None,
    stream_bytes: int | None,
    stream_messages: int | None,
    measured_per_s: float | None,
) -> dict[str, Any]:
    """Return `storage` of summary.json; None if what a figure follows from was not measured.

    `bytes_5_min_r3` are the bytes of 5 minutes at the row's rate on three replicas together.
    """
    per_message = stream_bytes / stream_messages if stream_bytes and stream_messages else None
    overhead = None
    if per_message is not None and payload_bytes_mean is not None:
        overhead = per_message - payload_bytes_mean
    rates = [
        ("measured", measured_per_s),
        ("firehose, mean", FIREHOSE_MEAN_PER_S),
        *(("firehose, peak", peak) for peak in FIREHOSE_PEAKS_PER_S),
    ]
    return {
        "payload_bytes_per_message": payload_bytes_mean,
        "stream_bytes_per_message": per_message,
        "overhead_bytes_per_message": overhead,
        "stream_messages": stream_messages,
        "rates": [
            {"rate": name, "per_s": per_s, **_bytes(per_message, per_s)} for name, per_s in rates
        ],
    }


def _bytes(per_message: float | None, per_s: float | None) -> dict[str, int | None]:
    return {
        f"bytes_{name}_r{replicas}": None
        if per_message is None or per_s is None
        else round(per_message * per_s * duration_s * replicas)
        for name, duration_s in DURATIONS_S.items()
        for replicas in REPLICAS
    }
