"""Runs the benchmarks, prints a table and writes JSON: `python -m benchmarks --help`.

Every module of this package that has `run(*, quick)` is one. It returns its figures as dicts with
`name`, `value`, `unit`, `target` (text, None if there is none) and `met` (None if it has no
target), and if a value is a median, `repeats`: what it is the median of. A target that is missed
is said plainly and is no error: the figure depends on the machine, which stands next to it.
"""

from __future__ import annotations

import argparse
import datetime as dt
import importlib
import json
import pkgutil
import subprocess
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
from tests.support.checkout import CHECKOUT, SCRIPTS

import benchmarks
from fpaas.probe import host_facts

Result = dict[str, Any]
RESULTS = CHECKOUT / "benchmarks" / "results"
#: The columns that a module must fill.
FIELDS = ("name", "value", "unit", "target", "met")


def discover() -> dict[str, ModuleType]:
    """Find this package's modules that have `run`, by name."""
    found = {}
    for module in pkgutil.iter_modules(benchmarks.__path__):
        if not module.name.startswith("_"):
            imported = importlib.import_module(f"{benchmarks.__name__}.{module.name}")
            if hasattr(imported, "run"):
                found[module.name] = imported
    return found


def number(value: float | None) -> str:
    """Write a figure for people: three significant digits, and no fewer than it has before its dot.

    >>> [number(value) for value in (0.01234, 12.345, 12345.6, 3, None)]
    ['0.0123', '12.3', '12 346', '3', '-']
    """
    if value is None:
        return "-"
    if isinstance(value, int) or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def table(results: Sequence[Result]) -> str:
    """Lay results out in aligned columns: name, value and unit, target, met."""
    met = {True: "yes", False: "NO", None: "-"}
    rows = [("benchmark", "value", "", "target", "met")]
    rows += [
        (
            f"{result['benchmark']}: {result['name']}",
            number(result["value"]),
            result["unit"],
            str(result["target"] or "-"),
            met[result["met"]],
        )
        for result in results
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        f"{name:<{widths[0]}}  {value:>{widths[1]}} {unit:<{widths[2]}}  "
        f"{target:<{widths[3]}}  {met}"
        for name, value, unit, target, met in rows
    ]
    lines.insert(1, "-" * max(len(line) for line in lines))
    return "\n".join(lines)


def commit() -> dict[str, Any]:
    """Tell which source was measured; None if this is no git checkout."""

    def git(*arguments: str) -> str | None:
        done = subprocess.run(
            ["git", "-C", str(CHECKOUT), *arguments], capture_output=True, text=True, check=False
        )
        return done.stdout.strip() if done.returncode == 0 else None

    changes = git("status", "--porcelain", "--untracked-files=no")
    return {
        "commit": git("rev-parse", "HEAD"),
        "modified": None if changes is None else bool(changes),
    }


def run_all(modules: dict[str, ModuleType], *, quick: bool) -> tuple[list[Result], dict[str, str]]:
    """Run benchmarks one after the other; returns results, and the errors of those that failed."""
    results: list[Result] = []
    errors = {}
    for name, module in modules.items():
        print(f"benchmarking {name} …", file=sys.stderr, flush=True)
        try:
            for result in module.run(quick=quick):
                missing = [field for field in FIELDS if field not in result]
                if missing:
                    raise ValueError(f"a result lacks {', '.join(missing)}: {result}")
                results.append({"benchmark": name, **result})
        except Exception as error:  # noqa: BLE001  the others' figures are worth having
            traceback.print_exc()
            errors[name] = f"{type(error).__name__}: {error}"
    return results, errors


def parse(arguments: Sequence[str], names: Sequence[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="Measure speed and memory, side by side."
    )
    parser.add_argument("--quick", action="store_true", help="fewer repeats, shorter loads")
    parser.add_argument(
        "--only", nargs="+", choices=names, metavar="NAME", help=f"of {', '.join(names)}"
    )
    parser.add_argument(
        "--output",
        type=Path,
        metavar="FILE.json",
        help="write the results there (default: benchmarks/results/<UTC time>.json)",
    )
    return parser.parse_args(arguments)


def main(arguments: Sequence[str]) -> int:
    """Run what was asked for; returns 1 if a benchmark could not be run, 0 otherwise."""
    modules = discover()
    options = parse(arguments, list(modules))
    began = dt.datetime.now(dt.UTC)
    chosen = {name: modules[name] for name in options.only or modules}
    results, errors = run_all(chosen, quick=options.quick)
    print(table(results))
    missed = [result for result in results if result["met"] is False]
    for result in missed:
        print(
            f"MISSED {result['benchmark']}: {result['name']}: {number(result['value'])} "
            f"{result['unit']}, target {result['target']}"
        )
    for name, error in errors.items():
        print(f"ERROR {name}: {error}")
    output = options.output or RESULTS / f"{began:%Y%m%dT%H%M%SZ}.json"
    content = {
        "schema": 1,
        "began": began.isoformat(timespec="seconds"),
        "quick": options.quick,
        "source": commit(),
        "host": msgspec.to_builtins(host_facts.gather(SCRIPTS / "nats-server")),
        "results": results,
        "missed": len(missed),
        "errors": errors,
    }
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(content, indent=2) + "\n")
    print(f"written to {output}")
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
