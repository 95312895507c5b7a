"""Every page in a real browser: drawn, readable for all, offline, without a word on the console."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from fpaas.bundle.loader import load_bundle
from fpaas.commands import compare, report
from fpaas.records import sweep as sweep_record
from fpaas.records.sweep import Question
from fpaas.report import page, results_page, sweep_page
from fpaas.results import folder
from fpaas.search import sizing
from fpaas.summary import summary
from fpaas.sweep import record
from tests.support import axe, browser, sweep_runs
from tests.support.browser import Tab
from tests.support.patience import PATIENCE_S
from tests.support.raw_run import RawRun

pytestmark = pytest.mark.integration

MEASURED = sizing.Measured(1000, 5, 12.0, 100.0, 40.0, 20.0, 60.0, 2)
MEDIA: dict[str, dict[str, Any]] = {
    "light": {},
    "dark": {"dark": True},
    "phone": {"width": 390},
    "printed": {"width": 760, "printed": True, "dark": True},
}


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    program = browser.found()
    if program is None:
        pytest.skip(f"no browser to look with: none of {', '.join(browser.BROWSERS)}")
    with browser.tab(program, tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.fixture(scope="module")
def axe_script() -> str:
    try:
        return axe.script()
    except axe.MissingError as error:
        pytest.skip(str(error))


def look(tab: Tab, axe_script: str, path: Path) -> None:
    """Hold a page against what every page has to keep, on every medium."""
    url = path.resolve().as_uri()
    for medium, options in MEDIA.items():
        tab.said.clear()
        tab.asked_for.clear()
        tab.look_like(**options)
        tab.open(url)
        assert tab.said == [], medium
        loaded = [one for one in tab.asked_for if not one.startswith(("file:", "data:"))]
        assert loaded == [], medium
        assert axe.violations(tab, axe_script) == [], medium
        wider = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        assert tab.run(wider) == 0, f"{medium}: wider than screen or paper"


def beyond_the_edge(tab: Tab) -> list[str]:
    """Return how tables begin that one has to scroll on a screen of 1280 pixels."""
    tab.look_like(width=1280)
    found: list[str] = tab.run(
        "[...document.querySelectorAll('.scroll')].filter((one) => one.scrollWidth > "
        "one.clientWidth).map((one) => one.textContent.slice(0, 80))"
    )
    return found


def drawn(tab: Tab) -> int:
    count: int = tab.run("document.querySelectorAll('[data-chart] svg .line').length")
    return count and tab.run("document.querySelectorAll('[data-chart] svg').length")


def written(path: Path, html: str) -> Path:
    path.write_text(html, encoding="utf-8")
    return path


@pytest.mark.parametrize("complete", [True, False], ids=["full", "empty"])
def test_a_report(tab: Tab, axe_script: str, tmp_path: Path, *, complete: bool) -> None:
    run = RawRun()
    directory = tmp_path / "run"
    if complete:
        run.write(directory)
    else:
        directory.mkdir()
        (directory / "run.json").write_text(run.spec.to_json())
    bundle = load_bundle(directory)
    html = page.render(bundle, summary.analyse(bundle))
    look(tab, axe_script, written(directory / "report.html", html))
    assert drawn(tab) == (12 if complete else 0)


def test_a_report_in_a_single_file(tab: Tab, axe_script: str, tmp_path: Path) -> None:
    directory = RawRun().write(tmp_path / "run")
    alone = tmp_path / "elsewhere" / "alone.html"
    alone.parent.mkdir()
    CliRunner().invoke(report.command, [str(directory), "--single-file", str(alone)])
    look(tab, axe_script, alone)
    beside = (directory / "figures" / "goals.csv").read_text()
    link = "document.querySelector('a[download=\"goals.csv\"]').href"
    assert tab.run(f"atob({link}.split(',')[1])").encode("latin-1").decode() == beside
    links = "[...document.querySelectorAll('a')].map((a) => a.getAttribute('href'))"
    assert all(one.startswith(("#", "data:")) for one in tab.run(links))


def test_a_phone_shows_what_became_of_goals(tab: Tab, tmp_path: Path) -> None:
    bundle = load_bundle(RawRun().write(tmp_path / "run"))
    html = page.render(bundle, summary.analyse(bundle))
    tab.look_like(width=390)
    tab.open(written(tmp_path / "run.html", html).as_uri())
    goals = "document.querySelector('.goals')"
    assert tab.run(f"{goals}.offsetWidth <= {goals}.parentElement.clientWidth")


def test_all_columns_are_in_sight(tab: Tab, axe_script: str, tmp_path: Path) -> None:
    """With figures as large as they get: ages of five minutes, a delivery of all to 10,000."""
    bundle = load_bundle(RawRun().write(tmp_path / "run"))
    content = summary.analyse(bundle)
    for leg in content["latency_ms"].values():
        columns = ("min", "p50", "p90", "p99", "p999", "max")
        leg.update(dict.fromkeys(columns, 299_999.0), at_least=dict.fromkeys(columns))
        leg.update(count=24_545_851, due_count=24_545_851, open_count=10_000)
        leg.update(clock_error_ms=0.0348, not_resolvable=[])
    page_file = written(tmp_path / "run.html", page.render(bundle, content))
    tab.open(page_file.as_uri())
    assert beyond_the_edge(tab) == []
    # No cell runs into the next one.
    close = (
        "[...document.querySelectorAll('.latency tr')].flatMap((row) => [...row.cells].slice(1)"
        ".map((cell) => { const range = document.createRange(); range.selectNodeContents(cell);"
        "return range.getBoundingClientRect().left - cell.getBoundingClientRect().left; }))"
        ".filter((room) => room < -0.5).length"
    )
    assert tab.run(close) == 0
    look(tab, axe_script, page_file)


def test_a_lonely_sample_is_drawn(tab: Tab, tmp_path: Path) -> None:
    """As the lag of 10,000 consumers in a short run: the server needs 20 s to tell."""
    directory = RawRun().write(tmp_path / "run")
    nats = directory / "hosts" / "localhost" / "probe.nats.jsonl"
    samples = [json.loads(line) for line in nats.read_text().splitlines()]
    for sample in samples[:2] + samples[3:]:
        sample.pop("lag", None)
    nats.write_text("".join(json.dumps(sample) + "\n" for sample in samples))
    bundle = load_bundle(directory)
    html = page.render(bundle, summary.analyse(bundle))
    tab.look_like(width=1280)
    tab.open(written(tmp_path / "run.html", html).as_uri())
    assert tab.run("document.querySelectorAll('[data-chart=consumer-lag] .dot').length") == 3


@pytest.mark.parametrize("width", [1280, 390])
def test_labels_of_events_keep_clear_of_one_another(tab: Tab, tmp_path: Path, width: int) -> None:
    bundle = load_bundle(RawRun().write(tmp_path / "run"))
    content = summary.analyse(bundle)
    one = {"sentence": "it happened", "kind": "fault", "host": "localhost", "end_s": None}
    length_s = bundle.spec.warmup_s + bundle.spec.measure_s
    content["events"] = [
        {**one, "at_s": at_s, "begin_s": at_s, "short": f"{source} {number}", "source": source}
        for number, source in enumerate(("observer", "agent", "fault") * 3)
        for at_s in [length_s * number / 9]
    ]
    tab.look_like(width=width)
    tab.open(written(tmp_path / "run.html", page.render(bundle, content)).as_uri())
    chart = "document.querySelector('[data-chart=throughput]')"
    labels = tab.run(
        f"[...{chart}.querySelectorAll('.note.event')].map((one) => {{ const box = "
        "one.getBoundingClientRect(); return [one.firstChild.data, box.left, box.right, "
        "box.bottom]; }).sort((one, other) => one[1] - other[1])"
    )
    assert len(labels) >= 2
    for (_, _, end, _), (_, start, _, _) in itertools.pairwise(labels):
        assert end < start
    assert labels[-1][2] <= tab.run(f"{chart}.getBoundingClientRect().right")
    # None is lost, the run's own faults have names, and no label is on a line of the chart.
    texts = [str(text) for text, *_ in labels]
    counted = sum(1 + int(text.partition(" +")[2] or 0) for text in texts)
    assert counted == len(content["events"])
    assert any(text.startswith("fault 2") for text in texts)
    assert max(bottom for *_, bottom in labels) <= tab.run(
        f"{chart}.querySelector('.mark').getBoundingClientRect().top + 3"
    )


def test_contents_lead_to_every_section(tab: Tab, tmp_path: Path) -> None:
    bundle = load_bundle(RawRun().write(tmp_path / "run"))
    html = page.render(bundle, summary.analyse(bundle))
    tab.look_like(width=1280)
    tab.open(written(tmp_path / "run.html", html).as_uri())
    links = "[...document.querySelectorAll('.contents a')].map((a) => a.hash)"
    headings = "[...document.querySelectorAll('main h2[id]')].map((h) => '#' + h.id)"
    assert len(tab.run(links)) > 10
    assert tab.run(links) == tab.run(headings)


def test_a_line_can_be_read_and_hidden(tab: Tab, tmp_path: Path) -> None:
    bundle = load_bundle(RawRun().write(tmp_path / "run"))
    html = page.render(bundle, summary.analyse(bundle))
    tab.look_like()
    tab.open(written(tmp_path / "run.html", html).as_uri())
    chart = "document.querySelector('[data-chart=throughput]')"
    tab.run(
        f"(() => {{ const box = {chart}.querySelector('svg').getBoundingClientRect();"
        f"{chart}.querySelector('svg').dispatchEvent(new PointerEvent('pointermove',"
        "{clientX: box.left + box.width / 2, clientY: box.top + 50})); })()"
    )
    assert "offered: " in tab.run(f"{chart}.querySelector('.readout').textContent")
    lines = f"{chart}.querySelectorAll('.line').length"
    before = tab.run(lines)
    tab.run(f"{chart}.querySelector('.legend button').click()")
    assert tab.run(lines) == before - 1


def test_a_sweep(tab: Tab, axe_script: str, tmp_path: Path) -> None:
    directory = sweep_runs.write(tmp_path / "results", {10: 5.0, 100: None, 500: 9.0, 1000: 12.0})
    CliRunner().invoke(report.command, [str(directory)])
    look(tab, axe_script, directory / "report.html")
    assert beyond_the_edge(tab) == []
    # Of 13 charts three have nothing to show: what was not measured, or not resolvable.
    assert drawn(tab) == 10


def test_a_search(tab: Tab, axe_script: str, tmp_path: Path) -> None:
    directory = sweep_runs.write(tmp_path / "results", {10: 5.0, 500: 9.0, 1000: 12.0})
    sweep = record.load(directory)
    question = Question("bench_consumers", 10, 1, 1000, is_integer=True, resolution=1.0)
    sweep.search = question
    for point in sweep.points:
        point.runs *= 3
    for run in sweep.points[-1].runs:
        # As long as answers are, with all that they say of why.
        run.status, run.reason = sweep_record.FAIL, "consumer lag, p99: 89 messages, " * 8
    page_file = directory / "report.html"
    sizes = [sizing.size([MEASURED, replace(MEASURED, consumers=2000)], 10_000, 5)]
    html = sweep_page.render(sweep, [], [], sizes)
    assert "Holds at 500 consumers in 3 of 3, fails at 1,000 consumers in 3 of 3. There:" in html
    look(tab, axe_script, written(page_file, html))


def test_a_comparison(tab: Tab, axe_script: str, tmp_path: Path) -> None:
    # Warnings name the runs' directories, however long these are.
    runs = [tmp_path / (letter * 60) for letter in "ab"]
    for directory, consumers in zip(runs, (20, 30), strict=True):
        RawRun({"bench_consumers": consumers}).write(directory)
        CliRunner().invoke(report.command, [str(directory)])
    page_file = tmp_path / "comparison.html"
    arguments = [str(runs[0]), "vs", str(runs[1]), "--allow-invalid"]
    CliRunner().invoke(compare.command, [*arguments, "--html", str(page_file)])
    look(tab, axe_script, page_file)
    assert beyond_the_edge(tab) == []
    names = "[...document.querySelectorAll('[data-chart=percentiles-publish_ack] button')]"
    assert tab.run(f"{names}.map((one) => one.textContent)") == ["A", "B"]
    assert drawn(tab) > 10


def test_a_results_folder(tab: Tab, axe_script: str, tmp_path: Path) -> None:
    results = tmp_path / "results"
    sweep_runs.write(results, {10: 5.0, 100: None, 500: 9.0}, status="invalid")
    sweep_runs.write(results, {1000: 12.0, 2000: 20.0}, name="more")
    (results / "no run").mkdir()
    results_page.write(results, folder.read(results))
    look(tab, axe_script, results / "index.html")
    assert beyond_the_edge(tab) == []
    tab.look_like()
    shown = "document.querySelectorAll('#rows tr[data-text]:not([hidden])').length"
    everything = tab.run(shown)
    assert everything == 4 + 2 + 1
    field = "document.getElementById('filter')"
    tab.run(f"{field}.value = 'INVALID sweep'; {field}.dispatchEvent(new Event('input'))")
    assert tab.run(shown) == 2


@pytest.fixture(scope="module")
def docs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("docs")
    checkout = Path(__file__).resolve().parents[2]
    options = ("--quiet", "--conf-dir", checkout / "docs", checkout, out)
    subprocess.run([sys.executable, "-m", "sphinx", *options], check=True, timeout=5 * PATIENCE_S)
    return out


@pytest.mark.parametrize(
    "name", ["docs/index", "ARCHITECTURE", "docs/get-started", "docs/results/failures"]
)
def test_documentation(tab: Tab, axe_script: str, docs: Path, name: str) -> None:
    look(tab, axe_script, docs / f"{name}.html")


def test_looking_finds_what_is_wrong(tab: Tab, axe_script: str, tmp_path: Path) -> None:
    """The tests above are worth something only if they can fail."""
    bundle = load_bundle(RawRun().write(tmp_path / "run"))
    html = page.render(bundle, summary.analyse(bundle))
    script = "<script>document.title = 'taken over'</script></main>"
    tab.said.clear()
    tab.open(written(tmp_path / "a.html", html.replace("</main>", script, 1)).as_uri())
    assert "Content Security Policy" in str(tab.said)
    assert tab.run("document.title") != "taken over"
    pale = '<p style="color: #ddd; background: #fff">pale</p></main>'
    tab.open(written(tmp_path / "b.html", html.replace("</main>", pale, 1)).as_uri())
    assert "color-contrast" in str(axe.violations(tab, axe_script))
