"""What a playbook notes of a run reaches the bundle's reader: through Ansible, as a record."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fpaas.control import play_notes
from fpaas.records import control, events, files, status
from fpaas.records.control import ControlAccount, ControlProblem, Trouble
from fpaas.records.status import AgentStatus, State
from fpaas.verdict import codes
from tests.support.checkout import CHECKOUT, SCRIPTS
from tests.support.raw_run import T0_UNIX_NS, RawRun

pytestmark = pytest.mark.integration

PLAYBOOK = """
- hosts: localhost
  connection: local
  gather_facts: false
  tasks:
    - fpaas.bench_lab.watch_run:
        directory: "{{ directory }}"
        agents: [relay, shuffler]
        grace_s: 1
        events: "{{ directory }}/control.events.jsonl"
      register: watched

    - fpaas.bench_lab.note_event:
        log: "{{ directory }}/control.events.jsonl"
        kind: run_collected
        parameters:
          host: "{{ inventory_hostname }}"

    - ansible.builtin.set_fact:
        run_problems: "{{ watched.problems }}"
        run_armed_id: one
        run_collected: true

    - ansible.builtin.command: "false"
      ignore_errors: true
      register: failed

    - ansible.builtin.set_fact:
        run_problems: "{{ run_problems + [failure] }}"
      vars:
        failure:
          problem: task_failed
          host: "{{ inventory_hostname }}"
          parameters:
            task: "{{ directory | basename }}"
            message: "{{ failed.msg }}"

    - ansible.builtin.copy:
        content: "{{ known | to_json | fpaas.bench_lab.control_record(event_log) }}"
        dest: "{{ directory }}/control.json"
        mode: "0644"
      vars:
        event_log: "{{ directory }}/control.events.jsonl"
        account: "{{ ansible_play_hosts_all | fpaas.bench_lab.run_account(hostvars, 'one') }}"
        known:
          run_id: one
          problems: "{{ account.problems + account.unreached_problems }}"
          inventory: "{{ ansible_inventory_sources }}"

    - ansible.builtin.copy:
        content: "{{ account.sentences | to_json }}"
        dest: "{{ directory }}/sentences.json"
        mode: "0644"
      vars:
        account: "{{ ansible_play_hosts_all | fpaas.bench_lab.run_account(hostvars, 'one') }}"

    - name: Be refused
      ansible.builtin.fail:
        msg: "{{ item }}: is in use"
      loop: [nats_port]
"""


def test_trouble_goes_from_where_it_is_noticed_into_the_account(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(RawRun().spec.to_json())
    status.write(
        tmp_path,
        AgentStatus(agent="relay", state=State.FAILED, message="no", unix_ns=T0_UNIX_NS, pid=1),
    )
    status.write(
        tmp_path,
        AgentStatus(agent="shuffler", state=State.RUNNING, unix_ns=T0_UNIX_NS, pid=os.getpid()),
    )
    playbook = tmp_path / "play.yml"
    playbook.write_text(PLAYBOOK)
    extra = {"directory": str(tmp_path), "ansible_python_interpreter": sys.executable}
    done = subprocess.run(
        [SCRIPTS / "ansible-playbook", playbook, "-i", "localhost,", "-e", json.dumps(extra)],
        cwd=CHECKOUT,
        env={
            **play_notes.environment(os.environ, tmp_path / "play.log"),
            "ANSIBLE_COLLECTIONS_PATH": str(CHECKOUT / "playbooks/collections"),
            "ANSIBLE_LOCALHOST_WARNING": "false",
        },
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    # Who played the playbook reads why it failed as a record. What was ignored is none.
    failure = play_notes.TaskFailed("localhost", "Be refused", "nats_port: is in use")
    assert play_notes.read(tmp_path / "play.log") == [failure], done.stdout + done.stderr
    account = files.read(tmp_path / control.NAME, ControlAccount)
    failed, *others = account.problems
    assert failed == ControlProblem(
        problem=Trouble.FAILED,
        host="localhost",
        parameters={"agent": "relay", "message": "no"},
    )
    assert [one.problem for one in others if isinstance(one, ControlProblem)] == [
        Trouble.NOT_ENDED,
        Trouble.TASK_FAILED,
    ]
    # Who started the run reads it in words, at once and at the end.
    noted, wrong = events.read(tmp_path / control.EVENTS)
    assert wrong is None
    assert [(one.kind, one.parameters["host"]) for one in noted] == [
        (events.TROUBLE_NOTED, "localhost"),
        (events.TROUBLE_NOTED, "localhost"),
        (events.RUN_COLLECTED, "localhost"),
    ]
    assert noted[-1].end_unix_ns == noted[-1].begin_unix_ns
    said = codes.sentence(failed.reason())
    assert said in done.stdout
    assert json.loads((tmp_path / "sentences.json").read_text())[0] == said
