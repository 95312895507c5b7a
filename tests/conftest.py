"""Fixtures that start the real thing: nats-servers of this test's own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.support.checkout import REAL_FRAMES
from tests.support.nats_servers import NatsCluster, NatsServer
from tests.support.processes_lab import ProcessesLab

# How fast an example runs says more of the machine than of the code.
settings.register_profile("lab", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("lab")
# Agents and playbooks start by the hundred; what was compiled once stays so.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


#: Each of these takes minutes. Begun last, they would go on alone when all else has ended.
LONGEST = (
    "test_container_lab.py",
    "test_playbook.py",
    "test_sweep.py",
    "test_users_environments.py",
    "test_settings.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest: beside it run unit tests first, which no load disturbs."""
    items.sort(key=lambda item: item.path.name not in LONGEST)
    items.sort(key=lambda item: item.path.name != LONGEST[0])


@pytest.fixture
def nats_cluster(tmp_path: Path) -> Iterator[NatsCluster]:
    cluster = NatsCluster(tmp_path / "nats-cluster")
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture
def nats_server(tmp_path: Path) -> Iterator[NatsServer]:
    directory = tmp_path / "nats"
    directory.mkdir()
    server = NatsServer(directory)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def labs() -> Iterator[list[ProcessesLab]]:
    """Labs that are ended after the test, whatever became of it."""
    made: list[ProcessesLab] = []
    yield made
    for lab in made:
        lab.end()


@pytest.fixture
def real_frames() -> Path:
    if not REAL_FRAMES.exists():
        pytest.skip(f"there are no real frames: {REAL_FRAMES}")
    return REAL_FRAMES
