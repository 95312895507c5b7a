"""The directory of one run's results, read back and checked.

Whatever is there is read; whatever is missing, torn or changed is in `Bundle.problems`, with its
host and file, and never skipped silently. What must be there follows from run.json: a host
plays the parts of its groups, and every part writes its files (ARCHITECTURE.md lists them).
"""

from __future__ import annotations

import contextlib
import gzip
import re
import sys
import zlib
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from fpaas.measures import delivery_log
from fpaas.measures.delivery_log import ConsumerDeliveries
from fpaas.measures.intervals import IntervalSet
from fpaas.probe.seal import changes
from fpaas.reason import Reason
from fpaas.records import (
    consumers,
    control,
    events,
    files,
    nats,
    network,
    probe,
    relay,
    seal,
    shuffler,
    status,
)
from fpaas.records.consumers import WorkerResult, WorkerSample
from fpaas.records.control import ControlAccount, ControlProblem, InvalidMarks, Trouble
from fpaas.records.events import EventRecord
from fpaas.records.files import TornError, UnreadableError
from fpaas.records.nats import DurableState, FinalSnapshot, NatsSample, ServerLife, StreamState
from fpaas.records.network import Link, NetworkResult
from fpaas.records.probe import ClockExchange, HostSample, ProbeResult, ProcessSample
from fpaas.records.relay import RelayResult, RelaySample
from fpaas.records.seal import Seal
from fpaas.records.shuffler import ShufflerResult, ShufflerSample
from fpaas.records.status import AgentStatus, State
from fpaas.spec import RunSpec, Share, SpecError, check_run
from fpaas.spec.faults import AGENT as FAULTS
from fpaas.spec.faults import of_host

SPEC_FILE = "run.json"
HOSTS_DIRECTORY = "hosts"
#: Who a problem with a file beside the hosts' is about.
CONTROL_NODE = "control node"
#: The groups whose hosts run agents; monitoring only watches.
LOAD_GROUPS = ("relay", "nats", "shuffler", "consumers")
#: In shuffler.dids.bin: a stream sequence that this shuffler did not publish.
NO_DID = 0

JsonObject = dict[str, Any]
#: A line of samples with plain counters and figures.
Sample = RelaySample | ShufflerSample | WorkerSample | HostSample | ProcessSample
AgentSample = RelaySample | ShufflerSample | WorkerSample
T = TypeVar("T")


@dataclass(frozen=True)
class ServerFinal:
    """`probe.final.json`: the server's own figures after the run."""

    unix_ns: int
    stream_before: StreamState
    stream_after: StreamState
    durables: dict[str, DurableState]
    server: ServerLife | None
    #: When it was complete.
    until_unix_ns: int


@dataclass
class WorkerPart:
    """All files of one consumers worker; None or empty if a file is missing."""

    worker: int
    result: WorkerResult | None = None
    deliveries: list[ConsumerDeliveries] | None = None
    #: By stream, in the order of `result.streams`; of a worker that was killed there are none.
    first_fetches: list[array[int] | None] = field(default_factory=list)
    samples: list[WorkerSample] = field(default_factory=list)
    events: list[EventRecord] = field(default_factory=list)
    #: From when on another worker played its consumers, if it had ended in the run.
    gone_on_unix_ns: int | None = None

    @property
    def was_killed(self) -> bool:
        """Whether it ended before its time, and no other worker went on with its consumers."""
        is_cut = self.result is not None and not self.result.complete
        return is_cut and self.gone_on_unix_ns is None

    @property
    def last_sign_unix_ns(self) -> int | None:
        """When it was last heard of; None if it never was."""
        return self.samples[-1].unix_ns if self.samples else None


