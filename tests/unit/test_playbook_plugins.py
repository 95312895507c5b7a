"""The playbooks' own modules: what they find, what they say."""

from __future__ import annotations

import re
import resource
import shlex
import signal
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from fpaas.control import agents_up, play_notes, progress
from fpaas.control.progress import Progress
from fpaas.records import files
from fpaas.records.status import AgentStatus, State
from tests.support.checkout import CHECKOUT
from tests.support.plugin_modules import load
from tests.support.raw_run import T0_UNIX_NS, RawRun

check_faults = load("modules/check_faults.py")
check_host = load("modules/check_host.py")
run_program = load("action/run_program.py")
watch_run = load("action/watch_run.py")
play_sweep = load("action/play_sweep.py")
sweep_runs = load("plugin_utils/sweep_runs.py")


def test_free_port_is_no_problem_and_a_taken_one_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        [problem] = check_host.port_problems("127.0.0.1", {"nats_port": port})
    assert problem == (
        f"nats_port: 127.0.0.1:{port} is in use by another process; free it or set nats_port"
    )
    assert check_host.port_problems("127.0.0.1", {"nats_port": port}) == []


def test_two_parts_cannot_share_a_port() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    problems = check_host.port_problems("127.0.0.1", {"nats_port": port, "relay_port": str(port)})
    assert problems == [f"relay_port: port {port} is nats_port's already; choose another"]


@pytest.mark.parametrize("value", [0, -1, 65536, "", "http", 4.5, None])
def test_no_port(value: object) -> None:
    [problem] = check_host.port_problems("127.0.0.1", {"nats_port": value})
    assert problem.startswith(f"nats_port: {value!r} is not allowed; allowed: a port, 1 to 65535")


def test_disk_is_checked_where_the_directory_will_be(tmp_path: Path) -> None:
    future = str(tmp_path / "not" / "there" / "yet")
    assert check_host.disk_problems({"lab_dir": future}, 1) == []
    [problem] = check_host.disk_problems({"lab_dir": future}, 10**9)
    assert problem.startswith(f"lab_dir: {future}: ")
    assert "1000000000 MB needed (lab_free_disk_mb)" in problem


