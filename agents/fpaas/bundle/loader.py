"""Reads a bundle's directory, and checks it.

Whatever is there is read; whatever is missing, torn or changed is in `Bundle.problems`, with its
host and file, and never skipped silently. What must be there follows from run.json: a host
plays the parts of its groups, and every part writes its files (ARCHITECTURE.md lists them).
"""

from __future__ import annotations

import contextlib
import re
import threading
import zlib
from array import array
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TypeVar

from fpaas import regular
from fpaas.bundle import contradictions, file_readers, no_bundle
from fpaas.bundle.bundle import LOAD_GROUPS, Bundle, hosts_of, uses_own_relay
from fpaas.bundle.parts import HostPart, WorkerPart
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
from fpaas.records.nats import NatsSample
from fpaas.records.network import NetworkResult
from fpaas.records.probe import ClockExchange, HostSample, ProbeResult, ProcessSample
from fpaas.records.relay import RelayResult, RelaySample
from fpaas.records.seal import Seal
from fpaas.records.shuffler import ShufflerResult, ShufflerSample
from fpaas.records.status import AgentStatus
from fpaas.spec import RunSpec, Share, SpecError, check_run
from fpaas.spec.faults import AGENT as FAULTS
from fpaas.spec.faults import of_host
from fpaas.spec.run_spec import EVENT_LOG

SPEC_FILE = "run.json"
HOSTS_DIRECTORY = "hosts"
#: The host of problems with files that are not a host's.
CONTROL_NODE = "control node"
T = TypeVar("T")
_TURN = threading.Lock()


def load_bundle(directory: Path) -> Bundle:
    """Read results/<run-id>. Raises spec.SpecError if it is a host's part of one, or never began.

    Threads take turns: msgspec crashes the process if two of them meet a type for the first time.
    """
    with _TURN:
        return _load(directory)


def _load(directory: Path) -> Bundle:
    spec = RunSpec.load(directory / SPEC_FILE)
    no_bundle.refuse(directory)
    check_run(spec, str(directory / SPEC_FILE))
    if not spec.is_armed:
        raise SpecError(f"{directory / SPEC_FILE}: the run never began: it has no T0")
    bundle = Bundle(directory, spec)
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


