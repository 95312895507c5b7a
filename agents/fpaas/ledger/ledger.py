"""The ledger's terms, as a run's account leaves them."""

from __future__ import annotations

from msgspec import field

from fpaas.ledger.disagreements import Disagreement
from fpaas.records.accounts import LedgerFigures

#: Why offered frames were not read: none of their neighbours was missed …
DROPPED = "dropped_between_frames_read"
BEFORE_FIRST = "before_the_first_read"
AFTER_LAST = "after_the_last_read"
#: … or the shuffler was killed, and the stream does not have them …
SHUFFLER_DIED = "shuffler_died"
#: … or the relay was, with frames that it had offered on their way.
RELAY_DIED = "relay_died"
NOT_READ_CAUSES = (DROPPED, BEFORE_FIRST, AFTER_LAST, SHUFFLER_DIED, RELAY_DIED)


class Ledger(LedgerFigures, kw_only=True):
    """The contract's ledger, in events and deliveries.

    `disagreements` are what `unexplained` is made of, `tolerated` what is known and no part of it.
    """

    #: Why events of a lost stream were not stored in the next one.
    stream_lost_by_cause: dict[str, int] | None = None
    #: The side of the deliveries, by class of a mix.
    by_class: dict[str, LedgerFigures] = field(default_factory=dict)
    disagreements: list[Disagreement] = field(default_factory=list)
    tolerated: list[Disagreement] = field(default_factory=list)

    def figures(self) -> LedgerFigures:
        """Return the ledger of summary.json."""
        names = LedgerFigures.__struct_fields__
        return LedgerFigures(**{name: getattr(self, name) for name in names})
