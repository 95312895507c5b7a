"""Writes docs/results/scenarios.md: `python -m tools.scenario_results results/<run-id> …`.

The runs' summary.json is kept beside it, so that a test can hold the page against them; without
runs, the page is made of what is kept.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).resolve().parents[1] / "docs" / "results"
SUMMARIES = RESULTS / "scenarios"
CONDITIONS = SUMMARIES / "conditions.json"
PAGE = RESULTS / "scenarios.md"
HEAD = """# Scenarios, measured

<!-- Made by `python -m tools.scenario_results` from runs; a test holds them in step. -->

Each scenario once at its full length, on the embedded lab: relay, shuffler, nats-server and
consumers on one machine. So these are figures of a small machine that does everything, not of a
cluster. The runs' summaries are the files `docs/results/scenarios/scenario-N.json`;
[Reading a report](../reading-a-report.md) explains the figures."""
BELOW = """Rates are messages a second. Each consumer is owed every message. What limited each
run, as its report says:"""
AGENTS = ("relay", "shuffler", "consumers")
FIGURES = (
    *("verdict", "consumers", "poll", "batch", "offered", "published", "processed"),
    *("written → acked p50; p99", "pull → answered p50; p99", "NATS CPU", "NATS memory"),
    *("agents CPU", "owed", "delivered", "unexplained"),
)


def keep(run_directories: Sequence[Path]) -> None:
    """Keep the summaries of runs, their loads, and the conditions of the first."""
    SUMMARIES.mkdir(parents=True, exist_ok=True)
    loads = {}
    for directory in run_directories:
        summary, run = _read(directory / "summary.json"), _read(directory / "run.json")
        _write(SUMMARIES / f"{summary['scenario']}.json", summary)
        names = ("count", "poll_interval_s", "batch_size")
        loads[summary["scenario"]] = {name: run["consumers"][name] for name in names}
    _write(CONDITIONS, {"loads": loads, "conditions": _conditions(run_directories[0])})


def page() -> str:
    """Return the page's text, of the summaries that are kept."""
    paths = sorted(path for path in SUMMARIES.glob("*.json") if path != CONDITIONS)
    summaries = {path.stem: _read(path) for path in paths}
    kept = _read(CONDITIONS)
    rows = [_figures(kept["loads"][name], summary) for name, summary in summaries.items()]
    limits = [
        f"- {name}: {summary['limited_by']['sentence']}" for name, summary in summaries.items()
    ]
    return (
        "\n\n".join(
            [
                HEAD,
                # Scenarios side by side: their figures are too many for columns.
                _table(("figure", *summaries), list(zip(FIGURES, *rows, strict=True))),
                BELOW,
                "\n".join(limits),
                _table(("condition", "value"), list(kept["conditions"].items())),
            ]
        )
        + "\n"
    )


def _figures(load: Mapping[str, float], summary: Mapping[str, Any]) -> list[str]:
    rates, ledger = summary["throughput"], summary["ledger"]
    processes = summary["resources"]["processes"]
    return [
        summary["verdict"]["status"],
        f"{load['count']:,}",
        f"{load['poll_interval_s']:g} s",
        f"{load['batch_size']:,}",
        *(f"{rates[f'{what}_per_s']:,.1f}" for what in ("offered", "published", "processed")),
        _tail(summary["latency_ms"]["publish_ack"]),
        _tail(summary["latency_ms"]["fetch_call"]),
        f"{processes['nats']['cpu_pct']['mean']:.1f} %",
        f"{processes['nats']['rss_mb']['max']:,.0f} MB",
        f"{sum(processes[one]['cpu_pct']['mean'] for one in AGENTS):.1f} %",
        *(f"{ledger[what]:,}" for what in ("owed", "delivered", "unexplained")),
    ]


def _tail(leg: Mapping[str, Any]) -> str:
    marks = leg["at_least"] or {}
    return "; ".join(f"{'≥ ' * (one in marks)}{leg[one]:.1f}" for one in ("p50", "p99")) + " ms"


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _conditions(directory: Path) -> dict[str, str]:
    manifest, run = _read(directory / "manifest.json"), _read(directory / "run.json")
    ((name, host),) = manifest["hosts"].items()
    server = _read(directory / "hosts" / name / "probe.final.json")["server"]
    return {
        "machine": f"{host['cpu_model']}, {host['cpu_count']} cores, "
        f"{host['mem_total_mb'] / 1000:.0f} GB",
        "system": f"{host['os']}, Linux {host['kernel'].partition('-')[0]}",
        "versions": f"lab at {manifest['git_commit'][:7]}, Python {host['python']}, "
        f"nats-server {server['version']}",
        "reports": f"made from the runs' files by the lab at {_head()}",
        "length": f"{run['warmup_s']:g} s of warm-up, {run['measure_s']:g} s measured, "
        f"{run['drain_s']:g} s of drain",
    }


def _head() -> str:
    asked = ("git", "rev-parse", "--short=7", "HEAD")
    asked_git = subprocess.run(asked, check=True, capture_output=True, text=True)  # noqa: S603
    return asked_git.stdout.strip()


def _read(path: Path) -> Any:  # noqa: ANN401
    return json.loads(path.read_text())


def _write(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    if sys.argv[1:]:
        keep([Path(argument) for argument in sys.argv[1:]])
    PAGE.write_text(page())
