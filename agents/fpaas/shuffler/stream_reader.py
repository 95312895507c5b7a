"""Reads from the stream what no answer told: publishes that were never answered, second copies.

Every place in the stream that no acknowledgement named is looked at once, when the run is over: the
header `Fpaas-Seq` says whose it is. Messages that have left the stream cannot be read; such places
are second copies as far as publishes were stored after a write of unknown fate, and nobody's
otherwise.
"""

from __future__ import annotations

import base64
import logging
from typing import Any, NamedTuple

from fpaas.jetstream.jetstream_api import JetStreamApi, JetStreamError, headers_of
from fpaas.measures.intervals import IntervalSet
from fpaas.shuffler.life_before import LifeBefore
from fpaas.shuffler.publish_account import Account
from fpaas.shuffler.publish_window import PublishWindow

log = logging.getLogger(__name__)

SEQ_HEADER = "Fpaas-Seq"
ID_HEADER = "Nats-Msg-Id"
#: Places beyond this number stay unread.
READS_MAX = 2000


class _Message(NamedTuple):
    """One of the stream: its relay seq, -1 if it is not ours, its id, and its data."""

    seq: int
    message_id: str | None
    data: bytes


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
    places = places.difference(known.copy_seqs)
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
                if message is not None and not window.found(
                    message.seq, stream_seq, message.message_id, number
                ):
                    _take(message, stream_seq, account, life_before)
            elif account.maybe_stored_twice > account.stored_twice:
                account.note_copy(stream_seq, number)
            elif stream_seq < first_kept and reads < READS_MAX:
                # Messages that have left the stream have nothing more to tell.
                stream_seq = first_kept
                continue
            else:
                break
            stream_seq += 1
    kept = [place for place in window.settled_places(number) if place >= first_kept]
    for stream_seq in kept[: READS_MAX - reads]:
        # A repeat that was a duplicate may be one of what another shuffler stored.
        reads += 1
        await _look_at_settled(api, stream, stream_seq, window, number)
    if reads:
        log.info("read %d places of the stream that no answer named", reads)


async def _look_at_settled(
    api: JetStreamApi, stream: str, stream_seq: int, window: PublishWindow, number: int
) -> None:
    message = await _message_at(api, stream, stream_seq)
    if message is not None:
        window.found_settled(message.seq, stream_seq, number)


async def _message_at(api: JetStreamApi, stream: str, stream_seq: int) -> _Message | None:
    try:
        answer = await api.call(f"$JS.API.STREAM.MSG.GET.{stream}", {"seq": stream_seq})
    except JetStreamError as error:
        if not error.err_code:
            raise
        # It has just left the stream, or somebody removed it.
        return None
    return _message(answer)


def _take(
    message: _Message, stream_seq: int, account: Account, life_before: LifeBefore | None
) -> None:
    if life_before is None or not life_before.has_published(message.seq, stream_seq, message.data):
        account.foreign += 1


def _message(answer: dict[str, Any]) -> _Message:
    try:
        message = answer["message"]
        headers = dict(headers_of(base64.b64decode(message.get("hdrs", ""))))
        seq, data = int(headers.get(SEQ_HEADER, "")), base64.b64decode(message.get("data", ""))
        return _Message(seq, headers.get(ID_HEADER), data)
    except (KeyError, TypeError, AttributeError, ValueError):
        return _Message(-1, None, b"")
