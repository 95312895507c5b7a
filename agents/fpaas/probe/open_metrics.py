"""Prometheus' samples as OpenMetrics text, to load them elsewhere. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

#: Series of other types would have to be told point by point.
_TYPED = ("counter", "gauge")
#: Ends the last family.
EOF = "# EOF\n"


def family(name: str, kind: str, series: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """Yield the lines of one metric.

    `series` are of `/api/v1/query` (a matrix): `metric`, labels with `__name__`, and `values`,
    pairs of seconds and text. `kind` is Prometheus' type of it, `unknown` if it has none.

    >>> one = {"metric": {"__name__": "up", "job": "a"}, "values": [[1.5, "1"]]}
    >>> "".join(family("up", "gauge", [one]))
    '# TYPE up gauge\\nup{job="a"} 1 1.500\\n'
    """
    typed = kind if kind in _TYPED else "unknown"
    if typed == "counter" and not name.endswith("_total"):
        typed = "unknown"
    yield f"# TYPE {name.removesuffix('_total') if typed == 'counter' else name} {typed}\n"
    for one in series:
        labels = _labels(one["metric"])
        for unix_s, value in one["values"]:
            yield f"{name}{labels} {value} {float(unix_s):.3f}\n"


def _labels(metric: Mapping[str, str]) -> str:
    pairs: Sequence[str] = [
        f'{name}="{_escaped(value)}"'
        for name, value in sorted(metric.items())
        if name != "__name__"
    ]
    return "{" + ",".join(pairs) + "}" if pairs else ""


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
