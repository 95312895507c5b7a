"""Where the checkout is, and what stands in it and beside it."""

from __future__ import annotations

import sysconfig
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
SCRIPTS = Path(sysconfig.get_path("scripts"))
REAL_FRAMES = CHECKOUT.parent / "shared" / "firehose" / "frames-100.bin"
