"""`metrics.json`: what Prometheus had of a run, which is beside it."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from fpaas.spec.described import doc

NAME = "metrics.json"
#: A directory of TSDB blocks.
BLOCKS = "metrics"
#: OpenMetrics text.
TEXT = "metrics.om.gz"
#: To the end of the year 9999, which is the last that a date can have.
_UnixS = Annotated[float, Meta(ge=0, lt=253_402_300_800)]


class KeptMetrics(msgspec.Struct, kw_only=True, frozen=True):
    """Written on the monitoring host if `bench_keep_metrics` is true."""

    from_unix_s: Annotated[_UnixS, doc("by the clock of Prometheus' host, as its samples are")]
    to_unix_s: Annotated[_UnixS, doc("end of the time range")]
    blocks: Annotated[list[str], doc("in metrics/; they may have samples of other runs, too")]
    series: Annotated[int, doc("in metrics.om.gz")]
    samples: Annotated[int, doc("how many")]