def test_what_is_no_directory_is_refused_by_its_variables_name(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    [problem] = check_host.disk_problems({"lab_dir": str(file / "below")}, 0)
    assert problem == (
        f"lab_dir: {file}/below cannot be a directory: {file} is none; "
        "give a directory, or a place for one"
    )


def test_open_files() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert check_host.open_files_problems(64) == []
    [problem] = check_host.open_files_problems(hard + 1)
    assert f"limit of open files: {hard}, {hard + 1} needed" in problem


@pytest.mark.parametrize(
    ("says", "problem"),
    [
        ("nats-server: v2.10.0", None),
        ("nats-server: v2.15.1", None),
        ("nats-server: v10.0.0", None),
        ("nats-server: v2.9.99", "is 2.9.99, 2.10.0 or newer is needed"),
        ("hello", "is no nats-server (it says 'hello')"),
        ("", "is no nats-server (it says 'nothing')"),
    ],
)
def test_nats_server(tmp_path: Path, says: str, problem: str | None) -> None:
    binary = tmp_path / "nats-server"
    binary.write_text(f"#!/bin/sh\necho '{says}'\n")
    binary.chmod(0o755)
    problems = check_host.nats_server_problems(str(binary), "2.10.0")
    assert len(problems) == (problem is not None)
    if problem:
        assert problem in problems[0]


def test_program_that_does_not_run(tmp_path: Path) -> None:
    broken = tmp_path / "nats-server"
    broken.write_bytes(b"\x7fELF")
    broken.chmod(0o755)
    assert "does not run" in check_host.nats_server_problems(str(broken), "2.10.0")[0]
    assert "no such program" in check_host.nats_server_problems("/none", "2.10.0")[0]
    broken.chmod(0o644)
    assert "is not executable" in check_host.nats_server_problems(str(broken), "2.10.0")[0]


def test_command_lines_survive_the_shell() -> None:
    argv = ["fpaas", "plan", "--set", "bench_x=a b'c$HOME", "--", "*"]
    assert shlex.split(run_program.command_line(argv, {})) == argv
    line = run_program.command_line(argv, {"FILE": "/a b"})
    assert shlex.split(line) == ["env", "FILE=/a b", *argv]
    line = run_program.command_line(argv, {}, "/a b's")
    assert shlex.split(line) == ["cd", "/a b's", "&&", *argv]


def test_nothing_ends_a_worker_while_it_shows_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    blocked: list[set[int]] = []

    class Display:
        def display(self, _text: str, **_: object) -> None:
            blocked.append(signal.pthread_sigmask(signal.SIG_BLOCK, ()))

    monkeypatch.setattr(watch_run, "Display", Display)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    watch_run.show("warm-up")
    assert blocked[0] >= {signal.SIGINT, signal.SIGTERM}
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == before


def test_who_plays_a_playbook_is_told_how_far_its_run_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "run.log"
    for name, value in play_notes.environment({}, log).items():
        monkeypatch.setenv(name, value)
    run = RawRun().spec
    followed = Progress(run, "h1", ["relay"], grace_s=20)
    relay = AgentStatus(
        agent="relay", state=State.RUNNING, unix_ns=T0_UNIX_NS, pid=1, figures={"offered": 7}
    )
    followed.update([files.encode(relay).decode()])
    shown: list[str] = []
    watch_run.Shown(
        followed, 0.0, draws=False, display=lambda text, **_: shown.append(text)
    ).update(run.t0_unix_ns)
    noted = play_notes.last_progress(log)
    assert noted is not None
    assert (noted.host, noted.elapsed_s, noted.figures) == ("h1", 0, {"relay": {"offered": 7}})
    assert shown == [progress.line(noted)]
    assert play_notes.last_failure(log) == ""


def test_agents_that_failed_to_come_up_are_named_with_their_reason() -> None:
    waiting = AgentStatus(agent="shuffler", state=State.STARTING, unix_ns=0, pid=7)
    failed = AgentStatus(
        agent="relay",
        state=State.FAILED,
        message="capture.bin: truncated",
        unix_ns=0,
        pid=7,
    )
    assert agents_up.failure({"shuffler": waiting}) == ""
    assert agents_up.failure({"shuffler": waiting, "relay": failed}) == (
        "the relay failed: capture.bin: truncated"
    )


ACTIONS = sorted(path.stem for path in (CHECKOUT / "plugins/action").glob("*.py"))
MODULES = sorted(path.stem for path in (CHECKOUT / "plugins/modules").glob("*.py"))
OTHERS = sorted(
    f"{path.parent.name}/{path.name}"
    for kind in ("filter", "lookup")
    for path in (CHECKOUT / "plugins" / kind).glob("*.py")
)


@pytest.mark.parametrize("name", ACTIONS)
def test_actions_take_what_their_documentation_says(name: str) -> None:
    said = yaml.safe_load(load(f"modules/{name}.py").DOCUMENTATION)["options"]
    documented = {
        option: {key: value for key, value in content.items() if key != "description"}
        for option, content in said.items()
    }
    assert documented == load(f"action/{name}.py").ARGUMENTS


@pytest.mark.parametrize("path", [*(f"modules/{name}.py" for name in MODULES), *OTHERS])
def test_everything_is_documented_with_an_example(path: str) -> None:
    module = load(path)
    documentation = yaml.safe_load(module.DOCUMENTATION)
    assert documentation.get("module", documentation.get("name")) == Path(path).stem
    assert documentation["short_description"]
    assert documentation["description"]
    assert yaml.safe_load(module.EXAMPLES)
    assert isinstance(module.RETURN, str)


@pytest.mark.parametrize("name", MODULES)
def test_tasks_name_modules_in_full(name: str) -> None:
    short = re.compile(rf"^\s+(- )?{name}:", re.MULTILINE)
    files = [path for kind in ("roles", "playbooks", "molecule") for path in tasks_in(kind)]
    assert files
    assert [str(path) for path in files if short.search(path.read_text())] == []


def tasks_in(directory: str) -> list[Path]:
    found = (CHECKOUT / directory).rglob("*.yml")
    return [path for path in found if "collections" not in path.parts]


def test_what_is_installed_is_no_place_for_results(tmp_path: Path) -> None:
    lab_place = load("lookup/lab_place.py")
    here = tmp_path / "here"
    assert lab_place.place("work", tmp_path, here) == tmp_path
    (tmp_path / "MANIFEST.json").touch()
    assert lab_place.place("work", tmp_path, here) == here
    assert lab_place.place("sources", tmp_path, here) == tmp_path


def test_a_lab_is_kept_for_runs_that_it_was_made_for() -> None:
    made_by = {"nats_port": 4222, "lab_open_files": 4096, "bench_stream_max_bytes": 100}
    assert sweep_runs.fits(made_by, made_by)
    assert sweep_runs.fits(made_by, made_by | {"lab_open_files": 1024})
    assert not sweep_runs.fits(made_by, made_by | {"lab_open_files": 5000})
    assert not sweep_runs.fits(made_by, made_by | {"bench_stream_max_bytes": 200})
    assert not sweep_runs.fits(None, made_by)


@pytest.fixture
def played(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., list[str]]:
    """Play runs on hosts; each ends with a number, or cannot begin. Returns who played."""
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "run.json").touch()

    def play(ends: list[int | None], settings: dict[str, object], **varied: object) -> list[str]:
        waiting = iter(ends)
        played: list[str] = []

        def by_playbook(_: str, variables: dict[str, object], __: Path) -> int:
            prepared = variables.get("run_hosts_are_prepared", False)
            played.append("playbook, prepared" if prepared else "playbook")
            return next(waiting) or 0

        def on_hosts(self: Any, *_: object) -> None:  # noqa: ANN401
            ended_with = next(waiting)
            played.append("hosts")
            if ended_with is None:
                raise sweep_runs.hosts_beginning.CannotBeginError("no")
            if ended_with:
                self._made_by = None

        def templated(variables: dict[str, object], name: str) -> object:
            return variables.get(name, settings[name])

        monkeypatch.setattr(sweep_runs.Runs, "_play_on_hosts", on_hosts)
        arguments = {"kept": {}, "provisioned_by": [*settings], "results": str(tmp_path)}
        runs = sweep_runs.Runs(by_playbook, templated, dict, arguments)
        while len(played) < len(ends):
            runs(sweep_runs.RUN, {"run_id": "one"} | varied, tmp_path / "log")
        return played

    return play


