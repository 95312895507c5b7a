"""The relay's bad manners, if they fail."""

from __future__ import annotations

import asyncio

import pytest

from fpaas import common_time
from fpaas.relay.audience import Audience
from fpaas.relay.cursors import Rules
from fpaas.relay.manners import Manners
from fpaas.spec import Fault
from tests.support.patience import PATIENCE_S


class UnableAudience(Audience):
    """Cannot be treated badly."""

    def hold(self, fault: Fault) -> None:
        raise OSError(fault.do)


def test_manners_that_fail_do_not_keep_the_relay_from_sending() -> None:
    async def main() -> None:
        overdue = Fault("silence", "relay", at_s=-5, for_s=60)
        manners = Manners(UnableAudience(Rules()), [overdue], common_time.now_ns(), None)
        playing = asyncio.create_task(manners.play())
        await asyncio.wait_for(manners.caught_up(), PATIENCE_S)
        with pytest.raises(ExceptionGroup):
            await playing

    asyncio.run(main())