@dataclass
class HostPart:
    """What one host brought back; None or empty if a file is missing or not this host's."""

    host: str
    directory: Path
    statuses: dict[str, AgentStatus] = field(default_factory=dict)
    relay: RelayResult | None = None
    relay_samples: list[RelaySample] = field(default_factory=list)
    shuffler: ShufflerResult | None = None
    shuffler_samples: list[ShufflerSample] = field(default_factory=list)
    dids: array[int] | None = None
    #: The same of streams that were lost, in order.
    lost_dids: list[array[int] | None] = field(default_factory=list)
    #: Of each stream, the last one last: which classes want each message; see publish_account.
    classes: list[array[int] | None] = field(default_factory=list)
    workers: list[WorkerPart] = field(default_factory=list)
    probe: ProbeResult | None = None
    host_samples: list[HostSample] = field(default_factory=list)
    process_samples: list[ProcessSample] = field(default_factory=list)
    nats_samples: list[NatsSample] = field(default_factory=list)
    clock_samples: list[ClockExchange] = field(default_factory=list)
    server_final: ServerFinal | None = None
    #: What each agent but the consumers saw happen, by its name; workers have their own.
    events: dict[str, list[EventRecord]] = field(default_factory=dict)
    #: From this host to others, before the run.
    links: list[Link] = field(default_factory=list)
    seal: Seal | None = None

    def histogram_logs(self, agent: str) -> list[Path]:
        """Paths of an agent's `.hlog` files; the consumers have one a worker."""
        pattern = "consumers-*.hlog" if agent == "consumers" else f"{agent}.hlog"
        return sorted(self.directory.glob(pattern))

    def has_log(self, agent: str) -> bool:
        """Whether an agent's log is there and says anything."""
        log = self.directory / f"{agent}.log"
        return log.is_file() and log.stat().st_size > 0

    def last_samples(self, agent: str) -> Iterator[int]:
        """Iterate over times of an agent's last samples, later than what its status says (ns)."""
        by_agent: dict[str, Sequence[Sequence[Sample]]] = {
            "relay": [self.relay_samples],
            "shuffler": [self.shuffler_samples],
            "consumers": [worker.samples for worker in self.workers],
            "probe": [self.host_samples],
        }
        for samples in by_agent.get(agent, ()):
            yield from (sample.unix_ns for sample in samples[-1:])


@dataclass
class Bundle:
    """One run's results. `problems` has what is missing, torn or changed, as codes of reasons."""

    directory: Path
    spec: RunSpec
    hosts: dict[str, HostPart] = field(default_factory=dict)
    #: Hosts that only watch, of what their processes used; a run is as good without.
    watching: list[HostPart] = field(default_factory=list)
    problems: list[Reason] = field(default_factory=list)
    control: ControlAccount | None = None
    #: What the control node did, and noticed.
    control_events: list[EventRecord] = field(default_factory=list)
    #: Reasons given from outside, such as an interrupted playbook.
    invalid_reasons: list[str] = field(default_factory=list)
    #: What was merged of its files already, and takes long.
    merged: dict[object, Any] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def load(cls, directory: Path) -> Bundle:
        """Read results/<run-id>. Raises spec.SpecError if run.json is no begun run's."""
        spec = RunSpec.load(directory / SPEC_FILE)
        check_run(spec, str(directory / SPEC_FILE))
        if not spec.is_armed:
            raise SpecError(f"{directory / SPEC_FILE}: the run never began: it has no T0")
        bundle = cls(directory, spec)
        loader = _Loader(bundle)
        loader.load_control()
        for host in hosts_of(bundle.spec):
            bundle.hosts[host] = loader.load_host(host)
        bundle.watching = [
            loader.load_watching(host)
            for host in bundle.spec.hosts.get("monitoring", [])
            if host not in bundle.hosts
        ]
        return bundle

    def parts(self, group: str) -> list[HostPart]:
        """Host parts of an inventory group."""
        return [self.hosts[host] for host in self.spec.hosts.get(group, []) if host in self.hosts]

    @property
    def relay(self) -> RelayResult | None:
        """Our relay's account; None if it was a foreign relay, or its file is missing."""
        return next((part.relay for part in self.parts("relay") if part.relay), None)

    @property
    def shuffler(self) -> ShufflerResult | None:
        """The shuffler's account."""
        return next((part.shuffler for part in self.parts("shuffler") if part.shuffler), None)

    @property
    def server_final(self) -> ServerFinal | None:
        """The server's final figures; of a cluster, those of the host that saw most durables."""
        finals = [part.server_final for part in self.parts("nats") if part.server_final]
        return max(finals, key=lambda final: len(final.durables), default=None)

    def consumer_counters(self, name: str) -> list[list[tuple[int, float]]]:
        """Return a counter of the consumers as (Unix ns, value), over all lives of a worker."""
        series: dict[tuple[str, int], list[tuple[int, float]]] = {}
        for part, worker in self.workers:
            first = worker.worker if worker.result is None else worker.result.first
            one = series.setdefault((part.host, first), [])
            before = one[-1][1] if one else 0.0
            one += [(at, before + value) for at, value in cumulative(worker.samples, name)]
        return list(series.values())

    @property
    def lasted_until_unix_ns(self) -> int:
        """When the run was over: as planned, or when its agents were stopped.

        In a run that was stopped, no agent of the load came to its own end.
        """
        was_stopped = False
        seen_ns: list[int] = []
        for agent in ("relay", "shuffler", "consumers"):
            for part in self.parts(agent):
                seen_ns += part.last_samples(agent)
                status = part.statuses.get(agent)
                if status is not None and status.state == State.DONE:
                    return self.spec.end_unix_ns
                was_stopped |= status is not None and status.state == State.STOPPED
        if not was_stopped:
            return self.spec.end_unix_ns
        return min([self.spec.end_unix_ns, max(seen_ns, default=self.spec.end_unix_ns)])

    @property
    def workers(self) -> list[tuple[HostPart, WorkerPart]]:
        """Every consumers worker, with its host."""
        return [(part, worker) for part in self.parts("consumers") for worker in part.workers]


