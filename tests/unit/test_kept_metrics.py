"""What is kept of Prometheus' samples, and what is said if there is none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import bcrypt
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from fpaas.control import metrics_server, own_prometheus
from fpaas.errors import BadInput
from fpaas.probe import kept_metrics, open_metrics
from fpaas.records import files, metrics
from fpaas.records.metrics import KeptMetrics
from tests.support import plugin_modules
from tests.support.provisioning import run_spec


def test_open_metrics_are_read_back_as_they_were() -> None:
    odd = 'a "b" \\ c\nd'
    found = [
        {"metric": {"__name__": "x_total", "l": odd}, "values": [[1.5, "2"], [2.5, "NaN"]]},
        {"metric": {"__name__": "x_total"}, "values": [[1.5, "+Inf"]]},
    ]
    text = "".join(open_metrics.family("x_total", "counter", found[:1]))
    text += "".join(open_metrics.family("y", "histogram", found[1:])) + open_metrics.EOF
    x, y = text_string_to_metric_families(  # type: ignore[no-untyped-call]
        text.replace("NaN", "3")
    )
    assert (x.type, y.type) == ("counter", "unknown")
    assert [(s.name, s.labels, s.value, float(s.timestamp)) for s in x.samples] == [
        ("x_total", {"l": odd}, 2.0, 1.5),
        ("x_total", {"l": odd}, 3.0, 2.5),
    ]


def test_the_window_is_by_the_clock_of_prometheus_host() -> None:
    spec = run_spec("nats://127.0.0.1:1")
    object.__setattr__(spec, "t0_unix_ns", 1_000_000_000_000)
    object.__setattr__(spec, "clock_shifts_ns", {"ahead": -7_000_000_000})
    began, ended = kept_metrics.window(spec, "ahead", 1e9)
    assert began == 1000 + 7 - kept_metrics.MARGIN_S
    assert ended == spec.settled_unix_ns / 1e9 + 7 + kept_metrics.MARGIN_S
    assert kept_metrics.window(spec, "other", 1100.0)[1] == 1100.0


def test_a_bundle_without_metrics_says_how_to_keep_them(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"none: does not exist$"):
        metrics_server.find(tmp_path / "none")
    with pytest.raises(BadInput, match=r"is not a bundle of a run"):
        metrics_server.find(tmp_path)
    (tmp_path / "run.json").touch()
    with pytest.raises(BadInput, match=r"has no metrics; .*bench_keep_metrics=true"):
        metrics_server.find(tmp_path)


@pytest.mark.parametrize("left", [[], ["metrics"], ["metrics/B"]])
def test_a_bundle_that_lost_its_snapshot_says_so(tmp_path: Path, left: list[str]) -> None:
    """Prometheus would serve an empty directory without a word."""
    (tmp_path / "run.json").touch()
    part = tmp_path / "hosts" / "h"
    part.mkdir(parents=True)
    about = KeptMetrics(from_unix_s=1, to_unix_s=2, blocks=["A", "B"], series=1, samples=1)
    files.write(part / metrics.NAME, about)
    for name in left:
        (part / name).mkdir(parents=True)
        (part / name / "meta.json").touch()
    with pytest.raises(BadInput, match=r"metrics: A.* missing; copy the bundle again"):
        metrics_server.find(tmp_path)
    for name in about.blocks:
        (part / metrics.BLOCKS / name).mkdir(parents=True, exist_ok=True)
        (part / metrics.BLOCKS / name / "meta.json").touch()
    assert metrics_server.find(tmp_path).about == about


@pytest.mark.parametrize("time_s", [1e300, 253_402_300_800, -1])
def test_times_that_are_none_are_refused(tmp_path: Path, time_s: float) -> None:
    (tmp_path / "run.json").touch()
    path = tmp_path / "hosts" / "h" / metrics.NAME
    path.parent.mkdir(parents=True)
    about = KeptMetrics(from_unix_s=1, to_unix_s=time_s, blocks=[], series=1, samples=1)
    files.write(path, about)
    with pytest.raises(BadInput, match=r"metrics\.json: is not what it should be: .*to_unix_s"):
        metrics_server.find(tmp_path)


def test_without_any_prometheus_it_is_said_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BadInput, match=r"Prometheus: apt-get: .*prometheus_source"):
        own_prometheus.find(tmp_path / "cache")


def test_a_password_has_one_hash() -> None:
    hashed: Callable[[str], str] = plugin_modules.load("filter/bcrypt.py").hashed
    assert hashed("secret") == hashed("secret") != hashed("secret2")
    assert bcrypt.checkpw(b"secret", hashed("secret").encode())
