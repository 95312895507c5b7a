"""`fpaas login`: a lab's NATS for one's own tools."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import click

from fpaas import utf8_locale
from fpaas.control import login, play_notes
from fpaas.errors import BadInput

PLAYBOOK = Path("playbooks") / "login.yml"
ANSWER_LIMIT_S = 120.0


@click.command
@click.option(
    "-i",
    "--inventory",
    type=click.Path(path_type=Path),
    help="The lab's inventory. Default: the lab on this machine.",
)
@click.option("-e", "extra", multiple=True, metavar="NAME=VALUE", help="The same as for the run.")
def command(inventory: Path | None, extra: tuple[str, ...]) -> None:
    """Print URL, credentials and CA of a lab's NATS as environment variables.

    For the `nats` CLI and scripts, in the checkout: eval "$(fpaas login)"; nats stream ls
    """
    if not PLAYBOOK.exists():
        raise BadInput(f"{PLAYBOOK} is not here; go to the lab's checkout")
    with tempfile.TemporaryDirectory() as directory:
        answer = Path(directory) / "login.json"
        arguments = ["-i", str(inventory)] if inventory else []
        for one in (*extra, f"login_file={answer}"):
            arguments += ["-e", one]
        program = Path(sys.executable).with_name("ansible-playbook")
        done = subprocess.run(  # noqa: S603  the lab's own
            [str(program), str(PLAYBOOK), *arguments],
            env=play_notes.environment(utf8_locale.for_ansible(os.environ), answer),
            capture_output=True,
            text=True,
            timeout=ANSWER_LIMIT_S,
            check=False,
        )
        if not answer.exists():
            # What Ansible says around it helps only if no task of ours says why.
            said = play_notes.last_failure(answer) or (done.stderr or done.stdout).strip()[-1500:]
            raise BadInput(f"{inventory or PLAYBOOK}: {said}")
        told = json.loads(answer.read_text(encoding="utf-8"))
    path = Path(told["credentials_file"])
    try:
        secrets = login.credentials(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadInput(
            f"{path}: {error.strerror}; the lab is not provisioned: run a scenario, or "
            "playbooks/site.yml, first"
        ) from error
    except ValueError as error:
        raise BadInput(f"{path}: {error}") from error
    if told["ca_file"] and not Path(told["ca_file"]).exists():
        raise BadInput(
            f"{told['ca_file']}: does not exist: the lab's NATS speaks no TLS; leave out nats_tls, "
            "or provision the lab with it"
        )
    click.echo(login.exports(told["url"], secrets, told["ca_file"]))