SETTINGS = {
    "lab_open_files": 1024,
    "lab_monitoring": False,
    "bench_keep_metrics": False,
    "bench_faults": [],
}


def test_after_the_first_run_hosts_need_no_playbook(played: Callable[..., list[str]]) -> None:
    assert played([0, 0, 0], SETTINGS) == ["playbook", "hosts", "hosts"]


def test_hosts_are_prepared_again_after_a_run_that_did_not_pass(
    played: Callable[..., list[str]],
) -> None:
    assert played([0, 1, 1, 0, 0], SETTINGS) == ["playbook", "hosts", *["playbook"] * 2, "hosts"]


def test_a_run_that_hosts_cannot_begin_is_played_by_a_playbook(
    played: Callable[..., list[str]],
) -> None:
    assert played([0, None, 0, 0], SETTINGS) == ["playbook", "hosts", "playbook", "hosts"]


@pytest.mark.parametrize(
    "settings",
    [{"bench_faults": [{"do": "kill"}]}, {"lab_monitoring": True, "bench_keep_metrics": True}],
)
def test_some_runs_need_all_of_a_playbook(
    played: Callable[..., list[str]], settings: dict[str, object]
) -> None:
    assert played([0, 0], SETTINGS | settings) == ["playbook"] * 2


def test_other_hosts_than_the_sweeps_own_are_prepared_once(
    played: Callable[..., list[str]],
) -> None:
    assert played([0, 0], SETTINGS, lab_open_files=512) == ["playbook", "playbook, prepared"]


