"""Reads from the stream what no answer told: publishes that were never answered, second copies.

Every place in the stream that no acknowledgement named is looked at once, when the run is over: the
header `Fpaas-Seq` says whose it is. What has left the stream by then cannot be read; such places
are second copies as far as publishes were stored after a write of unknown fate, and nobody's
otherwise.
"""

from __future__ import annotations

import base64
import logging

from fpaas.jetstream.jetstream_api import JetStreamApi, JetStreamError, headers_of
from fpaas.measures.intervals import IntervalSet
from fpaas.shuffler.publish_account import Account
from fpaas.shuffler.publish_window import PublishWindow

log = logging.getLogger(__name__)

SEQ_HEADER = "Fpaas-Seq"
ID_HEADER = "Nats-Msg-Id"
#: Of more places than this, the rest stays unread.
READS_MAX = 2000


async def settle(api: JetStreamApi, stream: str, account: Account, window: PublishWindow) -> None:
    """Read every place that no answer named. Raises JetStreamError where NATS does not answer."""
    state = (await api.stream_info(stream))["state"]
    last_seq = int(state["last_seq"])
    if not last_seq:
        return
    places = IntervalSet([(1, last_seq)]).difference(account.stream.stored_seqs)
    places = places.difference(account.stream.copy_seqs)
    reads = 0
    for first, last in places:
        for stream_seq in range(first, last + 1):
            if stream_seq >= int(state["first_seq"]) and reads < READS_MAX:
                reads += 1
                await _look(api, stream, stream_seq, account, window)
            elif account.maybe_stored_twice > account.stored_twice:
                account.note_copy(stream_seq)
    if reads:
        log.info("read %d places of the stream that no answer named", reads)


async def _look(
    api: JetStreamApi, stream: str, stream_seq: int, account: Account, window: PublishWindow
) -> None:
    try:
        answer = await api.call(f"$JS.API.STREAM.MSG.GET.{stream}", {"seq": stream_seq})
        header = base64.b64decode(answer["message"].get("hdrs", ""))
        headers = dict(headers_of(header))
        message_id = headers.get(ID_HEADER)
        seq = int(headers.get(SEQ_HEADER, ""))
    except JetStreamError as error:
        if not error.err_code:
            raise
        # It has just left the stream, or somebody removed it.
        return
    except ValueError:
        seq, message_id = -1, None
    if not window.found(seq, stream_seq, message_id):
        account.foreign += 1
