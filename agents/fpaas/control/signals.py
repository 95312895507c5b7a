"""Holds back Ctrl-C for a moment."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator


@contextlib.contextmanager
def held_back() -> Iterator[None]:
    """Let SIGINT and SIGTERM wait until the block is done.

    Output of Ansible's workers goes through a queue. A worker that is ended while it holds the
    queue's lock leaves ansible-playbook waiting for the lock for ever.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM))
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
