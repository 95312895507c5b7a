"""A notebook, or a test, may read bundles side by side."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

BUNDLE = Path(__file__).parent.parent / "data" / "bundles" / "passing"
#: In a process of its own, which has read none before.
READERS = """
import sys, threading
from pathlib import Path
from fpaas.bundle.loader import load_bundle

sys.setswitchinterval(1e-6)
together = threading.Barrier(8)

def read():
    together.wait()
    assert load_bundle(Path(sys.argv[1])).problems == []

threads = [threading.Thread(target=read) for _ in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
"""


def test_threads_may_read_their_first_bundles_at_the_same_time() -> None:
    command = [sys.executable, "-c", READERS, str(BUNDLE)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")
