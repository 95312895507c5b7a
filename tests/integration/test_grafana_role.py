"""The role on this machine, with a stand-in for Grafana: the real one cannot be had here.

The stand-in reads the configuration as Grafana would and listens where that says. What Grafana
itself makes of its files is not tried.
"""

from __future__ import annotations

import base64
import hashlib
import json
import socket
import ssl
import tarfile
import urllib.error
import urllib.request
from pathlib import Path

import pytest
import yaml  # type: ignore[import-untyped]
from tools.dashboards.__main__ import DIRECTORY

from fpaas.control import lab_processes
from tests.support import prometheus, verdict_codes
from tests.support.checkout import CHECKOUT
from tests.support.playbook_lab import PLAYBOOK_S, Lab, Played, read_until
from tests.support.ports import free_port

pytestmark = [pytest.mark.integration, pytest.mark.matrix]

STAND_IN = CHECKOUT / "tests" / "data" / "grafana-stand-in"


def archive(directory: Path) -> tuple[Path, str]:
    path = directory / "grafana.linux-amd64.tar.gz"
    with tarfile.open(path, "w:gz") as file:
        file.add(STAND_IN, "grafana-11.6.0")
    return path, hashlib.sha256(path.read_bytes()).hexdigest()


def ask(url: str, ca_file: Path, login: str) -> int:
    request = urllib.request.Request(url)
    request.add_header("Authorization", "Basic " + base64.b64encode(login.encode()).decode())
    context = ssl.create_default_context(cafile=str(ca_file))
    try:
        with urllib.request.urlopen(request, timeout=10, context=context) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def play(lab: Lab, source: Path, checksum: str, **variables: object) -> Played:
    """Play the role by itself, with what the roles before it would have made."""
    (lab.lab_dir / "control").mkdir(parents=True, exist_ok=True)
    login = 'PROMETHEUS_USER="fpaas"\nPROMETHEUS_PASSWORD="of Prometheus"\n'
    (lab.lab_dir / "prometheus_credentials").write_text(login)
    role = {"role": "fpaas.bench_lab.grafana"}
    path = lab.directory / "play.yml"
    path.write_text(json.dumps([{"hosts": "monitoring", "gather_facts": False, "roles": [role]}]))
    return lab.play(
        str(path),
        grafana_source=str(source),
        grafana_checksum=checksum,
        prometheus_tls=True,
        **variables,
    )


def test_another_file_than_was_asked_for_is_refused(tmp_path: Path) -> None:
    source, checksum = archive(tmp_path)
    lab = Lab(tmp_path)
    refused = play(lab, source, "0" * 64)
    assert refused.exit_code == 2
    assert f"is not the SHA-256 of {source}, which is {checksum}" in refused.flat
    refused = play(lab, tmp_path / "none.deb", checksum)
    assert f"grafana_source: {tmp_path}/none.deb does not exist" in refused.flat
    assert not list(lab.lab_dir.glob("grafana*"))


def test_it_is_configured_and_kept_up(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    port = free_port()
    try:
        played = play(lab, *archive(tmp_path), grafana_port=port)
        assert played.exit_code == 0
        secrets = (lab.lab_dir / "grafana_credentials").read_text().split('"')
        user, password, secret_key = secrets[1::2]
        assert len(password) == len(secret_key) == 32
        assert password not in played.output
        url, ca_file = f"https://127.0.0.1:{port}", lab.lab_dir / "control/ca.pem"
        assert ask(url, ca_file, f"{user}:{password}") == 200
        assert ask(url, ca_file, "admin:admin") == 401

        directory = lab.lab_dir / "grafana"
        provisioning = directory / "provisioning"
        [data_source] = yaml.safe_load((provisioning / "datasources/fpaas.yml").read_text())[
            "datasources"
        ]
        assert data_source["url"] == f"https://127.0.0.1:{lab.variables['prometheus_port']}"
        assert data_source["basicAuthUser"] == "fpaas"
        assert data_source["jsonData"]["timeInterval"] == "5s"
        assert data_source["secureJsonData"] == {
            "basicAuthPassword": f"$__file{{{directory}/prometheus_password}}",
            "tlsCACert": f"$__file{{{directory}/ca.pem}}",
        }
        assert (directory / "prometheus_password").read_text() == "of Prometheus"
        [provider] = yaml.safe_load((provisioning / "dashboards/fpaas.yml").read_text())[
            "providers"
        ]
        dashboards = Path(provider["options"]["path"])
        assert {path.name: path.read_text() for path in dashboards.iterdir()} == {
            path.name: path.read_text() for path in DIRECTORY.iterdir()
        }
        assert (directory / "grafana.ini").stat().st_mode & 0o007 == 0
    finally:
        lab_processes.sweep(lab.lab_dir)
    assert lab.running() == []


def test_a_run_notes_which_of_the_two_did_not_come_up(tmp_path: Path) -> None:
    """The other program takes Prometheus' port when it has been checked."""
    prometheus.program("prometheus")
    source, checksum = archive(tmp_path)
    lab = Lab(tmp_path)
    process = lab.start(
        lab_monitoring=True,
        prometheus_tls=True,
        grafana_source=str(source),
        grafana_checksum=checksum,
        grafana_port=free_port(),
    )
    read_until(process, "PLAY [Prepare the hosts]")
    with socket.create_server(("127.0.0.1", lab.variables["prometheus_port"])):
        process.communicate(timeout=PLAYBOOK_S)
    summary = json.loads((lab.results / "latest" / "summary.json").read_text())
    notes = verdict_codes.entries(summary, "note")
    assert [
        (one["code"], one["host"], one["parameters"])
        for one in notes
        if one["code"].startswith("watching")
    ] == [("watching_missing", "localhost", {"process": "prometheus"})]
    watching = summary["resources"]["processes"].keys() & {"prometheus", "grafana"}
    assert watching == {"grafana"}
