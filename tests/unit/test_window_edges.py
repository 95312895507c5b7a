"""What a window's edges may not take out of a figure."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fpaas.bundle.loader import load_bundle
from fpaas.bundle.parts import JsonObject
from fpaas.common_time import NS_PER_S
from fpaas.latency.open_calls import CallWindow
from fpaas.measures.calls import Bins
from fpaas.probe import seal
from fpaas.summary import summary
from fpaas.verdict import codes
from tests.support.raw_run import HOST, T0_UNIX_NS, RawRun


def analysed(
    directory: Path,
    *,
    by_beginning: bool = True,
    probe_until_s: float = 100,
    probe_early_s: float = 0,
) -> JsonObject:
    """Simulate a run whose probe stops sampling at a time, and analyse it.

    Every other of its samples is early by `probe_early_s`.
    """
    run = RawRun()
    run.write(directory, sealed=False)
    if by_beginning:
        run.file_by_beginning()
    path = run.directory / "probe.host.jsonl"
    lines = [
        line
        for line in path.read_text().splitlines()
        if json.loads(line)["unix_ns"] < T0_UNIX_NS + probe_until_s * NS_PER_S
    ]
    samples = [json.loads(line) for line in lines]
    for sample in samples[::2]:
        sample["unix_ns"] -= round(probe_early_s * NS_PER_S)
    lines = [json.dumps(sample) for sample in samples]
    path.write_text("\n".join(lines) + "\n")
    seal.seal(run.directory, HOST)
    return summary.analyse(load_bundle(directory))


def test_what_arrives_after_the_window_is_in_the_ages(tmp_path: Path) -> None:
    """Consumers poll in the drain, too: what was held up comes then."""
    old = analysed(tmp_path / "old", by_beginning=False)["latency_ms"]
    new = analysed(tmp_path / "new")["latency_ms"]
    for leg in ("publish_to_fetch", "end_to_end", "publish_to_first_fetch"):
        assert new[leg]["count"] > old[leg]["count"], leg
        assert new[leg]["max"] >= old[leg]["max"], leg
    assert new["publish_ack"]["count"] == old["publish_ack"]["count"]


def test_every_delivery_after_warm_up_has_an_age(tmp_path: Path) -> None:
    content = analysed(tmp_path / "run")
    whole = summary.analyse(load_bundle(tmp_path / "run"), 0.0)
    assert whole["latency_ms"]["publish_to_fetch"]["count"] == content["ledger"]["delivered"]


def test_a_probe_that_stood_still_makes_a_run_invalid(tmp_path: Path) -> None:
    good = analysed(tmp_path / "good")["verdict"]["reason_codes"]
    assert "host_unsampled" not in [reason["code"] for reason in good]
    cut = analysed(tmp_path / "cut", probe_until_s=15)["verdict"]
    assert cut["status"] == "invalid"
    (reason,) = [one for one in cut["reason_codes"] if one["code"] == "host_unsampled"]
    assert reason["host"] == HOST
    # The window is from 5 s to 35 s.
    assert reason["parameters"]["missing_s"] == pytest.approx(20, abs=1)


def test_samples_that_are_a_little_early_leave_nothing_out(tmp_path: Path) -> None:
    """They lie at the edges of seconds, so two may lie in one."""
    codes_found = analysed(tmp_path / "run", probe_early_s=0.05)["verdict"]["reason_codes"]
    assert "host_unsampled" not in [reason["code"] for reason in codes_found]


@pytest.mark.parametrize("from_s", [0.0, 9.4, 9.6, 9.9999])
def test_a_window_has_a_bin_however_little_is_left_of_it(from_s: float) -> None:
    from_unix_ns = T0_UNIX_NS + round(from_s * NS_PER_S)
    window = CallWindow.of(Bins(T0_UNIX_NS), from_unix_ns, T0_UNIX_NS + 10 * NS_PER_S)
    assert window.until_unix_ns == T0_UNIX_NS + 10 * NS_PER_S
    assert window.from_unix_ns < window.until_unix_ns


def test_a_missed_goal_that_could_be_missed_by_more_says_so() -> None:
    parameters = {
        "goal": "publish_ack_p99_ms_max",
        "measured": 5886.0,
        "comparison": "at most",
        "limit": 100,
        "why": [],
    }
    exact, least = (
        codes.CODES["goal_missed"].render(parameters | {"at_least": at_least})
        for at_least in (False, True)
    )
    assert "≥" in least
    assert least.replace("≥ ", "") == exact
