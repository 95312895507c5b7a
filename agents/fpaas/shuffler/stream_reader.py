"""Reads from the stream what no answer told: publishes that were never answered, second copies.

Every place in the stream that no acknowledgement named is looked at once, when the run is over: the
headers `Fpaas-Shuffler` and `Fpaas-Seq` say whose it is. Messages that have left the stream cannot
be read; such places are second copies as far as publishes were stored after a write of unknown
fate, and nobody's otherwise.
"""

from __future__ import annotations

import logging
from typing import Any

from fpaas.jetstream.jetstream_api import JetStreamApi, JetStreamError
from fpaas.measures.intervals import IntervalSet
from fpaas.shuffler.life_before import LifeBefore
from fpaas.shuffler.publish_account import Account
from fpaas.shuffler.publish_window import PublishWindow
from fpaas.shuffler.stream_message import StreamMessage

log = logging.getLogger(__name__)

#: Places beyond this number stay unread.
READS_MAX = 2000


async def settle(
    api: JetStreamApi,
    stream: str,
    account: Account,
    window: PublishWindow,
    life_before: LifeBefore | None = None,
    *,
    number: int = 0,
) -> None:
    """Read every place that no answer named, of stream `number`.

    Raises JetStreamError if NATS does not answer.
    """
    state: Any = (await api.stream_info(stream)).get("state")
    try:
        first_kept, last_seq = int(state["first_seq"]), int(state["last_seq"])
    except (KeyError, TypeError, ValueError) as error:
        raise JetStreamError(f"stream {stream}: its state makes no sense: {error}") from error
    if last_seq <= 0:
        return
    known = account.streams[number]
    places = IntervalSet([(1, last_seq)]).difference(known.stored_seqs)
    places = places.difference(known.copy_seqs).difference(known.foreign_seqs)
    reads = 0
    for first, last in places:
        stream_seq = first
        while stream_seq <= last:
            if stream_seq in known.stored_seqs:
                # Its answer has come while others were looked at.
                pass
            elif stream_seq >= first_kept and reads < READS_MAX:
                reads += 1
                message = await _message_at(api, stream, stream_seq)
                if message is None or window.found(message, stream_seq, number):
                    pass
                elif life_before is None or not life_before.has_published(message, stream_seq):
                    account.note_foreign(stream_seq, number)
            elif account.maybe_stored_twice > account.stored_twice:
                account.note_copy(stream_seq, number)
            elif stream_seq < first_kept and reads < READS_MAX:
                # Messages that have left the stream have nothing more to tell.
                stream_seq = first_kept
                continue
            else:
                break
            stream_seq += 1
    if reads:
        log.info("read %d places of the stream that no answer named", reads)


async def read_settled(
    api: JetStreamApi,
    stream: str,
    account: Account,
    window: PublishWindow,
    *,
    number: int = 0,
    reads_max: int,
) -> None:
    """Read places of stream `number` that duplicates said to have this shuffler's publishes.

    Raises JetStreamError if NATS does not answer.
    """
    places = window.settled.of_stream(number)[:reads_max]
    if not places:
        return
    messages = [(place, await _message_at(api, stream, place)) for place in places]
    known = account.streams[number]
    created = (await api.stream_info(stream)).get("created")
    if known.created in (None, created) and known is account.streams[number]:
        # So it was the same stream all the time.
        for place, message in messages:
            window.settled.has_read(message, place, number)


async def _message_at(api: JetStreamApi, stream: str, stream_seq: int) -> StreamMessage | None:
    try:
        answer = await api.call(f"$JS.API.STREAM.MSG.GET.{stream}", {"seq": stream_seq})
    except JetStreamError as error:
        if not error.err_code:
            raise
        # It has just left the stream, or somebody removed it.
        return None
    return StreamMessage.of_answer(answer)
