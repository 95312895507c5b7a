"""report.html: everything about one run on one page."""

from __future__ import annotations

from collections.abc import Mapping

from fpaas.bundle.bundle import Bundle
from fpaas.bundle.parts import JsonObject
from fpaas.records.paths import pick
from fpaas.report import (
    answers,
    classes_table,
    document,
    environment,
    faults_table,
    figure_files,
    flow,
    goals_table,
    latency_table,
    ledger_table,
    plan_table,
    relay_table,
    run_charts,
    storage_table,
    tables,
    use_table,
)
from fpaas.spec import Scenario
from fpaas.text import leg_words, plan_advice
from fpaas.verdict import codes, trimming
from fpaas.verdict.code import NOTE


def render(bundle: Bundle, summary: JsonObject, inside: Mapping[str, str] | None = None) -> str:
    """Return the page's HTML. Whatever the bundle lacks is called not measured.

    `inside`: files (name, content) that the page has in it, in place of links to those beside it.
    """
    spec, plan = bundle.spec, summary.get("plan") or {}
    warmup_s = pick(summary, "window", "from_s")
    sections = run_charts.of_run(bundle, summary, spec.warmup_s if warmup_s is None else warmup_s)
    ledger = summary.get("ledger") or {}
    planned_unread = answers.planned_unread(spec, summary)
    notes = summary.get("notes") or []
    if planned_unread:
        # The page has a separate box for the verdict's note on this.
        listed = pick(summary, "verdict", "reason_codes") or []
        noted = [one["code"] for one in listed if one["severity"] == NOTE]
        told = {index for index, code in enumerate(noted) if code == answers.UNREAD_AS_PLANNED}
        notes = [note for index, note in enumerate(notes) if index not in told]
    return document.render(
        "run.html.j2",
        sections,
        spec=spec,
        heading=_heading(spec.scenario),
        summary=summary,
        verdict=summary.get("verdict") or {"status": "invalid", "reasons": ["there is no verdict"]},
        problems=[codes.sentence(problem) for problem in bundle.problems],
        notes=notes,
        trimmed=trimming.words(summary),
        answers=answers.answers(spec, summary),
        goals=goals_table.goal_rows(summary),
        planned_unread=planned_unread,
        parameters=environment.parameters(spec, trimming.words(summary)),
        plan_rows=plan_table.plan_rows(summary),
        warnings=plan_advice.warnings(spec, plan) if plan else [],
        identities=[
            ledger_table.identity(
                ledger,
                "offered",
                "frames that fell due",
                ledger_table.published_terms(ledger),
            ),
            ledger_table.identity(ledger, "owed", "deliveries promised", ledger_table.OWED_TERMS),
        ],
        ledger=ledger,
        classes=classes_table.rows(spec, summary),
        class_heads=classes_table.HEADS,
        flow_frames=flow.frames(ledger),
        flow_deliveries=flow.deliveries(ledger),
        throughput=tables.throughput_rows(summary),
        messages=storage_table.message_rows(summary),
        stored_message=storage_table.a_message(summary, spec.stream),
        stored=storage_table.storage_rows(summary),
        stored_heads=list(storage_table.STORED.values()),
        latency=latency_table.latency_rows(summary),
        calls_by_end=leg_words.BY_END if leg_words.is_by_end(summary) else "",
        processes=tables.process_rows(summary),
        use=use_table.hosts(summary),
        limited_by=pick(summary, "limited_by", "sentence"),
        faults=faults_table.rows(summary),
        events=summary.get("events") or [],
        relay=relay_table.relay_rows(spec, summary),
        relay_gaps=relay_table.gap_rows(summary),
        fetches=[] if spec.consumers.is_pushed else tables.fetch_rows(summary),
        connections=tables.connection_rows(summary),
        fidelity=tables.fidelity_rows(summary),
        clock=environment.clock_rows(summary),
        network=environment.network_rows(bundle),
        environment=environment.machines(bundle),
        figure_files=figure_files.FILES,
        figures_directory=figure_files.DIRECTORY,
        inside={name: document.data_url(text) for name, text in (inside or {}).items()},
    )


def _heading(scenario: Scenario) -> str:
    """Return `Scenario 1: Baseline` for a scenario named scenario-1 with the title Baseline."""
    name = scenario.name.replace("-", " ").capitalize()
    if scenario.title.lower().startswith(name.lower()):
        return scenario.title
    return f"{name}: {scenario.title}" if scenario.title else name
