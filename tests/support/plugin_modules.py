"""The collection's plugins as Python modules."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

from ansible.plugins.loader import init_plugin_loader

from tests.support.checkout import CHECKOUT

# Plugins import each other as the collection's.
init_plugin_loader([str(CHECKOUT / "playbooks/collections")])


def load(path: str) -> ModuleType:
    """Load as Ansible does: by path."""
    found = importlib.util.spec_from_file_location(Path(path).stem, CHECKOUT / "plugins" / path)
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module
