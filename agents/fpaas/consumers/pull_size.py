"""How much one pull may bring, and how many of them a connection carries: in bytes.

A batch is a number of messages, however large; what a connection can hold is bytes. So a pull also
states `max_bytes`, at which the server ends it with a special status, unless the frames are the
lab's synthetic ones, whose size is known.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from fpaas.firehose.frames import MAX_FRAME_BYTES
from fpaas.spec import RunSpec

SYNTHETIC = "synthetic"
#: p99 of the firehose's frames with headers, and how much larger than their mean that is.
FIREHOSE_MESSAGE_BYTES = 9_000
P99_PER_MEAN = 1.65
#: The server cuts a connection off at 64 MiB pending; stay well under.
OUTSTANDING_BYTES_MAX = 16 * 1024 * 1024
#: The most that the server has on its way to a consumer with flow control, by default.
FLOW_CONTROL_BYTES = 32 * 1024 * 1024
#: The largest frame with subject and headers. A pull that allows less would never get past it.
LARGEST_MESSAGE_BYTES = MAX_FRAME_BYTES + 64 * 1024
#: Per worker process, unless each consumer has its own.
CONNECTIONS_MAX = 256
#: Open files that a process needs beside those of its connections.
OTHER_OPEN_FILES = 64


@dataclass(frozen=True)
class PullSize:
    """Size of one consumer's pulls; most messages are smaller than `message_bytes`.

    `is_sure` tells that none is much larger.
    """

    batch_size: int
    message_bytes: int
    is_sure: bool = False

    @classmethod
    def of(cls, spec: RunSpec) -> PullSize:
        """Reckon with the frames that a run's source has."""
        mean = spec.firehose.frame_bytes_mean or 0.0
        consumers = spec.consumers
        message_bytes = max(FIREHOSE_MESSAGE_BYTES, math.ceil(mean * P99_PER_MEAN))
        batch_size = consumers.batch_size
        if consumers.is_pushed:
            # No more than may wait for its ack.
            batch_size = consumers.max_ack_pending
        if consumers.is_ordered:
            batch_size = max(1, FLOW_CONTROL_BYTES // message_bytes)
        return cls(
            batch_size,
            message_bytes,
            is_sure=spec.firehose.source == SYNTHETIC,
        )

    @property
    def batch_bytes(self) -> int:
        """The most bytes that a batch can bring."""
        return self.batch_size * self.message_bytes

    @property
    def bytes_max(self) -> int:
        """At which the server ends a pull."""
        return max(LARGEST_MESSAGE_BYTES, min(self.batch_bytes, OUTSTANDING_BYTES_MAX))

    @property
    def stated_bytes_max(self) -> int | None:
        """The limit that a pull states; None if its batch is limit enough."""
        return None if self.is_sure and self.batch_bytes <= self.bytes_max else self.bytes_max

    @property
    def pulls_at_a_time(self) -> int:
        """How many one connection may have in flight."""
        return max(1, OUTSTANDING_BYTES_MAX // min(self.batch_bytes, OUTSTANDING_BYTES_MAX))


def spread(count: int, per_connection: int, connections_max: int) -> list[int]:
    """Spread consumers over connections as evenly as whole numbers allow.

    Returns the size of each connection's share; there are as few as `per_connection` allows, and
    never more than `connections_max`.
    """
    connections = max(1, min(-(-count // per_connection), connections_max, count))
    return [
        count // connections + (position < count % connections) for position in range(connections)
    ]
