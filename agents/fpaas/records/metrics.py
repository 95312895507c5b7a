"""`metrics.json`: what Prometheus had of a run, which is beside it."""

from __future__ import annotations

from typing import Annotated

import msgspec

from fpaas.records.fields import doc

NAME = "metrics.json"
#: A directory of TSDB blocks.
BLOCKS = "metrics"
#: OpenMetrics text.
TEXT = "metrics.om.gz"


class KeptMetrics(msgspec.Struct, kw_only=True, frozen=True):
    """Written on the monitoring host if `bench_keep_metrics` is true."""

    from_unix_s: Annotated[float, doc("by the clock of Prometheus' host, as its samples are")]
    to_unix_s: float
    blocks: Annotated[list[str], doc("in metrics/; they may have samples of other runs, too")]
    series: Annotated[int, doc("in metrics.om.gz")]
    samples: int