class _Loader:
    """Reads the files of a bundle and collects what is wrong with them."""

    def __init__(self, bundle: Bundle) -> None:
        self._bundle = bundle
        self._spec = bundle.spec

    def load_control(self) -> None:
        """Read what the control node noted. Without it nobody knows what went wrong there."""
        bundle = self._bundle
        if (path := self._of_control_node(control.NAME)) is not None:
            bundle.control = self._try(CONTROL_NODE, path, lambda p: files.read(p, ControlAccount))
        if bundle.control is not None:
            bundle.problems += [_noted(one, bundle.spec) for one in bundle.control.problems]
            bundle.problems += _misplaced(
                CONTROL_NODE, contradictions.of_control(bundle.control, bundle.spec)
            )
        if (path := self._of_control_node(control.EVENTS)) is not None:
            bundle.control_events = self._events(CONTROL_NODE, path)
            # No seal would tell that it was cut.
            if path.exists():
                counted = bundle.control.events if bundle.control is not None else None
                self._try(CONTROL_NODE, path, lambda p: file_readers.check_lines(p, counted or 0))
        # Only there if somebody marked the run.
        if (path := bundle.directory / control.INVALID).exists():
            marks = self._try(CONTROL_NODE, path, lambda p: files.read(p, InvalidMarks))
            bundle.invalid_reasons += marks.reasons if marks is not None else []

    def _of_control_node(self, name: str) -> Path | None:
        """Return its file; None if it is not there and need not be."""
        path = self._bundle.directory / name
        return path if path.exists() or self._spec.event_log >= EVENT_LOG else None

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
        self._check_spec(part)
        # Only if there is a network between hosts.
        if (part.directory / network.NAME).exists():
            measured = self._record(part, network.NAME, NetworkResult)
            if measured:
                part.links, part.links_unix_ns = measured.links, measured.unix_ns
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
        self._bundle.problems += _misplaced(host, contradictions.of_host(part))
        return part

    def _check_spec(self, part: HostPart) -> None:
        """Compare the run that a host's agents played with the one that they are judged by."""

        def check(path: Path) -> None:
            content = regular.read_bytes(path)
            if content == regular.read_bytes(self._bundle.directory / SPEC_FILE):
                return
            try:
                played = RunSpec.from_json(content.decode(), SPEC_FILE)
            except SpecError as error:
                raise UnreadableError("is no run's") from error
            what = contradictions.differing(played, self._spec)
            if what:
                self._problem(part, SPEC_FILE, "file_misplaced", what)

        self._file(part, SPEC_FILE, check)

    def load_watching(self, host: str) -> HostPart:
        """Return what its probe saw of a host's processes; that it is missing does not matter."""
        part = HostPart(host, self._bundle.directory / HOSTS_DIRECTORY / host)
        with contextlib.suppress(OSError, UnreadableError):
            lines = files.read_lines(part.directory / probe.PROCESSES, ProcessSample)
            part.process_samples = lines.good
        with contextlib.suppress(OSError):
            path = part.directory / f"{probe.AGENT}.{events.SUFFIX}"
            part.events[probe.AGENT], _ = events.read(path)
        return part

    def _load_probe(self, part: HostPart, *, on_nats_host: bool) -> None:
        self._load_status(part, probe.AGENT)
        part.probe = self._record(part, probe.NAME, ProbeResult)
        part.host_samples = self._records(part, probe.HOST, HostSample)
        part.process_samples = self._records(part, probe.PROCESSES, ProcessSample)
        part.clock_samples = self._records(part, probe.CLOCK, ClockExchange)
        if on_nats_host:
            part.nats_samples = self._records(part, nats.SAMPLES, NatsSample)
            part.server_final = self._file(part, nats.FINAL, file_readers.server_final)
        part.events[probe.AGENT] = self._agent_events(part, probe.AGENT)
        problems = self._bundle.problems
        told = {(one.host, one.parameters.get("file")) for one in problems}
        for name, what in contradictions.lines_missing(part):
            if (part.host, name) not in told:
                self._problem(part, name, "file_torn", what)

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
        if self._spec.stream.is_split:
            numbers = range(self._spec.stream.count)
            part.dids_by_stream = [self._array(part, shuffler.dids_name(n), "I") for n in numbers]
            part.seqs_by_stream = [self._array(part, shuffler.SEQS.format(n), "q") for n in numbers]
        else:
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
        part.events["consumers"] = self._agent_events(part, "consumers")
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
        missing = share.count - covered.total
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
        return self._file(part, f"{stem}.deliveries.cbor.gz", file_readers.deliveries)

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
        path = part.directory / f"{stem}.{events.SUFFIX}"
        # Agents of earlier versions wrote none.
        is_there = path.exists() or self._spec.event_log >= EVENT_LOG
        return self._events(part.host, path) if is_there else []

    def _events(self, host: str, path: Path) -> list[EventRecord]:
        """Read what somebody saw happen."""

        def read(path: Path) -> list[EventRecord]:
            found, wrong = events.read(path)
            if wrong:
                parameters = {"file": path.name, "what": wrong}
                self._bundle.problems.append(Reason("file_unreadable", host, parameters))
            return found

        return self._try(host, path, read) or []

    def _array(self, part: HostPart, name: str, typecode: str) -> array[int] | None:
        return self._file(part, name, lambda path: file_readers.little_endian(path, typecode))

    def _check_histogram_log(self, part: HostPart, name: str) -> None:
        self._file(part, name, file_readers.check_last_line)

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


def _misplaced(host: str, found: Iterable[tuple[str, str]]) -> list[Reason]:
    return [Reason("file_misplaced", host, {"file": file, "what": what}) for file, what in found]


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
