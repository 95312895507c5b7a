"""A consumers worker's part, as its agent assigns it."""

from __future__ import annotations

import json
import logging
import sys
from dataclasses import dataclass
from pathlib import Path

from fpaas import common_time
from fpaas.spec import RunSpec


@dataclass(frozen=True)
class Assignment:
    """One worker's part: consumers first … first + count - 1, into `out` (None: no files).

    If it `goes_on`, it takes over from a worker that ended in this run.
    """

    spec: RunSpec
    worker: int
    first: int
    count: int
    nats_url: str
    out: Path | None
    goes_on: bool = False

    def to_line(self) -> bytes:
        """Encode for a child's standard input."""
        content = {
            "spec": self.spec.to_json(),
            "worker": self.worker,
            "first": self.first,
            "count": self.count,
            "nats_url": self.nats_url,
            "out": str(self.out) if self.out else None,
            "goes_on": self.goes_on,
            "log_level": logging.getLogger().level,
            "clock_shift_ns": common_time.shift_ns(),
        }
        return json.dumps(content).encode() + b"\n"

    @classmethod
    def from_line(cls, line: bytes) -> Assignment:
        """Decode, and set the log level and the clock of the parent."""
        content = json.loads(line)
        common_time.shift(content.pop("clock_shift_ns"))
        logging.basicConfig(
            stream=sys.stderr,
            level=content.pop("log_level"),
            format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        )
        content["spec"] = RunSpec.from_json(content["spec"], "standard input")
        content["out"] = Path(content["out"]) if content["out"] else None
        return cls(**content)
