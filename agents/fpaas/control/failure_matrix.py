"""Plays all failure playbooks that the hosts can, one after the other, into one table.

Which of them the hosts can play is the run's own preflight to say: what it refuses stands in the
table with its reason. Failures that were played already are not played again.
"""

from __future__ import annotations

import os
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fpaas import utf8_locale
from fpaas.control import play_notes
from fpaas.records import failures, files, manifest, summary
from fpaas.records.accounts import FaultAccount
from fpaas.records.failures import FailureRow, FailureTable
from fpaas.records.files import UnreadableError
from fpaas.records.manifest import Manifest, RunHost
from fpaas.records.summary import Summary
from fpaas.text import fault_text
from fpaas.verdict.code import NOTE

PREFIX = "failure-"
#: Groups of none, of several together, of all hosts alone, in the order in which they are read.
ORDER = (
    "nats-pause",
    "nats-restart",
    "nats-file-restart",
    "nats-leader",
    "backpressure",
    "shuffler-crash",
    "consumer-crash",
    "relay-cut",
    "relay-stuck",
    "partition",
    "slow-link",
    "disk-full",
    "clock-step",
)
HEADS = (
    "failure",
    "verdict",
    "noticed after",
    "recovered after",
    "replayed",
    "redelivered",
    "received twice",
    "lost, and why",
)
TABLE_NAME = "failures.md"


@dataclass(frozen=True)
class Matrix:
    """A table: whatever its runs had in common, and their rows. `results` is where runs are."""

    results: Path
    #: Playbook and options → exit code; what it prints goes to a file.
    play: Callable[[str, Path], int]
    show: Callable[[str], None]
    conditions: dict[str, Any]

    def fill(self, playbooks: Path) -> list[FailureRow]:
        """Play what is missing, and write the table after each. Raises OSError."""
        directory = self.results / "failures"
        directory.mkdir(parents=True, exist_ok=True)
        rows = self._read(directory / failures.NAME)
        for name in names(playbooks):
            if name in rows and self._is_there(rows[name]):
                self.show(f"{name}: played already, {rows[name].run_id}")
                continue
            self.show(f"{name}: …")
            rows[name] = self._play(name, directory / f"{name}.log")
            self.show(f"{name}: {rows[name].verdict or rows[name].not_played}")
            self._write(directory, [rows[one] for one in names(playbooks) if one in rows])
        return [rows[name] for name in names(playbooks)]

    def _is_there(self, row: FailureRow) -> bool:
        return row.run_id is not None and (self.results / row.run_id / "summary.json").exists()

    def _play(self, name: str, log: Path) -> FailureRow:
        pattern = f"*-{PREFIX}{name}"
        before = set(self.results.glob(pattern))
        self.play(f"{PREFIX}{name}.yml", log)
        made = sorted(set(self.results.glob(pattern)) - before)
        done = [run for run in made if (run / "summary.json").exists()]
        if not done:
            why = play_notes.last_failure(log) or f"there is no run; see {log}"
            return FailureRow(name, not_played=why)
        row = row_of(name, done[-1].name, files.read(done[-1] / summary.NAME, Summary))
        row.measured_on = measured_on(files.read(done[-1] / manifest.NAME, Manifest))
        return row

    def _read(self, path: Path) -> dict[str, FailureRow]:
        """Read what an earlier call left, if its conditions were these."""
        try:
            content = files.read(path, FailureTable)
        except (OSError, UnreadableError):
            return {}
        is_same = content.conditions == self.conditions
        return {row.name: row for row in content.failures} if is_same else {}

    def _write(self, directory: Path, rows: Sequence[FailureRow]) -> None:
        content = FailureTable(conditions=self.conditions, failures=list(rows))
        files.write(directory / failures.NAME, content, indent=2)
        (directory / TABLE_NAME).write_text(table(rows), encoding="utf-8")


