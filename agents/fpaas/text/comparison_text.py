"""A comparison, or the noise floor of repeats, as text, Markdown and JSON. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from fpaas.agreement import count_of
from fpaas.digits import significant
from fpaas.latency.lower_bounds import MARK
from fpaas.summary.comparison import NOT_RECORDED, RATIO_DIGITS, TOO_FEW, Comparison, Row, Sample

#: Name → (values in A, values in B).
Differing = Mapping[str, tuple[list[str], list[str]]]
HEADS = ("figure", "A (median)", "B (median)", "B/A", "noise floor", "difference")
NOT_KNOWN = "not known (needs 4 runs)"
NOT_KNOWN_OPEN = "not known (calls without answer)"


@dataclass(frozen=True)
class Caution:
    """What a reader must know before any figure: runs not to be trusted, and unlike conditions."""

    warnings: list[str] = field(default_factory=list)
    differing: Differing = field(default_factory=dict)


def compared(comparison: Comparison, caution: Caution, style: str, *, everything: bool) -> str:
    """Write A beside B; `style` is text, markdown or json.

    What did not change is shown if `everything` is, and in JSON.
    """
    if style == "json":
        content = {
            "warnings": caution.warnings,
            "differing": _differing(caution.differing),
            "figures": [_row(row) for row in comparison.rows],
            "left_out": comparison.left_out,
        }
        return json.dumps(content, indent=2)
    shown = [row for row in comparison.rows if everything or row.changed]
    table = [HEADS, *(cells(row) for row in shown)]
    hidden = len(comparison.rows) - len(shown)
    text = _page(table if shown else [], comparison.left_out, caution, style)
    if hidden:
        same = count_of(hidden, "figure|figures")
        text += f"\n\n{same} did not change detectably; --all shows them"
    return text.lstrip("\n")


def cells(row: Row) -> tuple[str, ...]:
    """Write a row's cells, under HEADS."""
    return (
        row.figure,
        median(row.before),
        median(row.after),
        ratio(row),
        _floor(row.noise_floor),
        judgement(row),
    )


def ratio(row: Row) -> str:
    """Write B / A; empty if it is not known."""
    if row.ratio is None:
        return ""
    least = MARK if row.after.lower_bounds else ""
    return f"{least}{row.ratio:.{RATIO_DIGITS}f}"


def _row(row: Row) -> dict[str, Any]:
    return asdict(row) | {
        "ratio": row.ratio,
        "significant": row.significant,
        "changed": row.changed,
    }


def floors(
    samples: Mapping[str, Sample], left_out: Mapping[str, str], caution: Caution, style: str
) -> str:
    """Write the least difference that repeats could tell, figure by figure."""
    if style == "json":
        content = {
            "warnings": caution.warnings,
            "differing": _differing(caution.differing),
            "noise": {figure: asdict(sample) for figure, sample in samples.items()},
            "left_out": dict(left_out),
        }
        return json.dumps(content, indent=2)
    head = ("figure", "median", "noise floor", "of the median")
    table = [
        (figure, median(sample), _known_floor(sample), _share(sample))
        for figure, sample in samples.items()
    ]
    return _page([head, *table], left_out, caution, style)


def _differing(differing: Differing) -> dict[str, dict[str, list[str | None]]]:
    def known(values: list[str]) -> list[str | None]:
        return [None if one == NOT_RECORDED else one for one in values]

    return {name: {"a": known(old), "b": known(new)} for name, (old, new) in differing.items()}


def _both(old: list[str], new: list[str], between: str, arrow: str) -> str:
    """Write what differs; once if both groups have the same mixture, or are the same."""
    return between.join(old) if old == new else between.join(old) + arrow + between.join(new)


def judgement(row: Row) -> str:
    """Say whether the difference counts, `~` if not, and why not."""
    if row.why_not == TOO_FEW:
        return f"~ ({TOO_FEW})"
    if row.why_not is not None:
        return f"~ ({row.why_not}, p={row.p_value:.3f})"
    change = "from 0" if row.change_pct is None else f"{row.change_pct:+.1f} %"
    least = "at least " if row.after.lower_bounds else ""
    return f"{least}{change} {'worse' if row.worse else 'better'} (p={row.p_value:.3f})"


def median(sample: Sample) -> str:
    """Write a median with its interval."""
    if sample.lower_bounds:
        return f"{MARK}{sample.median:.6g}"
    if sample.confidence is None:
        return f"{sample.median:.6g}"
    few = f"; {100 * sample.confidence:.0f} %" if sample.confidence < 0.95 else ""
    return f"{sample.median:.6g} [{sample.low:.6g}, {sample.high:.6g}{few}]"


def _floor(floor: float | None) -> str:
    return "" if floor is None else significant(floor)


def _known_floor(sample: Sample) -> str:
    if sample.lower_bounds:
        return NOT_KNOWN_OPEN
    return _floor(sample.noise_floor) or NOT_KNOWN


def _share(sample: Sample) -> str:
    if sample.noise_floor is None or not sample.median:
        return ""
    return f"{abs(100 * sample.noise_floor / sample.median):.1f} %"


def _page(
    table: Sequence[Sequence[str]],
    left_out: Mapping[str, str],
    caution: Caution,
    style: str,
) -> str:
    return (_markdown if style == "markdown" else _text)(table, left_out, caution)


def _text(table: Sequence[Sequence[str]], left_out: Mapping[str, str], caution: Caution) -> str:
    lines = [f"!! {warning}" for warning in caution.warnings]
    if caution.differing:
        lines.append("!! These runs differ in more than chance:")
        lines += [
            f"!!   {name}: {_both(old, new, ' | ', '  ->  ')}"
            for name, (old, new) in caution.differing.items()
        ]
    lines += [""] * bool(lines)
    # Columns in which nothing stands take room for nothing.
    columns = [column for column in zip(*table, strict=True) if any(column[1:])]
    widths = [max(map(len, column)) for column in columns]
    lines += [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in zip(*columns, strict=True)
    ]
    lines += [""] * bool(left_out)
    lines += [f"left out: {figure}: {why}" for figure, why in left_out.items()]
    return "\n".join(lines)


def _markdown(table: Sequence[Sequence[str]], left_out: Mapping[str, str], caution: Caution) -> str:
    lines = [f"**{warning}**\n" for warning in caution.warnings]
    if caution.differing:
        lines.append("**These runs differ in more than chance:**\n")
        lines += [
            f"- `{name}`: {_both(old, new, ', ', ' → ')}"
            for name, (old, new) in caution.differing.items()
        ]
        lines.append("")
    head, *body = table or [HEADS]
    lines.append("| " + " | ".join(head) + " |")
    lines.append("|---|" + "---:|" * (len(head) - 2) + "---|")
    lines += ["| " + " | ".join(line) + " |" for line in body]
    lines += [""] * bool(left_out)
    lines += [f"- left out: `{figure}`: {why}" for figure, why in left_out.items()]
    return "\n".join(lines)