def uses_own_relay(spec: RunSpec) -> bool:
    """Whether the run's firehose is our relay rather than a foreign one."""
    return spec.firehose.rate_per_s is not None


def hosts_of(spec: RunSpec) -> list[str]:
    """Hosts that run agents, each once, in the order of the data's way."""
    groups = [group for group in LOAD_GROUPS if group != "relay" or uses_own_relay(spec)]
    return list(dict.fromkeys(host for group in groups for host in spec.hosts.get(group, [])))


class _Loader:
    """Reads the files of a bundle and collects what is wrong with them."""

    def __init__(self, bundle: Bundle) -> None:
        self._bundle = bundle
        self._spec = bundle.spec

    def load_control(self) -> None:
        """Read what the control node noted; both files are there only if there is need."""
        bundle = self._bundle
        bundle.control = self._of_control_node(control.NAME, ControlAccount)
        if bundle.control is not None:
            bundle.problems += [_noted(one, bundle.spec) for one in bundle.control.problems]
        bundle.control_events = self._events(CONTROL_NODE, bundle.directory / control.EVENTS)
        marks = self._of_control_node(control.INVALID, InvalidMarks)
        if marks is not None:
            bundle.invalid_reasons += marks.reasons

    def _of_control_node(self, name: str, kind: type[T]) -> T | None:
        path = self._bundle.directory / name
        if not path.exists():
            return None
        return self._try(CONTROL_NODE, path, lambda path: files.read(path, kind))

    def load_host(self, host: str) -> HostPart:
        part = HostPart(host, self._bundle.directory / HOSTS_DIRECTORY / host)
        if not part.directory.is_dir():
            self._bundle.problems.append(Reason("host_missing", host))
            return part
        part.seal = self._record(part, seal.NAME, Seal)
        if part.seal is not None:
            self._bundle.problems += [
                Reason("file_changed", host, {"file": name, "what": what})
                for name, what in changes(part.directory, part.seal)
            ]
        # Only where there is a network between hosts.
        if (part.directory / network.NAME).exists():
            measured = self._record(part, network.NAME, NetworkResult)
            part.links = measured.links if measured else []
        roles = {group for group in LOAD_GROUPS if host in self._spec.hosts.get(group, [])}
        self._load_probe(part, on_nats_host="nats" in roles)
        if of_host(self._spec.faults, self._spec.hosts, host):
            self._load_status(part, FAULTS)
            part.events[FAULTS] = self._agent_events(part, FAULTS)
        if "relay" in roles and uses_own_relay(self._spec):
            self._load_relay(part)
        if "shuffler" in roles:
            self._load_shuffler(part)
        if "consumers" in roles:
            self._load_consumers(part)
        return part

    def load_watching(self, host: str) -> HostPart:
        """Return a host's process samples; where they are missing it is no matter."""
        part = HostPart(host, self._bundle.directory / HOSTS_DIRECTORY / host)
        with contextlib.suppress(OSError, UnreadableError):
            lines = files.read_lines(part.directory / probe.PROCESSES, ProcessSample)
            part.process_samples = lines.good
        return part

    def _load_probe(self, part: HostPart, *, on_nats_host: bool) -> None:
        self._load_status(part, probe.AGENT)
        part.probe = self._record(part, probe.NAME, ProbeResult)
        part.host_samples = self._records(part, probe.HOST, HostSample)
        part.process_samples = self._records(part, probe.PROCESSES, ProcessSample)
        part.clock_samples = self._records(part, probe.CLOCK, ClockExchange)
        if on_nats_host:
            part.nats_samples = self._records(part, nats.SAMPLES, NatsSample)
            part.server_final = self._file(part, nats.FINAL, _server_final)
        part.events[probe.AGENT] = self._agent_events(part, probe.AGENT)

    def _load_relay(self, part: HostPart) -> None:
        self._load_status(part, "relay")
        part.relay = self._record(part, relay.NAME, RelayResult)
        if part.relay is not None and not part.relay.complete:
            self._problem(part, relay.NAME, "relay_account_cut")
        part.relay_samples = self._records(part, relay.SAMPLES, RelaySample)
        self._check_histogram_log(part, "relay.hlog")
        part.events["relay"] = self._agent_events(part, "relay")

    def _load_shuffler(self, part: HostPart) -> None:
        self._load_status(part, "shuffler")
        part.shuffler = self._record(part, shuffler.NAME, ShufflerResult)
        part.shuffler_samples = self._records(part, shuffler.SAMPLES, ShufflerSample)
        self._check_histogram_log(part, "shuffler.hlog")
        if part.shuffler is not None and not part.shuffler.complete:
            self._problem(part, shuffler.NAME, "shuffler_account_cut")
        part.dids = self._array(part, shuffler.DIDS, "I")
        lost = part.shuffler.lost_streams if part.shuffler is not None else []
        part.lost_dids = [
            self._array(part, shuffler.dids_name(number), "I") for number in range(len(lost))
        ]
        if self._spec.has_filters:
            part.classes = [
                self._array(part, shuffler.classes_name(number), "I")
                for number in (*range(len(lost)), None)
            ]
        part.events["shuffler"] = self._agent_events(part, "shuffler")

    def _load_consumers(self, part: HostPart) -> None:
        self._load_status(part, "consumers")
        numbers = {
            int(match.group(1))
            for path in part.directory.iterdir()
            if (match := re.match(r"consumers-(\d+)\.", path.name))
        }
        # The last first: what a worker left out that another went on for is none's fault.
        for number in sorted(numbers, reverse=True):
            others = {
                one.result.first: one.result.polls_from_unix_ns
                for one in reversed(part.workers)
                if one.result is not None and one.result.polls_from_unix_ns is not None
            }
            part.workers.insert(0, self._load_worker(part, number, others))
        share = self._spec.shares.get(part.host, Share(0, 0))
        covered = IntervalSet(
            (result.first, result.first + result.count - 1)
            for worker in part.workers
            if (result := worker.result) and result.count
        )
        missing = share.count - len(covered)
        if missing > 0:
            counts = {"missing": missing, "count": share.count}
            self._bundle.problems.append(Reason("consumers_missing", part.host, counts))

    def _load_worker(
        self, part: HostPart, number: int, gone_on_from: Mapping[int, int]
    ) -> WorkerPart:
        stem = consumers.stem(number)
        self._check_histogram_log(part, f"{stem}.hlog")
        result = self._record(part, consumers.name(number), WorkerResult)
        gone_on_unix_ns = gone_on_from.get(result.first) if result is not None else None
        is_gone_on = gone_on_unix_ns is not None
        if result is not None and not result.complete and not is_gone_on:
            self._problem(part, consumers.name(number), "worker_account_cut")
        streams = len(result.streams) if result is not None else 1
        return WorkerPart(
            number,
            result=result,
            deliveries=self._load_deliveries(part, stem),
            first_fetches=[
                self._first_fetches(part, name, is_gone_on=is_gone_on)
                for stream in range(streams)
                for name in [consumers.first_fetch_name(number, stream, streams)]
            ],
            gone_on_unix_ns=gone_on_unix_ns,
            samples=self._records(part, consumers.samples_name(number), WorkerSample),
            events=self._agent_events(part, stem),
        )

    def _first_fetches(self, part: HostPart, name: str, *, is_gone_on: bool) -> array[int] | None:
        if is_gone_on and not (part.directory / name).exists():
            return None
        return self._array(part, name, "I")

    def _load_deliveries(self, part: HostPart, stem: str) -> list[ConsumerDeliveries] | None:
        journal = f"{stem}.deliveries.journal"
        if (part.directory / journal).exists():
            # Its worker never came to write the log.
            return self._file(
                part,
                journal,
                lambda path: delivery_log.read_journal(path, self._spec.durable_of),
            )
        return self._file(part, f"{stem}.deliveries.cbor.gz", _deliveries)

    def _load_status(self, part: HostPart, agent: str) -> None:
        found = self._record(part, status.name(agent), AgentStatus)
        if found is not None:
            part.statuses[agent] = found

    def _record(self, part: HostPart, name: str, kind: type[T]) -> T | None:
        return self._file(part, name, lambda path: files.read(path, kind))

    def _records(self, part: HostPart, name: str, kind: type[T]) -> list[T]:
        def read(path: Path) -> list[T]:
            lines = files.read_lines(path, kind)
            if lines.torn:
                self._problem(part, name, "file_torn", lines.torn)
            if lines.wrong:
                self._problem(part, name, "file_unreadable", lines.wrong)
            return lines.good

        return self._file(part, name, read) or []

    def _agent_events(self, part: HostPart, stem: str) -> list[EventRecord]:
        return self._events(part.host, part.directory / f"{stem}.{events.SUFFIX}")

    def _events(self, host: str, path: Path) -> list[EventRecord]:
        """Read what somebody saw happen; earlier versions wrote no such file."""
        if not path.exists():
            return []

        def read(path: Path) -> list[EventRecord]:
            found, wrong = events.read(path)
            if wrong:
                parameters = {"file": path.name, "what": wrong}
                self._bundle.problems.append(Reason("file_unreadable", host, parameters))
            return found

        return self._try(host, path, read) or []

    def _array(self, part: HostPart, name: str, typecode: str) -> array[int] | None:
        return self._file(part, name, lambda path: _little_endian(path, typecode))

    def _check_histogram_log(self, part: HostPart, name: str) -> None:
        def check(path: Path) -> None:
            content = path.read_bytes()
            if not content.endswith(b"\n"):
                raise TornError("the last line is torn" if content else "is empty")

        self._file(part, name, check)

    def _file(self, part: HostPart, name: str, read: Callable[[Path], T]) -> T | None:
        return self._try(part.host, part.directory / name, read)

    def _try(self, host: str, path: Path, read: Callable[[Path], T]) -> T | None:
        try:
            return read(path)
        except FileNotFoundError:
            self._bundle.problems.append(Reason("file_missing", host, {"file": path.name}))
            return None
        except TornError as error:
            code, what = "file_torn", str(error)
        except UnreadableError as error:
            code, what = "file_unreadable", str(error)
        except OSError as error:
            code, what = "file_unreadable", f"cannot be read: {error.strerror or error}"
        except (EOFError, zlib.error):
            code, what = "file_torn", "is torn"
        except ValueError as error:
            code, what = "file_unreadable", f"is not what it should be: {error}"
        except MemoryError:
            code, what = "file_unreadable", "is larger than there is memory for"
        self._bundle.problems.append(Reason(code, host, {"file": path.name, "what": what}))
        return None

    def _problem(self, part: HostPart, name: str, code: str, what: str | None = None) -> None:
        parameters = {"file": name} if what is None else {"file": name, "what": what}
        self._bundle.problems.append(Reason(code, part.host, parameters))


