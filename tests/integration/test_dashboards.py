"""The dashboards on a real run: each panel asks for something that a real Prometheus has."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tools.dashboards.boards import ALL
from tools.dashboards.panels import WINDOW, expressions, to_json

from fpaas.records.events import read
from fpaas.spec import NS_PER_S
from tests.support import dashboard_metrics
from tests.support.measured_lab import MeasuredLab
from tests.support.processes_lab import LOAD_HOST
from tests.support.prometheus import Prometheus

pytestmark = pytest.mark.integration

#: As Grafana reckons it: four scrapes. NATS is asked every five seconds only.
WINDOW_S = 4 * Prometheus.SCRAPE_S


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Prometheus, MeasuredLab]]:
    """A run with a fault in it, which has ended, and the Prometheus that scraped it."""
    directory = tmp_path_factory.mktemp("dashboards")
    fault = {"do": "disconnect", "on": "relay", "at_s": 3, "for_s": 4}
    lab = MeasuredLab(directory / "lab", measure_s=9, bench_faults=[fault])
    targets = {f"127.0.0.1:{port}": LOAD_HOST for port in lab.ports.values()}
    prometheus = Prometheus(directory / "prometheus", targets)
    try:
        prometheus.start()
        lab.server.start()
        lab.start()
        lab.wait()
        yield prometheus, lab
    finally:
        lab.end()
        lab.server.stop()
        prometheus.stop()


def times_s(lab: MeasuredLab) -> tuple[float, float]:
    return lab.spec.t0_unix_ns / NS_PER_S, lab.spec.settled_unix_ns / NS_PER_S


def filled_in(expression: str, lab: MeasuredLab) -> str:
    """Put in what Grafana puts in for variables, "All" for the host."""
    for name, value in (("$run_id", lab.spec.run_id), ("$host", ".+"), (WINDOW, f"{WINDOW_S}s")):
        expression = expression.replace(name, value)
    assert "$" not in expression
    return expression


def test_every_panel_has_data(run: tuple[Prometheus, MeasuredLab]) -> None:
    prometheus, lab = run
    asked = {
        f"{board.title}: {panel}": filled_in(expression, lab)
        for board in ALL
        for panel, expression in expressions(to_json(board)).items()
    }
    assert len(asked) > 100
    nothing = [name for name, asks in asked.items() if not prometheus.values(asks, *times_s(lab))]
    assert nothing == []
    # Another run is not this one's.
    of_another = next(iter(asked.values())).replace(lab.spec.run_id, "another")
    assert prometheus.values(of_another, *times_s(lab)) == []


def test_variables_offer_the_run_and_its_host(run: tuple[Prometheus, MeasuredLab]) -> None:
    prometheus, lab = run
    of_run = {"match[]": f'fpaas_run_info{{run_id="{lab.spec.run_id}"}}'}
    assert prometheus.ask("label/run_id/values", **of_run) == [lab.spec.run_id]
    assert prometheus.ask("label/host/values", **of_run) == [LOAD_HOST]


def test_a_fault_is_annotated_at_its_own_times(run: tuple[Prometheus, MeasuredLab]) -> None:
    prometheus, lab = run
    [event] = [
        one
        for one in read(lab.bundle / "hosts" / LOAD_HOST / "relay.events.jsonl")[0]
        if one.kind == "fault"
    ]
    assert event.end_unix_ns is not None
    board = to_json(ALL[0])
    for name, unix_ns in (
        ("Fault begins", event.begin_unix_ns),
        ("Fault undone", event.end_unix_ns),
    ):
        values = prometheus.values(filled_in(expressions(board)[name], lab), *times_s(lab))
        assert values
        assert values == pytest.approx([unix_ns / 1e6] * len(values), abs=1)
    active = prometheus.values("fpaas_run_fault_active", *times_s(lab))
    assert active[0] == active[-1] == 0
    assert 1 in active


def test_the_official_dashboards_find_what_they_ask_for(
    run: tuple[Prometheus, MeasuredLab],
) -> None:
    prometheus, lab = run
    for name, labels in dashboard_metrics.LABELS.items():
        selected = ",".join(f'{label}=~".+"' for label in sorted(labels))
        assert prometheus.values(f"rate({name}{{{selected}}}[{WINDOW_S}s])", *times_s(lab)), name
