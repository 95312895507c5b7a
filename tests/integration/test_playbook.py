"""Playbooks for real: a short scenario, wrong input, and what happens when they are killed."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fpaas.control import lab_processes
from tests.support import verdict_codes
from tests.support.checkout import CHECKOUT, SCRIPTS
from tests.support.patience import PATIENCE_S
from tests.support.playbook_lab import CLEAN_UP_S, PLAYBOOK_S, PORTS, SHORT, Lab, read_until

pytestmark = pytest.mark.integration


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    made = Lab(tmp_path)
    yield made
    made.end()


def check_ledger(summary: dict[str, Any], bundle: Path) -> None:
    ledger = summary["ledger"]
    assert ledger["unexplained"] == 0
    outcomes = (
        "not_read",
        "undecodable",
        "published",
        "duplicates_rejected",
        "publish_failed",
        "publish_unknown",
    )
    assert ledger["offered"] == sum(ledger[name] for name in outcomes)
    fates = ("delivered", "expired_unread", "pending_at_end", "lost")
    assert ledger["owed"] == sum(ledger[name] for name in fates)
    final = json.loads((bundle / "hosts/localhost/probe.final.json").read_text())
    server = final["stream_after"]
    assert ledger["stored"] == server["last_seq"]
    assert ledger["owed"] == ledger["stored"] * SHORT["bench_consumers"]
    assert ledger["pending_at_end"] == sum(c["num_pending"] for c in final["consumers"])


def test_short_scenario_then_a_repeated_one(lab: Lab, real_frames: Path) -> None:
    played = lab.play()
    assert lab.running() == []
    assert lab.listening() == []
    [bundle] = lab.bundles()
    assert (lab.results / "latest").resolve() == bundle
    assert {"run.json", "summary.json", "manifest.json", "report.html", "control.json"} <= {
        path.name for path in bundle.iterdir()
    }
    summary = lab.summary()
    assert summary["run_id"] == bundle.name
    assert summary["scenario"] == "scenario-1"
    # A machine that is too busy makes the run invalid, not the ledger unbalanced.
    status = summary["verdict"]["status"]
    assert (status == "pass") == (played.exit_code == 0), summary["verdict"]
    assert "unexplained 0" in played.output
    assert str(bundle / "report.html") in played.output
    assert "| measuring |" in played.output
    assert summary["ledger"]["offered"] == 700
    check_ledger(summary, bundle)
    password = (lab.lab_dir / "credentials").read_text().split('"')[3]
    assert len(password) == 32
    assert not [
        path
        for path in lab.directory.rglob("*")
        if path.is_file() and path.name != "credentials" and password in path.read_text("latin-1")
    ]

    played = lab.play(
        bench_repeat=2,
        bench_measure_s=3,
        bench_firehose_source=os.path.relpath(real_frames, CHECKOUT),
    )
    assert lab.running() == []
    assert len(lab.bundles()) == 3
    assert lab.summary()["ledger"]["unexplained"] == 0
    assert played.output.count("unexplained 0") == 2


@pytest.mark.parametrize(
    ("variables", "messages"),
    [
        (
            {
                "bench_delivery": "broadcast",
                "bench_consumers": -5,
                "bench_poll_jitter_pct": 101,
                "bench_firehose_rate_per_s": 0,
                "bench_repeat": "often",
            },
            [
                "bench_delivery: 'broadcast' is not allowed; allowed: fanout",
                "bench_consumers: -5 is not allowed; allowed: a whole number",
                "bench_poll_jitter_pct: 101 is not allowed",
                "bench_firehose_rate_per_s: 0 is not allowed",
                "bench_repeat: 'often' is not allowed",
            ],
        ),
        ({"bench_firehose_source": "none.bin"}, ["bench_firehose_source: 'none.bin'"]),
        (
            {"nats_server_binary": "/none/nats-server"},
            ["/none/nats-server: there is no such program"],
        ),
    ],
    ids=["values", "capture", "program"],
)
def test_wrong_variables_are_refused_before_anything_starts(
    lab: Lab, variables: dict[str, Any], messages: list[str]
) -> None:
    played = lab.play(**variables)
    assert played.exit_code != 0
    for message in messages:
        assert message in played.flat
    assert lab.running() == []
    assert lab.bundles() == []


def test_empty_and_truncated_captures_are_refused(lab: Lab) -> None:
    capture = lab.directory / "capture.bin"
    for content in (b"", b"\x10\x00\x00\x00abc"):
        capture.write_bytes(content)
        played = lab.play(bench_firehose_source=str(capture))
        assert played.exit_code != 0
        assert "bench_firehose_source" in played.flat
        assert str(capture) in played.flat
        assert lab.bundles() == []


def test_old_nats_server_is_refused(lab: Lab) -> None:
    old = lab.directory / "nats-server"
    old.write_text("#!/bin/sh\necho nats-server: v2.9.25\n")
    old.chmod(0o755)
    played = lab.play(nats_server_binary=str(old))
    assert played.exit_code != 0
    assert f"{old}: is 2.9.25, 2.10.0 or newer is needed" in played.flat
    assert lab.running() == []


def test_ports_in_use_are_named(lab: Lab) -> None:
    with contextlib.ExitStack() as taken:
        for port in PORTS:
            taken.enter_context(socket.create_server(("127.0.0.1", lab.variables[port])))
        played = lab.play(lab_monitoring=True)
    assert played.exit_code != 0
    for port in PORTS:
        said = f"{port}: 127.0.0.1:{lab.variables[port]} is in use by another process"
        assert said in played.flat
    assert lab.running() == []
    assert lab.bundles() == []


def kill(process: subprocess.Popen[str]) -> None:
    process.kill()


def interrupt(process: subprocess.Popen[str]) -> None:
    """Ctrl-C reaches the whole process group."""
    os.killpg(process.pid, signal.SIGINT)


@pytest.mark.parametrize("end", [kill, pytest.param(interrupt, marks=pytest.mark.matrix)])
def test_killed_playbook_leaves_nothing_but_an_invalid_report(
    lab: Lab, end: Callable[[subprocess.Popen[str]], None]
) -> None:
    process = lab.start(bench_measure_s=3000)
    read_until(process, "| measuring |")
    read_until(process, "| measuring |")  # five seconds of it
    assert lab.running()
    end(process)
    process.communicate(timeout=CLEAN_UP_S)
    took_s = lab.wait_until_nothing_runs()
    sys.stdout.write(f"cleaned up in {took_s:.1f} s\n")
    assert lab.listening() == []
    assert lab.summary()["verdict"]["status"] == "invalid"
    assert verdict_codes.of_summary(lab.summary())[0] == "interrupted"
    assert lab.summary()["ledger"]["published"] > 0
    if end is interrupt:
        return

    lab.play(bench_measure_s=3)
    assert lab.running() == []
    assert lab.summary()["ledger"]["unexplained"] == 0
    assert len(lab.bundles()) == 2


def test_lab_is_one_runs_at_a_time(lab: Lab) -> None:
    process = lab.start(bench_measure_s=3000)
    read_until(process, " s of ")
    second = lab.play()
    assert second.exit_code != 0
    assert "a run is in progress here" in second.flat
    assert lab.running()
    # What was ended from outside is reported at once, and the run goes on to its report.
    refused = lab.play("teardown.yml")
    assert refused.exit_code != 0
    assert "a run is in progress here" in refused.flat
    assert process.poll() is None
    assert {"relay", "nats"} <= {one.split()[0] for one in lab.running()}
    third = lab.play("teardown.yml", lab_ends_run=True)
    assert third.exit_code == 0
    output, _ = process.communicate(timeout=PLAYBOOK_S)
    sys.stdout.write(output)
    assert process.returncode != 0
    assert lab.running() == []


def test_agent_that_dies_is_named_at_once_and_the_rest_collected(lab: Lab) -> None:
    process = lab.start(bench_measure_s=3000)
    read_until(process, "| measuring |")
    [relay] = [p for p in lab_processes.lab_processes(lab.lab_dir) if p.name == "relay"]
    relay.process.kill()
    output, _ = process.communicate(timeout=PLAYBOOK_S)
    sys.stdout.write(output)
    assert process.returncode != 0
    # Named at once: long before the 3,000 s are over, and to whoever watches.
    assert f"(pid {relay.process.pid})" in output
    summary = lab.summary()
    assert summary["verdict"]["status"] == "invalid"
    assert verdict_codes.of_summary(summary)[0] == "relay_died"
    assert summary["limited_by"]["parameters"]["reason"]["code"] == "relay_died"
    # What the playbook noticed is the same cause, and no second reason.
    assert "control_problem" not in verdict_codes.of_summary(summary)
    assert (lab.results / "latest/hosts/localhost/shuffler.json").exists()
    assert lab.running() == []


@pytest.mark.parametrize("place", ["results", "lab/runs"])
def test_a_run_is_never_played_over_an_earlier_one(lab: Lab, place: str) -> None:
    run_id = "20260102T030405Z-scenario-1"
    earlier = (lab.results if place == "results" else lab.lab_dir / "runs") / run_id
    earlier.mkdir(parents=True)
    for given, wrong in ((run_id, "there is such a run already"), ("x", "'x' is not allowed")):
        refused = lab.play(run_id=given)
        assert refused.exit_code == 2
        assert wrong in refused.flat
        assert list(earlier.iterdir()) == []
        assert list(lab.directory.glob(f"**/{given}*")) == ([earlier] if given == run_id else [])


def test_leftovers_are_named_and_ended(lab: Lab) -> None:
    lab.lab_dir.mkdir()
    environment = {
        **os.environ,
        lab_processes.LAB_VARIABLE: str(lab.lab_dir),
        "SUPERVISOR_PROCESS_NAME": "relay",
    }
    leftover = subprocess.Popen(["sleep", "300"], env=environment)
    played = lab.play(nats_server_binary="/none")
    assert f"ended what an earlier run left: relay (pid {leftover.pid})" in played.flat
    assert leftover.wait(timeout=PATIENCE_S) == -signal.SIGTERM


def test_disk_that_is_full_is_said_and_raw_data_stays(lab: Lab) -> None:
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("only root can mount a small file system")
    lab.results.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(lab.results)]
    if subprocess.run(mount, check=False, capture_output=True).returncode != 0:
        pytest.skip("a small file system cannot be mounted here")
    try:
        refused = lab.play()
        assert refused.exit_code != 0
        assert "MB free" in refused.flat
        played = lab.play(lab_free_disk_mb=0, bench_measure_s=3)
    finally:
        subprocess.run(["umount", str(lab.results)], check=True)
    assert played.exit_code != 0
    assert "No space left on device" in played.flat
    assert lab.running() == []
    [raw] = lab.lab_dir.glob("runs/*/shuffler.json")
    lost = lab.play("collect.yml", run_id="20200101T000000Z-other")
    assert lost.exit_code != 0
    assert "run_id: 20200101T000000Z-other: there is no such run" in lost.flat
    assert f"{lab.lab_dir}/runs" in lost.flat
    assert raw.parent.name in lost.flat
    # The advice works as it stands.
    lines = (line.strip() for line in played.output.splitlines())
    advice = next(line for line in lines if line.endswith(f"run_id={raw.parent.name}"))
    collected = subprocess.run(
        advice,
        shell=True,
        cwd=CHECKOUT / "playbooks",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=PLAYBOOK_S,
        check=False,
    )
    assert "unexplained 0" in collected.stdout, collected.stdout
    assert lab.summary()["run_id"] == raw.parent.name


def test_site_checks_before_it_changes_and_changes_once(lab: Lab) -> None:
    checked = lab.play("site.yml", "--check")
    assert checked.exit_code == 0
    assert not list(lab.lab_dir.glob("*.conf"))
    assert lab.play("site.yml").exit_code == 0
    assert "changed=0" in lab.play("site.yml").output
    assert "changed=0" in lab.play("site.yml", "--check").output
    assert "A run cannot be played in check mode" in lab.play("scenario-1.yml", "--check").flat
    assert lab.running() == []


def test_playbooks_work_from_the_checkouts_root_and_with_any_inventory(lab: Lab) -> None:
    inventory = lab.directory / "hosts.ini"
    groups = ("relay", "nats", "shuffler", "consumers")
    inventory.write_text(
        "".join(f"[{group}]\nlocalhost ansible_connection=local\n" for group in groups)
    )
    refused = subprocess.run(
        [
            *(SCRIPTS / "ansible-playbook", "playbooks/scenario-3.yml", "-i", inventory),
            *("-e", f"lab_dir={lab.lab_dir}", "-e", "bench_fetch=never"),
        ],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=False,
        timeout=PLAYBOOK_S,
    )
    assert refused.returncode != 0
    assert "bench_fetch: 'never' is not allowed" in refused.stdout + refused.stderr


def test_names_of_nats_users_take_effect_on_a_lab_that_is_there(lab: Lab) -> None:
    def secrets() -> list[list[str]]:
        names = ("credentials", "system_credentials")
        return [(lab.lab_dir / name).read_text().split('"')[1::2] for name in names]

    assert lab.play("site.yml").exit_code == 0
    (agents, password), system = secrets()
    assert (agents, system[0]) == ("fpaas", "fpaas-system")
    assert "changed=1 " in lab.play("site.yml", common_nats_user="other.one").output
    assert secrets() == [["other.one", password], system]
    assert "changed=0" in lab.play("site.yml", common_nats_user="other.one").output
    for wrong in ('a"b', "a\n", "fpaas-system"):
        refused = lab.play("site.yml", common_nats_user=wrong)
        assert refused.exit_code != 0
        assert "common_nats_user, common_nats_system_user" in refused.flat
    assert secrets() == [["other.one", password], system]
    assert lab.play(common_nats_user="other.one").exit_code == 0
