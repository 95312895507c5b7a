"""The report in a real browser: draws its charts, offline, without a word on the console."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from fpaas.bundle.bundle import Bundle
from fpaas.commands import report
from fpaas.report import page
from fpaas.summary import summary
from tests.support import sweep_runs
from tests.support.raw_run import RawRun

pytestmark = pytest.mark.integration

BROWSERS = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="module")
def browser() -> str:
    for name in BROWSERS:
        if path := shutil.which(name):
            return path
    pytest.skip(f"no browser to look at the report with: none of {', '.join(BROWSERS)}")


def open_page(browser: str, html: str, directory: Path) -> tuple[str, str]:
    """Returns the page as drawn and what the browser said."""
    file = directory / "report.html"
    file.write_text(html, encoding="utf-8")
    with subprocess.Popen(
        [
            browser,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--proxy-server=127.0.0.1:9",
            "--allow-file-access-from-files",
            f"--user-data-dir={directory / 'profile'}",
            "--enable-logging=stderr",
            "--virtual-time-budget=10000",
            "--dump-dom",
            file.as_uri(),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            return process.communicate(timeout=90)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)


@pytest.mark.parametrize("complete", [True, False], ids=["full", "empty"])
def test_draws_without_errors(browser: str, tmp_path: Path, *, complete: bool) -> None:
    run = RawRun()
    directory = tmp_path / "run"
    if complete:
        run.write(directory)
    else:
        directory.mkdir()
        (directory / "run.json").write_text(run.spec.to_json())
    bundle = Bundle.load(directory)
    dom, said = open_page(browser, page.render(bundle, summary.analyse(bundle)), tmp_path)
    assert "CONSOLE" not in said, said
    drawn = len(re.findall(r'class="chart js-plotly-plot"', dom))
    assert drawn == (13 if complete else 0)


#: Headless browsers have no window this narrow.
ON_A_PHONE = """
<iframe src="run.html" style="width: 390px; height: 3000px"></iframe>
<script>
window.onload = () => {
  const goals = document.querySelector("iframe").contentDocument.querySelector(".goals");
  document.body.dataset.hidden = goals.offsetWidth > goals.parentElement.clientWidth;
};
</script>
"""


def test_a_phone_shows_what_became_of_goals(browser: str, tmp_path: Path) -> None:
    bundle = Bundle.load(RawRun().write(tmp_path / "run"))
    html = page.render(bundle, summary.analyse(bundle))
    (tmp_path / "run.html").write_text(html, encoding="utf-8")
    dom, said = open_page(browser, ON_A_PHONE, tmp_path)
    assert 'data-hidden="false"' in dom, said


def test_a_sweep_draws_without_errors(browser: str, tmp_path: Path) -> None:
    directory = sweep_runs.write(tmp_path / "results", {10: 5.0, 100: None, 500: 9.0, 1000: 12.0})
    CliRunner().invoke(report.command, [str(directory)])
    html = (directory / "report.html").read_text(encoding="utf-8")
    dom, said = open_page(browser, html, tmp_path)
    assert "CONSOLE" not in said, said
    # Of 13 charts three have nothing to show: what was not measured, or not resolvable.
    assert len(re.findall(r'class="chart js-plotly-plot"', dom)) == 10


def test_the_policy_stops_a_script_that_got_in(browser: str, tmp_path: Path) -> None:
    """The test above is worth something only if the console would have said it."""
    run = RawRun()
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.json").write_text(run.spec.to_json())
    bundle = Bundle.load(tmp_path / "run")
    html = page.render(bundle, summary.analyse(bundle))
    spoiled = html.replace("</main>", "<script>document.title = 'taken over'</script></main>", 1)
    dom, said = open_page(browser, spoiled, tmp_path)
    assert "Content Security Policy" in said
    assert "<title>taken over" not in dom
