"""A consumers worker as a child of the agent: `python -m fpaas.consumers.worker_process`.

It reads its Assignment as one line from standard input, says how it goes as JSON lines on standard
output, and ends when its parent does.
"""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import asdict
from pathlib import Path

from fpaas import agent
from fpaas.consumers.assignment import Assignment
from fpaas.consumers.consumer_worker import ConsumerWorker
from fpaas.errors import EXIT_DONE, EXIT_RUN_INVALID, BadInput, RunInvalid
from fpaas.records.status import State


def _say(**content: object) -> None:
    sys.stdout.write(json.dumps(content) + "\n")
    sys.stdout.flush()


async def _parent_is_gone(stop: asyncio.Event) -> None:
    """Set `stop` when standard input ends: a worker does not outlive its agent."""
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin.buffer)
    await reader.read()
    stop.set()


async def _play_as_child(assignment: Assignment) -> None:
    stop = agent.stop_event()
    watch = asyncio.ensure_future(_parent_is_gone(stop))
    try:
        worker = ConsumerWorker(assignment)
        if not await worker.connect(stop):
            return
        _say(state=State.READY)
        await worker.play(stop, lambda figures: _say(figures=asdict(figures)))
        await worker.finish()
    finally:
        watch.cancel()


def main() -> int:
    """Play what standard input says; the exit code is the agent's."""
    assignment = Assignment.from_line(sys.stdin.buffer.readline())
    try:
        agent.run_loop(_play_as_child(assignment))
    except (RunInvalid, BadInput) as error:
        _say(state=State.FAILED, message=error.message)
        return error.exit_code
    except OSError as error:
        _say(state=State.FAILED, message=cannot_write(assignment.out, error))
        return EXIT_RUN_INVALID
    return EXIT_DONE


def cannot_write(out: Path | None, error: OSError) -> str:
    """Say that results could not be written, and why."""
    return f"cannot write results to {error.filename or out}: {error.strerror}; free some space"


if __name__ == "__main__":
    sys.exit(main())
