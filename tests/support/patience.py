"""How long tests wait for what is to come."""

from __future__ import annotations

#: Time enough on a machine that has much else to do; whatever comes earlier costs none of it.
PATIENCE_S = 60.0
