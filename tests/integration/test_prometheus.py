"""A lab that Prometheus watches by TLS and password; what it saw is kept, and served again."""

from __future__ import annotations

import gzip
import json
import signal
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from fpaas.control import own_prometheus
from fpaas.errors import BadInput
from fpaas.records import files, metrics
from fpaas.records.metrics import KeptMetrics
from tests.support import prometheus
from tests.support.checkout import CHECKOUT, SCRIPTS
from tests.support.playbook_lab import PLAYBOOK_S, Lab, read_until
from tests.support.ports import free_port

pytestmark = [pytest.mark.integration, pytest.mark.matrix]

INTERVAL_S = 1


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The bundle of a run; its verdict is another matter."""
    try:
        own_prometheus.find(CHECKOUT / ".cache" / "prometheus")
    except BadInput as error:
        pytest.skip(str(error))
    lab = Lab(tmp_path_factory.mktemp("prometheus"))
    lab.play(bench_keep_metrics=True, prometheus_tls=True, prometheus_scrape_interval_s=INTERVAL_S)
    assert lab.running() == []
    yield lab.results / "latest"
    lab.play("teardown.yml")
    assert not lab.lab_dir.exists()


def part(bundle: Path) -> Path:
    return bundle / "hosts" / "localhost"


def test_the_text_has_what_agents_counted(bundle: Path) -> None:
    about = files.read(part(bundle) / metrics.NAME, KeptMetrics)
    text = gzip.decompress((part(bundle) / metrics.TEXT).read_bytes()).decode()
    families = text_string_to_metric_families(text)  # type: ignore[no-untyped-call]
    samples = [one for family in families for one in family.samples]
    assert len(samples) == about.samples > 0
    ledger = json.loads((bundle / "summary.json").read_text())["ledger"]
    read = [s.value for s in samples if s.name == "fpaas_shuffler_frames_read_total"]
    # The last scrape may be before the last event.
    assert 0 < max(read) <= ledger["offered"]
    jobs = {s.labels["job"] for s in samples if s.name == "up" and s.value == 1}
    assert jobs == {"relay", "shuffler", "consumers", "probe"}
    assert any(s.name == "fpaas:run_is_on" and s.value == 1 for s in samples)


def test_its_own_cost_is_among_the_runs(bundle: Path) -> None:
    summary = json.loads((bundle / "summary.json").read_text())
    assert summary["resources"]["processes"]["prometheus"]["rss_mb"]["max"] > 0
    assert json.loads((bundle / "run.json").read_text())["hosts"]["monitoring"] == ["localhost"]


def test_what_was_kept_is_served_again_and_stays_as_it_was(bundle: Path) -> None:
    about = files.read(part(bundle) / metrics.NAME, KeptMetrics)
    before = sorted((part(bundle) / metrics.BLOCKS).rglob("*"))
    port = free_port()
    with subprocess.Popen(
        [SCRIPTS / "fpaas", "metrics", str(bundle), "--listen", f"127.0.0.1:{port}"],
        cwd=CHECKOUT,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert f"http://127.0.0.1:{port}/graph?" in process.stdout.readline()
        query = urllib.parse.urlencode(
            {
                "query": "max(max_over_time(fpaas_shuffler_frames_read_total[10m]))",
                "time": about.to_unix_s,
            }
        )
        url = f"http://127.0.0.1:{port}/api/v1/query?{query}"
        with urllib.request.urlopen(url, timeout=10) as answer:
            [found] = json.load(answer)["data"]["result"]
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    assert float(found["value"][1]) > 0
    assert sorted((part(bundle) / metrics.BLOCKS).rglob("*")) == before


def test_the_documented_question_is_answered(tmp_path: Path) -> None:
    """The first such commands of the page, which are those for this machine."""
    prometheus.program("prometheus")
    page = (CHECKOUT / "docs" / "monitoring.md").read_text()
    commands = next(
        block for block in page.split("```")[1::2] if "prometheus_credentials" in block
    ).removeprefix("console\n")
    lab = Lab(tmp_path)
    process = lab.start(lab_monitoring=True, prometheus_tls=True, prometheus_scrape_interval_s=1)
    read_until(process, "| measuring |")
    (tmp_path / "checkout").mkdir()
    (tmp_path / "checkout" / ".lab").symlink_to(lab.lab_dir)
    own = commands.replace(":9090/", f":{lab.variables['prometheus_port']}/")
    asked = subprocess.run(
        ["sh", "-euc", own],
        cwd=tmp_path / "checkout",
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    process.communicate(timeout=PLAYBOOK_S)
    assert asked.returncode == 0, asked.stderr
    phases = {one["metric"]["phase"] for one in json.loads(asked.stdout)["data"]["result"]}
    assert "measuring" in phases


def test_the_login_is_nowhere_in_the_bundle(bundle: Path) -> None:
    login = bundle.parents[1] / Lab(bundle.parents[1]).lab_dir.name / "prometheus_credentials"
    password = login.read_text().split('"')[3].encode()
    assert len(password) == 32
    for path in bundle.resolve().rglob("*"):
        assert not path.is_file() or password not in path.read_bytes(), path