def test_what_ansible_passes_on_is_made_plain() -> None:
    class Tagged(str):
        __slots__ = ()

    class TaggedInt(int):
        pass

    given = {Tagged("a"): [Tagged("b"), TaggedInt(3), True, None, 0.5], "c": {"d": Tagged("e")}}
    made = play_sweep.plain(given)
    assert made == {"a": ["b", 3, True, None, 0.5], "c": {"d": "e"}}
    assert [type(one) for one in made["a"]] == [str, int, bool, type(None), float]
    assert {type(name) for name in made} == {str}
    assert type(made["c"]["d"]) is str


def test_runs_of_a_sweep_are_told_passwords_that_nobody_types_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "bin" / "ansible-playbook"
    program.parent.mkdir()
    program.write_text(
        '#!/bin/sh\necho "$@"\n'
        "for option; do case $before in --*-password-file)\n"
        '  echo "$before: $(cat "$option")"; stat -c %a "$option"; echo "$option" >"$0.where";;\n'
        "esac; before=$option; done\n"
    )
    program.chmod(0o755)
    monkeypatch.setattr(sweep_runs, "DEFAULT_LOCAL_TMP", str(tmp_path))
    monkeypatch.setattr(sweep_runs.context, "CLIARGS", {"args": ("sweep.yml",)})
    typed = ["ansible-playbook", "sweep.yml", "-K", "-e", "a=1", "--ask-pass"]
    monkeypatch.setattr(sweep_runs.sys, "argv", typed)
    passwords = {"--become-password-file": "secret"}
    run = sweep_runs.RunPlaybook(tmp_path, str(program.with_name("python")), {}, passwords)
    log = tmp_path / "log"
    assert run("run.yml", {}, log) == 0
    said = log.read_text().splitlines()
    options = said[0].split()
    assert "-e" in options
    assert not {"-K", "--ask-pass", "sweep.yml"} & set(options)
    assert "secret" not in said[0]
    assert said[1:] == ["--become-password-file: secret", "600"]
    assert not Path(program.with_suffix(".where").read_text().strip()).exists()


@pytest.mark.parametrize("do", ["kill", "restart", "pause"])
def test_any_host_can_stop_what_is_its_own(do: str, tmp_path: Path) -> None:
    assert check_faults.problem_of(do, tmp_path, is_own=False) is None


@pytest.mark.parametrize("do", ["partition", "limit", "delay", "fill_disk", "step_clock"])
def test_the_machine_that_one_works_at_is_not_broken(do: str, tmp_path: Path) -> None:
    assert check_faults.problem_of(do, tmp_path, is_own=False).code == "fault_on_own_machine"


def test_what_a_host_lacks_for_a_fault_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(check_faults.os, "geteuid", lambda: 1000)
    assert check_faults.problem_of("partition", tmp_path, is_own=True).code == "fault_needs_root"
    monkeypatch.setattr(check_faults.os, "geteuid", lambda: 0)
    monkeypatch.setenv("PATH", str(tmp_path))
    said = check_faults.problem_of("partition", tmp_path, is_own=True)
    assert "nft (apt-get install nftables)" in said.sentence
    monkeypatch.setattr(check_faults, "in_container", lambda: True)
    said = check_faults.problem_of("step_clock", tmp_path, is_own=True)
    assert said.code == "fault_clock_shared"
    monkeypatch.setattr(check_faults, "in_container", lambda: False)
    status = tmp_path / "status"
    status.write_text("Name:\tx\nCapEff:\t0000000000000000\n")
    assert "CAP_SYS_TIME" in check_faults.clock_problem(status).sentence
    status.write_text("Name:\tx\nCapEff:\t000001ffffffffff\n")
    assert check_faults.clock_problem(status) is None


def test_what_the_kernel_refuses_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, content in {"tc": "exit 0", "unshare": "echo no netem here >&2; exit 2"}.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{content}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "no netem here" in check_faults.network_problem("delay").sentence
