"""The role's rules and alerts, by Prometheus' own tool."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support import prometheus
from tests.support.checkout import CHECKOUT

pytestmark = pytest.mark.integration

RULES = CHECKOUT / "roles" / "prometheus" / "files" / "rules.yml"
CASES = CHECKOUT / "tests" / "data" / "prometheus" / "rules_test.yml"


def promtool_on(directory: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [prometheus.program("promtool"), "test", "rules", CASES.name],
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_rules_come_out_as_their_cases_say(tmp_path: Path) -> None:
    shutil.copy(CASES, tmp_path)
    shutil.copy(RULES, tmp_path)
    done = promtool_on(tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    # They can fail.
    lenient = RULES.read_text().replace("> 0.9", "> 9")
    assert lenient != RULES.read_text()
    (tmp_path / RULES.name).write_text(lenient)
    assert promtool_on(tmp_path).returncode != 0
