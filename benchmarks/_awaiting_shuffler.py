"""The plainest shuffler, to compare with: read a frame, publish it, await the answer, go on.

`python -m benchmarks._awaiting_shuffler RELAY_URL NATS_URL`.
"""

from __future__ import annotations

import sys

import nats
import uvloop
from websockets.asyncio.client import connect

from fpaas.firehose.frames import MAX_FRAME_BYTES, Event, decode
from fpaas.firehose.relay_client import subscription_url
from fpaas.shuffler.subjects import collection_token, message_id
from fpaas.spec import SUBJECT_ROOT


async def main(relay_url: str, nats_url: str) -> None:
    stream = (await nats.connect(nats_url)).jetstream()
    url = f"{subscription_url(relay_url)}?cursor=0"
    async with connect(url, max_size=MAX_FRAME_BYTES, compression=None) as relay:
        async for frame in relay:
            assert isinstance(frame, bytes)
            event = decode(frame)
            if isinstance(event, Event):
                subject = f"{SUBJECT_ROOT}.{event.kind}.0.{collection_token(event.collections)}"
                await stream.publish(subject, frame, headers={"Nats-Msg-Id": message_id(event)})


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], sys.argv[2]))
