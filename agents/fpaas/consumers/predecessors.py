"""Files of workers that ended, about the consumers that another worker took over."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from fpaas.measures import delivery_log
from fpaas.measures.delivery_log import ConsumerDeliveries
from fpaas.records import consumers, files
from fpaas.records.consumers import WorkerResult


def logs_of_stream(
    directory: Path, worker: int, created: str | None, durable_of: Callable[[int], str]
) -> Iterator[ConsumerDeliveries]:
    """Iterate over what workers before this one logged of the stream made at `created`.

    A log that nobody can read is as good as none: its consumers begin again.
    """
    for before in range(worker):
        stem = directory / consumers.stem(before)
        try:
            streams = files.read(directory / consumers.name(before), WorkerResult).streams
            journal = Path(f"{stem}.deliveries.journal")
            if journal.exists():
                logs = delivery_log.read_journal(journal, durable_of)
            else:
                logs = delivery_log.read(Path(f"{stem}.deliveries.cbor.gz"))
        except (OSError, ValueError, files.UnreadableError):
            continue
        for one in logs:
            if streams[min(one.stream, len(streams) - 1)] == created:
                yield one
