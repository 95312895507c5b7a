"""The cursor of a run's shuffler: where one that was killed goes on.

The account on its host always has one. `bench_cursor_place: nats` keeps it in a bucket as well, and
then that counts. If the bucket was lost with its server, the account's does, and an event says so.
"""

from __future__ import annotations

import logging

from fpaas import common_time
from fpaas.errors import BadInput
from fpaas.jetstream.nats_address import NatsAddress
from fpaas.records.events import CURSOR_LOST, EventLog, Value
from fpaas.shuffler.cursor_places import CursorBucket
from fpaas.spec import RunSpec

log = logging.getLogger(__name__)

BUCKET = "fpaas-cursor"


def bucket_of(spec: RunSpec, relay_url: str, address: NatsAddress) -> CursorBucket | None:
    """Return the run's bucket, None if its cursor is in the account only."""
    if spec.cursor_place != "nats":
        return None
    return CursorBucket(
        BUCKET,
        relay_url,
        address,
        run_id=spec.run_id,
        storage=spec.stream.storage,
        replicas=spec.stream.replicas,
    )


async def go_on_after(
    bucket: CursorBucket, in_account: int | None, event_log: EventLog
) -> int | None:
    """Return the cursor to go on from, which is never beyond what the account knows of."""
    try:
        in_bucket = await bucket.load()
        why = "it has no cursor of this run"
    except BadInput as error:
        in_bucket, why = None, error.message
    if in_account is None:
        return None
    if in_bucket is not None:
        return min(in_bucket, in_account)
    log.error("bucket %s: %s; going on from the account's cursor %d", BUCKET, why, in_account)
    now_ns = common_time.now_ns()
    parameters: dict[str, Value] = {"bucket": BUCKET, "why": why, "cursor": in_account}
    event_log.begin(CURSOR_LOST, now_ns, parameters, end_unix_ns=now_ns)
    return in_account
