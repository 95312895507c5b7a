"""The calls that each process of an agent left, and those that fell due to it; from a bundle."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace

from fpaas.bundle import restarts
from fpaas.bundle.bundle import Bundle, uses_own_relay
from fpaas.bundle.parts import AgentSample, HostPart, WorkerPart
from fpaas.consumers.schedule import PollSchedule
from fpaas.firehose.pace import pace_of
from fpaas.latency.open_calls import BegunDue, Due, FramesDue, PollsDue, Process, WakeUpsDue
from fpaas.measures.calls import Bins
from fpaas.measures.histogram_log import of_class
from fpaas.measures.intervals import IntervalSet
from fpaas.records.status import State
from fpaas.spec import RunSpec

ENDED = (State.DONE, State.STOPPED)


def bins_of(spec: RunSpec) -> Bins:
    """Return the stretches that a run's calls are filed under."""
    return Bins(spec.t0_unix_ns, spec.cuts_unix_ns)


def process_of(bundle: Bundle, part: HostPart, agent_name: str, name: str) -> Process:
    """Return the process that left the histogram log of a name, less its ending."""
    worker = next((one for one in part.workers if name == f"consumers-{one.worker}"), None)
    by_agent: dict[str, Sequence[AgentSample]] = {
        "relay": part.relay_samples,
        "shuffler": part.shuffler_samples,
    }
    samples = by_agent.get(agent_name, worker.samples if worker else [])
    status = part.statuses.get(agent_name)
    ended = status is not None and status.state in ENDED
    gone_on_unix_ns = over_unix_ns = bundle.lasted_until_unix_ns
    if worker is not None:
        ended = worker.result is not None and worker.result.complete
        # Then somebody else looked.
        gone_on_unix_ns = worker.gone_on_unix_ns or gone_on_unix_ns
    if restarts.was_restarted(part, agent_name):
        # Calls that were open when it was killed have no end.
        ended = False
    looked_until = min(over_unix_ns, gone_on_unix_ns)
    if ended and samples:
        looked_until = min(looked_until, samples[-1].unix_ns)
    stopped = status is not None and status.state == State.STOPPED
    if agent_name == "relay":
        due = _of_relay(bundle, part)
    elif agent_name == "shuffler":
        due = _of_shuffler(bundle, part)
    else:
        due = _of_worker(bundle.spec, worker, over_unix_ns)
    if not ended:
        # Its own counts of calls begun are cut off like its answers, so they prove nothing.
        due = {leg: one for leg, one in due.items() if not isinstance(one, BegunDue)}
    if ended and not stopped:
        result = worker.result if worker is not None else None
        begin = result.started_unix_ns if result and result.polls_from_unix_ns else None
        due["loop_lag"] = WakeUpsDue(begin or bundle.spec.t0_unix_ns)
    return Process(
        bins_of(bundle.spec), due, samples[-1] if samples else None, not ended, looked_until
    )


def _of_relay(bundle: Bundle, part: HostPart) -> dict[str, Due]:
    if not uses_own_relay(bundle.spec):
        return {}
    handed = part.relay.handed if part.relay is not None else 0
    done = IntervalSet([(0, handed - 1)] if handed else [])
    return {"relay_lateness": FramesDue(bundle.spec, _frames_offered(bundle), done)}


def _frames_offered(bundle: Bundle) -> int:
    """Return how many frames fell due; even if the relay died and nobody offered them."""
    for part in bundle.parts("relay"):
        status = part.statuses.get("relay")
        if part.relay is not None and status is not None and status.state in ENDED:
            return part.relay.offered
    spec = bundle.spec
    lasted_ns = bundle.lasted_until_unix_ns - spec.t0_unix_ns
    return min(spec.frames_due() or 0, pace_of(spec.firehose).due_count(lasted_ns))


def _of_shuffler(bundle: Bundle, part: HostPart) -> dict[str, Due]:
    due: dict[str, Due] = {
        "publish_ack": BegunDue(_begun(part.shuffler_samples, "publish_ack", bundle.spec))
    }
    first_seq, shuffler = bundle.spec.firehose.first_seq, part.shuffler
    if first_seq is None or shuffler is None or not uses_own_relay(bundle.spec):
        return due
    frames = FramesDue(
        bundle.spec,
        _frames_offered(bundle),
        _indices(shuffler.read, first_seq),
        _indices(shuffler.ignored_seqs.union(shuffler.undecodable_seqs), first_seq),
    )
    return {**due, "due_to_read": frames, "due_to_ack": frames}


def _indices(seqs: IntervalSet, first_seq: int) -> IntervalSet:
    return IntervalSet((first - first_seq, last - first_seq) for first, last in seqs)


def _of_worker(spec: RunSpec, worker: WorkerPart | None, over_unix_ns: int) -> dict[str, Due]:
    if worker is None or spec.consumers.is_pushed:
        return {}
    due: dict[str, Due] = {"fetch_call": BegunDue(_begun(worker.samples, "fetch_call", spec))}
    result = worker.result
    if result is None:
        return due
    indices = range(result.first, result.first + result.count)
    polls = PollsDue(
        [
            (
                PollSchedule.of(of_class),
                [index for index in indices if spec.class_of(index) == number],
            )
            for number, of_class in enumerate(spec.by_class())
        ],
        worker.gone_on_unix_ns or result.polls_until_unix_ns or over_unix_ns,
        BegunDue({}),
        result.polls_from_unix_ns or 0,
    )
    begun = _begun(worker.samples, "fetch_call_intended", spec)
    for one, schedule in zip(spec.consumers.classes, polls.schedules, strict=False):
        intended = of_class("fetch_call_intended", one.name)
        of_this = replace(polls, schedules=[schedule])
        if result.by_class.get(one.name) is None or not _is_sampled(worker.samples, intended):
            # It has none of these, or it is of an older version, which had legs of all only.
            continue
        due[intended] = of_this.with_begun(_begun(worker.samples, intended, spec))
        call = of_class("fetch_call", one.name)
        due[call] = BegunDue(_begun(worker.samples, call, spec))
    return {
        **due,
        "poll_lateness": polls,
        "fetch_call_intended": polls.with_begun(begun),
    }


def _is_sampled(samples: Sequence[AgentSample], leg: str) -> bool:
    return any(sample.calls is not None and leg in sample.calls for sample in samples)


def _begun(samples: Sequence[AgentSample], leg: str, spec: RunSpec) -> dict[int, int]:
    """Return how many calls of a leg began, by the start of their bin in Unix ns."""
    bins = bins_of(spec)
    by_start: Counter[int] = Counter()
    for start_s, count in _begun_in(samples, leg):
        by_start[bins.at(start_s)[0]] += count
    return by_start


def _begun_in(samples: Sequence[AgentSample], leg: str) -> Iterator[tuple[float, int]]:
    for sample in samples:
        if sample.calls is not None and leg in sample.calls:
            yield from sample.calls[leg].begun
