from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from fpaas.bundle.bundle import Bundle
from fpaas.bundle.loader import load_bundle
from fpaas.reason import Reason
from fpaas.report import page, plan_table
from fpaas.report.latency_table import latency_rows
from fpaas.report.ledger_table import OWED_TERMS, identity
from fpaas.spec import Scenario
from fpaas.summary import summary
from tests.support.raw_run import RawRun
from tests.support.report_page import BYTES_MAX, HOSTILE, Page


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return load_bundle(RawRun().write(tmp_path_factory.mktemp("results") / "run"))


@pytest.fixture
def empty_bundle(tmp_path: Path) -> Bundle:
    (tmp_path / "run.json").write_text(RawRun().spec.to_json())
    return load_bundle(tmp_path)


def render(bundle: Bundle) -> tuple[str, Page]:
    html = page.render(bundle, summary.analyse(bundle))
    return html, Page(html)


def test_a_full_run_has_every_part(bundle: Bundle) -> None:
    html, parsed = render(bundle)
    assert len(html.encode()) < BYTES_MAX
    assert parsed.words.count("✓ balanced") == 2
    assert "This was planned: most stays unread" in parsed.words
    assert "unexplained: 0" in parsed.words
    drawn = {attrs["data-chart"] for _, attrs in parsed.elements if "data-chart" in attrs}
    # Older runs did not sample their open calls.
    assert drawn == set(parsed.figures)
    assert len(drawn) == 12
    assert len(parsed.figures["throughput"]["data"]) == 4
    assert [shape["x1"] for shape in parsed.figures["throughput"]["layout"]["shapes"]] == [5, 40]


def test_nothing_is_loaded_from_anywhere(bundle: Bundle) -> None:
    _, parsed = render(bundle)
    for tag, attributes in parsed.elements:
        for name in ("src", "href", "srcset", "action", "data"):
            assert not re.match(r"\s*(\w+:)?//", attributes.get(name) or ""), (tag, attributes)
    (policy,) = (
        attributes["content"] or ""
        for tag, attributes in parsed.elements
        if tag == "meta" and attributes.get("http-equiv") == "Content-Security-Policy"
    )
    assert "default-src 'none'" in policy
    for script in parsed.scripts[1:]:
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in policy


def test_an_empty_bundle_says_what_was_not_measured(empty_bundle: Bundle) -> None:
    html, parsed = render(empty_bundle)
    assert len(html.encode()) < BYTES_MAX
    assert parsed.figures == {}
    assert "invalid" in parsed.words
    assert "nothing was fetched from this host" in parsed.words
    assert parsed.words.count("cannot be balanced") == 2
    assert parsed.words.count("not measured") > 20
    assert "None" not in parsed.words


def test_a_bundle_without_a_summary_still_renders(empty_bundle: Bundle) -> None:
    assert "not measured" in Page(page.render(empty_bundle, {})).words


def test_text_out_of_a_run_is_never_markup(bundle: Bundle) -> None:
    scenario = Scenario("1", f"title {HOSTILE}", f"goal {HOSTILE}")
    part = replace(bundle.hosts["localhost"], host=HOSTILE)
    part.process_samples = [
        msgspec.structs.replace(sample, process=HOSTILE)
        for sample in bundle.hosts["localhost"].process_samples
    ]
    hostile = replace(
        bundle,
        spec=replace(bundle.spec, scenario=scenario, run_id=HOSTILE),
        hosts={"localhost": part},
        problems=[Reason("control_problem", HOSTILE, {"problem": "noted", "text": HOSTILE})],
    )
    figures = summary.analyse(bundle)
    figures["verdict"] = {"status": "fail", "reasons": [HOSTILE]}
    figures["notes"] = [HOSTILE]
    figures["fetches"]["by_status"] = {HOSTILE: 1}
    parsed = Page(page.render(hostile, figures))
    assert len(parsed.scripts) == 2
    assert not any(tag == "b" for tag, _ in parsed.elements)
    assert parsed.words.count("alert(1)") >= 6
    assert HOSTILE in json.dumps(list(parsed.figures["process-cpu"]["data"][0].values())).replace(
        '\\"', '"'
    )


def test_a_run_trimmed_again_shades_what_was_trimmed(bundle: Bundle) -> None:
    parsed = Page(page.render(bundle, summary.analyse(bundle, warmup_s=20)))
    assert parsed.figures["throughput"]["layout"]["shapes"][0]["x1"] == 20


@pytest.mark.parametrize(
    ("value_ms", "bound_ms", "written"),
    [
        (0.05, 0.08, "not resolvable"),
        (-0.05, 0.08, "not resolvable"),
        (0.09, 0.08, "0.09"),
        (0.05, 0.0, "0.05"),
        (0.05, None, "0.05"),
        (None, 0.08, "not measured"),
    ],
)
def test_a_latency_below_its_clock_bound_is_not_resolvable(
    value_ms: float | None, bound_ms: float | None, written: str
) -> None:
    leg = {"count": 1, "p50": value_ms, "clock_error_ms": bound_ms}
    rows = {row["name"]: row for row in latency_rows({"latency_ms": {"end_to_end": leg}})}
    assert rows["end_to_end"]["values"][1] == written


def test_an_identity_that_does_not_balance_says_by_how_much() -> None:
    ledger = {"owed": 10, "delivered": 4, "pending_at_end": 3, "expired_unread": 2, "lost": 0}
    made = identity(ledger, "owed", "", OWED_TERMS)
    assert made.difference == 1
    assert identity({**ledger, "lost": 1}, "owed", "", OWED_TERMS).difference == 0
    assert identity({"owed": 10}, "owed", "", OWED_TERMS).difference is None


def test_nothing_is_explained_where_the_polls_suffice(tmp_path: Path) -> None:
    run = RawRun({"bench_delivery": "shared"})
    bundle = load_bundle(run.write(tmp_path / "run"))
    _, parsed = render(bundle)
    assert "This was planned" not in parsed.words


@pytest.mark.parametrize(
    ("title", "heading"),
    [
        ("Baseline", "Scenario 1: Baseline"),
        ("Scenario 1: baseline", "Scenario 1: baseline"),
        ("", "Scenario 1"),
    ],
)
def test_the_heading_names_the_scenario_once(bundle: Bundle, title: str, heading: str) -> None:
    spec = replace(bundle.spec, scenario=Scenario("scenario-1", title, ""))
    html = page.render(replace(bundle, spec=spec), {})
    assert f"<h1>{heading}</h1>" in html


@pytest.mark.parametrize(("classes", "is_there"), [({}, True), ({"feeds": {}}, False)])
def test_classes_have_no_median_to_hold_against_a_mean(
    classes: dict[str, object], *, is_there: bool
) -> None:
    content = {"plan": {"processed_per_consumer_per_s": 14.3}, "classes": classes}
    names = [row["name"] for row in plan_table.plan_rows(content)]
    assert ("processed, a consumer (median)" in names) == is_there


def test_a_few_bytes_are_no_part_of_a_megabyte() -> None:
    content = {
        "plan": {"connection_in_flight_bytes_max": 12_100_000},
        "jetstream": {"connection_pending_bytes_max": 89},
    }
    shown = plan_table.plan_rows(content)[-1]
    assert [shown[key] for key in ("planned", "measured", "ratio")] == [
        "12.1 MB",
        "89 bytes",
        "within",
    ]
