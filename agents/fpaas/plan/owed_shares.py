"""The share of the stream that each class of a mix is owed, from a sample of the run's frames."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from fpaas.firehose.frames import Event, FrameError, decode
from fpaas.shuffler.subjects import Addresser
from fpaas.spec.mix import ConsumerClass

#: Two pools of the synthetic firehose, or the first frames of a capture.
FRAMES_MAX = 4096


def owed_shares(
    classes: Sequence[ConsumerClass], frame: Callable[[int], bytes], frames: int
) -> list[float]:
    """Return a share for each class; `frame(i)` is frame i of the run, which has `count`."""
    addresser = Addresser()
    wanted = [0] * len(classes)
    events = 0
    for index in range(min(frames, FRAMES_MAX)):
        try:
            event = decode(frame(index))
        except FrameError:
            continue
        if isinstance(event, Event):
            events += 1
            subject = addresser.address(event).subject.decode()
            for number, one in enumerate(classes):
                wanted[number] += one.wants(subject)
    return [count / events if events else 0.0 for count in wanted]