def _noted(problem: ControlProblem | str, spec: RunSpec) -> Reason:
    """Read what a playbook noted; older ones did so as `<host>: <what>`."""
    if isinstance(problem, ControlProblem):
        return problem.reason()
    host, _, what = problem.partition(": ")
    known = what and any(host in hosts for hosts in spec.hosts.values())
    return ControlProblem(
        problem=Trouble.NOTED,
        host=host if known else None,
        parameters={"text": what if known else problem},
    ).reason()


def _server_final(path: Path) -> ServerFinal:
    final = files.read(path, FinalSnapshot)
    return ServerFinal(
        unix_ns=final.unix_ns,
        stream_before=final.stream_before,
        stream_after=final.stream_after,
        durables={state.name: state for state in final.consumers},
        server=final.server,
        until_unix_ns=final.unix_ns + round((final.took_ms or 0.0) * 1e6),
    )


def _deliveries(path: Path) -> list[ConsumerDeliveries]:
    if not path.exists():
        raise FileNotFoundError(path)
    try:
        return delivery_log.read(path)
    except ValueError as error:
        raise UnreadableError(f"is no delivery log: {error.__cause__ or error}") from error


def _little_endian(path: Path, typecode: str) -> array[int]:
    content = path.read_bytes()
    if path.suffix == ".gz":
        if not content:
            raise TornError("is empty")
        content = gzip.decompress(content)
    values = array(typecode)
    values.frombytes(content)
    if sys.byteorder == "big":
        values.byteswap()
    return values


def cumulative(samples: Iterable[Sample], name: str) -> Iterator[tuple[int, float]]:
    """Iterate over (unix_ns, value) of one counter or figure, where a sample has it."""
    for sample in samples:
        value: float | None = getattr(sample, name)
        if value is not None:
            yield sample.unix_ns, value
