"""All hosts of a lab within one task, by Ansible's connections: jumps, ports, passwords, sudo."""

# ruff: noqa: SLF001  (Ansible has no public way to connect to another host than the task's)

from __future__ import annotations

import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleConnectionFailure, AnsibleError
from ansible.executor.task_executor import TaskExecutor
from ansible.playbook.play_context import PlayContext
from ansible.plugins.action import ActionBase

from fpaas.control.lab_host import Ended, Host, HostError, HostSilentError

#: Of the host that the task is played for, these hide what somebody typed.
OWN_PASSWORDS = {
    "become_pass": ("ansible_become_password", "ansible_become_pass", "ansible_sudo_pass"),
    "conn_pass": ("ansible_password", "ansible_ssh_pass", "ansible_ssh_password"),
}


class OnHost(ActionBase):  # type: ignore[misc]  # Ansible has no types
    """An action's way to one host, whichever the action itself is played for."""

    def run(self, tmp: object = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Do nothing: it is no task's action."""
        raise NotImplementedError

    def call(self, script: str, stdin: str = "") -> Ended:
        """Have a shell there run a script.

        It is always given some input: without, Ansible opens a terminal, which mixes up what the
        script prints with what it complains of.
        """
        line = f"sh -c {shlex.quote(script)}"
        try:
            ended = self._low_level_execute_command(line, in_data=(stdin or "\n").encode())
        except AnsibleConnectionFailure as error:
            raise HostSilentError(str(error)) from error
        except AnsibleError as error:
            raise HostError(str(error)) from error
        return Ended(ended["rc"], ended["stdout"], ended["stderr"])

    def fetch(self, path: str, into: Path) -> None:
        """Bring a file from there."""
        try:
            self._connection.fetch_file(path, str(into))
        except AnsibleConnectionFailure as error:
            raise HostSilentError(str(error)) from error
        except AnsibleError as error:
            raise HostError(str(error)) from error

    def reset(self) -> None:
        """Forget a connection that is broken."""
        self._connection.reset()


def of_action(action: ActionBase) -> Host:
    """Return the host that an action is played for."""
    return OnHost(
        task=action._task,
        connection=action._connection,
        play_context=action._play_context,
        loader=action._loader,
        templar=action._templar,
        shared_loader_obj=action._shared_loader_obj,
    )


def connect(action: ActionBase, task_vars: dict[str, Any], names: Iterable[str]) -> dict[str, Host]:
    """Return ways to hosts, as Ansible would connect to each for a task of its own."""
    return {name: _connect(action, task_vars, name) for name in names}


def _connect(action: ActionBase, task_vars: dict[str, Any], name: str) -> Host:
    variables = _variables(action, task_vars, name)
    templar = action._templar.copy_with_new_env(available_variables=variables)
    typed = {
        option: getattr(action._play_context, attribute)
        for option, attribute in (("become_pass", "become_pass"), ("conn_pass", "password"))
        if not any(name in task_vars for name in OWN_PASSWORDS[option])
    }
    # Not the action's: that has the address, user and password of the host it is played for.
    context = PlayContext(passwords=typed).set_task_and_variable_override(
        task=action._task, variables=variables, templar=templar
    )
    context.post_validate(templar=templar)
    context.remote_addr = context.remote_addr or name
    executor = TaskExecutor(
        None,
        action._task,
        variables,
        context,
        action._loader,
        action._shared_loader_obj,
        None,
        None,
    )
    transport = templar.template(variables.get("ansible_connection", action._task.connection))
    executor._connection = executor._get_connection(variables, templar, transport)
    executor._set_connection_options(variables, templar)
    executor._connection._play_context = executor._play_context
    return OnHost(
        task=action._task,
        connection=executor._connection,
        play_context=executor._play_context,
        loader=action._loader,
        templar=templar,
        shared_loader_obj=action._shared_loader_obj,
    )


def _variables(action: ActionBase, task_vars: dict[str, Any], name: str) -> dict[str, Any]:
    """Return a host's variables as the task has them: defaults of roles decide on sudo, too."""
    known = task_vars["hostvars"]
    found: dict[str, Any] = known._variable_manager.get_vars(
        play=action._task.get_play(), host=known._inventory.get_host(name), task=action._task
    )
    return found
