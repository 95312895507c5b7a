"""Every latency leg there is: who records it, what it means, what is filed under when. Pure data.

A *call* has a beginning, and may not have ended when a run is over: it belongs to the window in
which it began, and counts as open, with its age, until it ends. An *age* is taken when something
arrives, from the start of the window to the run's end, because whatever is held up arrives after
the window; if it never arrives, its age at the end counts.
"""

from __future__ import annotations

from dataclasses import dataclass

#: What assigns a sample to the window.
DUE, SENT, RECEIVED, FIRST_FETCH = "due", "sent", "received", "first fetch"

#: On whose clock a leg begins: the process's own that ends it, the relay's, the NATS server's.
OWN_CLOCK, RELAY_CLOCK, SERVER_CLOCK = "own", "relay", "server"


@dataclass(frozen=True)
class LegKind:
    """One leg; `recorded` is its tag in the agent's histogram log, None if it is derived.

    A headline leg is always in tables, has a line on the screen, is compared and drawn over sweeps.
    """

    agent: str
    recorded: str | None
    title: str
    meaning: str
    assigned_by: str
    begins_on: str
    #: For an age: words for deliveries that never arrived, one and many (see agreement).
    never: str = ""
    is_headline: bool = False

    @property
    def is_age(self) -> bool:
        """Whether it is filed under arrivals, not beginnings."""
        return self.assigned_by in (RECEIVED, FIRST_FETCH)


#: The legs of latency_ms, in the order of the data's way.
LEGS = {
    "due_to_sent": LegKind(
        "relay",
        "relay_lateness",
        "due to sent",
        "due at the relay → handed to its socket",
        DUE,
        OWN_CLOCK,
    ),
    "due_to_read": LegKind(
        "shuffler",
        "due_to_read",
        "due to read",
        "due at the relay → read by the shuffler",
        DUE,
        RELAY_CLOCK,
    ),
    "publish_ack": LegKind(
        "shuffler",
        "publish_ack",
        "publish to ack",
        "written to NATS → acked",
        SENT,
        OWN_CLOCK,
        is_headline=True,
    ),
    "due_to_ack": LegKind(
        "shuffler",
        "due_to_ack",
        "due to ack",
        "due at the relay → acked by NATS",
        DUE,
        RELAY_CLOCK,
    ),
    "publish_to_first_fetch": LegKind(
        "consumers",
        None,
        "publish to first fetch",
        "stored → first fetched by any consumer",
        FIRST_FETCH,
        SERVER_CLOCK,
        "message stored that no consumer ever fetched|messages stored that no consumer ever "
        "fetched",
        is_headline=True,
    ),
    "publish_to_fetch": LegKind(
        "consumers",
        "publish_to_fetch",
        "publish to fetch",
        "stored → fetched, each delivery",
        RECEIVED,
        SERVER_CLOCK,
        "delivery owed in the whole run and never made|deliveries owed in the whole run and never "
        "made",
    ),
    "end_to_end": LegKind(
        "consumers",
        "end_to_end",
        "due to received",
        "due at the relay → received by a consumer, each delivery",
        RECEIVED,
        RELAY_CLOCK,
        "delivery owed in the whole run and never made|deliveries owed in the whole run and never "
        "made",
        is_headline=True,
    ),
    "fetch_call": LegKind(
        "consumers",
        "fetch_call",
        "fetch call",
        "pull sent → answered",
        SENT,
        OWN_CLOCK,
        is_headline=True,
    ),
    "fetch_call_intended": LegKind(
        "consumers",
        "fetch_call_intended",
        "fetch call from due",
        "pull due → answered",
        DUE,
        OWN_CLOCK,
    ),
}


def legs_of_polls() -> list[str]:
    """Name the legs that only consumers have who ask for messages."""
    return [name for name, kind in LEGS.items() if kind.agent == "consumers" and not kind.is_age]


def legs_by_class() -> list[str]:
    """Name the legs that are known of each class of consumers."""
    return [name for name, kind in LEGS.items() if kind.agent == "consumers" and kind.recorded]


def headline_legs() -> list[str]:
    """Name the legs that every run is told and compared by, in the order of the data's way."""
    return [name for name, kind in LEGS.items() if kind.is_headline]