def names(playbooks: Path) -> list[str]:
    """Return the names of all failure playbooks of a directory, known ones first."""
    found = {path.stem.removeprefix(PREFIX) for path in playbooks.glob(f"{PREFIX}*.yml")}
    return [*(name for name in ORDER if name in found), *sorted(found.difference(ORDER))]


def row_of(name: str, run_id: str, run: Summary) -> FailureRow:
    """Make a row of a run's summary.json."""
    ledger = run.ledger
    lost_by_cause = ledger.lost_by_cause
    for fault in run.faults:
        # Only a fault that is alone has a cost.
        lost_by_cause = fault.cost.lost_by_cause or lost_by_cause
    return FailureRow(
        name,
        run_id,
        verdict=run.verdict.status,
        reasons=[one.code for one in run.verdict.reason_codes if one.severity != NOTE],
        faults=run.faults,
        redelivered=ledger.redelivered,
        duplicate_deliveries=ledger.duplicate_deliveries,
        lost=ledger.lost,
        lost_by_cause={why: n for why, n in (lost_by_cause or {}).items() if n},
        not_read=ledger.not_read,
        replayed=None if run.recovery is None else run.recovery.replayed,
    )


def table(rows: Sequence[FailureRow]) -> str:
    """Write rows as a Markdown table, and below it what was not played."""
    lines = [
        f"| {' | '.join(HEADS)} |",
        f"|{'---|' * len(HEADS)}",
    ]
    for row in rows:
        if row.run_id is None:
            continue
        cells = [
            row.name,
            row.verdict or "",
            _worst(row.faults, "detected_s"),
            _worst(row.faults, "recovered_s"),
            _count(row.replayed),
            _count(row.redelivered),
            _count(row.duplicate_deliveries),
            _lost(row),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    machines = dict.fromkeys(row.measured_on for row in rows if row.measured_on)
    lines += [line for machine in machines for line in ("", f"Measured on {machine}.")]
    left_out = [f"- {row.name}: {row.not_played}" for row in rows if row.run_id is None]
    if left_out:
        lines += ["", "Not played:", "", *left_out]
    return "\n".join(lines) + "\n"


def _count(value: int | None) -> str:
    return fault_text.UNKNOWN if value is None else f"{value:,}"


def _lost(row: FailureRow) -> str:
    return _count(row.lost) + fault_text.causes(row.lost_by_cause)


def _worst(faults: Sequence[FaultAccount], name: str) -> str:
    seconds = [getattr(fault, name) for fault in faults]
    return fault_text.seconds(None if None in seconds else max(seconds, default=None))


def measured_on(run: Manifest) -> str:
    """Say on which hosts a run was played."""
    hosts = run.hosts.values()
    alike = Counter(", ".join(_machine(host)) for host in hosts)
    servers = sorted({host.nats_server for host in hosts if host.nats_server})
    return "; ".join(
        [
            *(f"{n} hosts with {what}" if n > 1 else what for what, n in alike.items()),
            *(f"nats-server {version}" for version in servers),
        ]
    )


def _machine(host: RunHost) -> Iterator[str]:
    """Iterate over what is known of a host."""
    if host.cpu_count:
        yield f"{host.cpu_count} cores"
    if host.mem_total_mb:
        yield f"{host.mem_total_mb / 1000:.0f} GB"
    yield from (known for known in (host.cpu_model, host.os) if known)


class Playbooks:
    """Plays a playbook with options of the user's, and writes what it prints to a file."""

    def __init__(self, directory: Path, options: Sequence[str], program: Path) -> None:
        self._directory = directory
        self._options = options
        self._program = program

    def __call__(self, playbook: str, log: Path) -> int:
        """Play it; returns its exit code. Raises OSError."""
        log.with_suffix(play_notes.SUFFIX).unlink(missing_ok=True)
        with log.open("w", encoding="utf-8") as output:
            return subprocess.run(  # noqa: S603  (ours)
                [str(self._program), str(self._directory / playbook), *self._options],
                env=play_notes.environment(utf8_locale.for_ansible(os.environ), log),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                check=False,
            ).returncode
