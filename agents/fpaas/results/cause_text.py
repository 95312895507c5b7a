"""Causes in the ledger, in words; pure."""

from __future__ import annotations

from collections.abc import Mapping

from fpaas.results import durable_account, ledger

NOT_READ = {
    ledger.DROPPED: "vanished on the way, between frames that were read",
    ledger.BEFORE_FIRST: "fell due before the shuffler read its first",
    ledger.AFTER_LAST: "after the last that the shuffler read; it did not keep up",
    ledger.SHUFFLER_DIED: "neither in the account of the killed shuffler nor in the stream",
}
LOST = {
    durable_account.NOT_RECEIVED: "were sent by the server and received by nobody, and expired "
    "before they could be sent again",
    durable_account.AGENT_DIED: "were sent to a consumer that was killed, which may have received "
    "them, and are gone",
    durable_account.REMOVED: "were removed from the stream by somebody, before their age or its "
    "size asked for it",
    durable_account.STREAM_LOST: "were in the stream when it was lost with its server",
}


def causes(counts: Mapping[str, int] | None, words: Mapping[str, str]) -> str:
    """Write the causes of a term to stand behind it: those that there are, each with its count."""
    found = [f"{counts[cause]} {text}" for cause, text in words.items() if counts and counts[cause]]
    return f": {'; '.join(found)}" if found else ""
