"""Faults that a run injects into itself: `bench_faults`, checked entry by entry.

Each is executed by the host that it is on, at its second on the run's own timeline (T0 = 0), and
undone `for_s` later. `Kind.by` says who does it: the faults agent of the host, or our relay, whose
bad manners are its own.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Annotated, Any

from fpaas.errors import SpecError
from fpaas.spec.described import doc
from fpaas.spec.values import Variable, choice, integer, number

NAME = "bench_faults"
#: The agent that executes what is not the relay's own.
AGENT = "faults"
RELAY, NATS, SHUFFLER, CONSUMERS = "relay", "nats", "shuffler", "consumers"
#: What a fault can be on, as groups of an inventory; beside them, any of its hosts.
GROUPS = (RELAY, NATS, SHUFFLER, CONSUMERS)
#: The NATS server that leads the stream at that moment.
LEADER = "nats:leader"
#: `worker:N`: process N of the consumers agent, on each consumers host.
WORKER = "worker:"
WORKERS_MAX = 256
#: A relay numbers on from there, and a seq has no more than 53 bits.
SEQ_MAX = 2**53 - 1_000_000_000
#: `close_code` of a connection that ends without a close frame.
CUT = 1006


@dataclass(frozen=True)
class Kind:
    """A `do`, and what it allows. `lasts`: always (for_s > 0), never, or may.

    `by` is who executes it: `host` or `relay`. `on` are forms, see `_on`. Two kinds with the same
    `shares` cannot be on one target at one time: the undo of one would end the other.
    """

    by: str
    on: tuple[str, ...]
    lasts: str
    shares: str
    required: Mapping[str, Variable]
    optional: Mapping[str, Variable]


_PROCESSES = ("group", "host", "worker", "leader")
_HOSTS = ("group", "host")


def _process(lasts: str) -> Kind:
    return Kind("host", _PROCESSES, lasts, "process", {}, {})


def _manner(lasts: str, **optional: Variable) -> Kind:
    return Kind("relay", (RELAY,), lasts, "manners", {}, optional)


KINDS: dict[str, Kind] = {
    # Ends it at once (SIGKILL); started again after for_s.
    "kill": _process("may"),
    # Asks it to end (SIGTERM), and starts it again.
    "restart": _process("never"),
    # Stops it where it is (SIGSTOP).
    "pause": _process("always"),
    # No packet goes between two groups.
    "partition": Kind("host", _HOSTS, "always", "partition", {"peer": choice("", GROUPS)}, {}),
    # Caps what a host sends to others of the lab.
    "limit": Kind(
        "host",
        _HOSTS,
        "always",
        "link",
        {"mbit_per_s": number(10, 0.01, 100_000, "megabits per second")},
        {},
    ),
    # Delays what a host sends to others of the lab.
    "delay": Kind(
        "host",
        _HOSTS,
        "always",
        "link",
        {"delay_ms": number(100, 0.1, 60_000, "milliseconds")},
        {},
    ),
    "fill_disk": Kind(
        "host", _HOSTS, "always", "disk", {}, {"free_mb": integer(0, 0, 1_000_000, "megabytes")}
    ),
    "step_clock": Kind(
        "host", _HOSTS, "always", "clock", {"step_s": number(1, -86_400, 86_400, "seconds")}, {}
    ),
    # The relay closes every connection with this code, and takes no new one for for_s.
    "disconnect": _manner("may", close_code=integer(1001, 1000, 4999, "(a close code)")),
    # It sends nothing, and answers no ping.
    "stall": _manner("always"),
    # It sends nothing, and answers pings.
    "silence": _manner("always"),
    # The last frames are sent again, with their numbers.
    "replay": _manner("never", frames=integer(100, 1, 100_000, "frames")),
    # The numbers go back by `frames`, and on from there; after for_s they are as before.
    "rewind": _manner("may", frames=integer(100, 1, 100_000, "frames")),
    # The next frame has this number, and those after it the next ones; after for_s as before.
    "renumber": _manner("may", first_seq=integer(1, 1, SEQ_MAX, "(a sequence number)")),
    # `frames` frames in a row are no CBOR; after for_s, subscribers that ask again get the real
    # ones.
    "garbage": _manner("may", frames=integer(1, 1, 10_000, "frames")),
    # `frames` frames in a row are sent without their second half; after for_s they are whole.
    "half_frame": _manner("may", frames=integer(1, 1, 10_000, "frames")),
    # The relay sends an error frame with this name, and closes; for for_s, to new ones too.
    "error_frame": _manner(
        "may", error=Variable("ConsumerTooSlow", "text", "allowed: an error's name")
    ),
    # It sends no more than this.
    "drip": _manner("always", bytes_per_s=number(1000, 1, 1e9, "bytes per second")),
}


@dataclass(frozen=True)
class Fault:
    """One entry of `bench_faults`: what is done, on what, when and for how long.

    Seconds since T0. A parameter is None if its `do` has none of that name; see `KINDS`.
    """

    do: Annotated[str, doc("what is done")]
    on: Annotated[str, doc("a group, a host, worker:N or nats:leader")]
    at_s: Annotated[float, doc("s since T0")]
    for_s: Annotated[float, doc("until it is undone; 0: it is not")] = 0.0
    peer: Annotated[str | None, doc("of partition: the other group")] = None
    mbit_per_s: Annotated[float | None, doc("of limit")] = None
    delay_ms: Annotated[float | None, doc("of delay")] = None
    step_s: Annotated[float | None, doc("of step_clock; negative: back")] = None
    free_mb: Annotated[int | None, doc("of fill_disk: what is left")] = None
    close_code: Annotated[int | None, doc("of disconnect; 1006: no close frame")] = None
    frames: Annotated[int | None, doc("of replay, rewind, garbage, half_frame: how many")] = None
    first_seq: Annotated[int | None, doc("of renumber: the next frame's number")] = None
    error: Annotated[str | None, doc("of error_frame: its name")] = None
    bytes_per_s: Annotated[float | None, doc("of drip")] = None

    @property
    def is_by_relay(self) -> bool:
        """Whether our relay executes it, rather than the faults agent of a host."""
        return KINDS[self.do].by == RELAY

    @property
    def until_s(self) -> float:
        """When it is undone."""
        return self.at_s + self.for_s

    @property
    def worker(self) -> int | None:
        """N of `worker:N`."""
        return int(self.on.removeprefix(WORKER)) if self.on.startswith(WORKER) else None

    def to_dict(self) -> dict[str, Any]:
        """As it stands in run.json: without what it has not."""
        content = {name: value for name, value in asdict(self).items() if value is not None}
        if not self.for_s:
            del content["for_s"]
        return content


@dataclass(frozen=True)
class Target:
    """What a fault is on, on one host: a group whose part the host plays."""

    host: str
    group: str


@dataclass(frozen=True)
class FaultList(Variable):
    """The variable: a list of entries, or JSON of one."""

    def read(self, name: str, value: Any) -> Any:  # noqa: ANN401
        """Check each entry by itself; returns them as `Fault.to_dict`. Raises SpecError."""
        value = self.structured(name, value)
        if not isinstance(value, list):
            raise SpecError(f"{name}: {value!r} is not allowed; {self.allowed}")
        return [_read(f"{name}[{n}]", entry).to_dict() for n, entry in enumerate(value)]


LIST = FaultList(
    [], "faults", 'allowed: a list like [{"do": "pause", "on": "nats", "at_s": 20, "for_s": 5}]'
)
_AT_S = number(0, 0, 1e6, "seconds since T0")
_FOR_S = number(0, 0, 1e6, "seconds")


def _read(where: str, entry: object) -> Fault:
    """Check one entry; raises SpecError that names it, what is wrong and what is allowed."""
    if not isinstance(entry, Mapping):
        raise SpecError(f"{where}: {entry!r} is not allowed; allowed: an object with do, on, at_s")
    # YAML takes a bare `on` for the truth, and JSON makes a word of that.
    entry = {"on" if name in (True, "true") else name: value for name, value in entry.items()}
    for name in ("do", "on", "at_s"):
        if name not in entry:
            raise SpecError(f"{where}: {name}: is missing; a fault has do, on and at_s at least")
    do = entry["do"]
    if not isinstance(do, str) or do not in KINDS:
        raise SpecError(
            f"{where}: do: {do!r} is not allowed; {near(do, KINDS)}allowed: {', '.join(KINDS)}"
        )
    kind = KINDS[do]
    given = {**kind.required, **kind.optional}
    known = ("do", "on", "at_s", *(() if kind.lasts == "never" else ("for_s",)), *given)
    for name in entry:
        if name not in known:
            raise SpecError(
                f"{where}: {name}: {do} has no such parameter; {near(name, known)}"
                f"it has {', '.join(known)}"
            )
    for name, one in kind.required.items():
        if name not in entry:
            raise SpecError(f"{where}: {name}: {do} needs it; {one.allowed}")
    for_s = _FOR_S.read(f"{where}: for_s", entry.get("for_s", 0))
    if kind.lasts == "always" and for_s <= 0:
        raise SpecError(
            f"{where}: for_s: {do} needs it; allowed: a number of seconds above 0, after which it "
            "is undone"
        )
    read = {
        name: one.read(f"{where}: {name}", entry.get(name, one.default))
        for name, one in given.items()
    }
    if do == "disconnect" and read["close_code"] not in _CLOSE_CODES:
        raise SpecError(
            f"{where}: close_code: {read['close_code']} is not allowed; allowed: 1000 to 1003, "
            f"1007 to 1014, 3000 to 4999, and {CUT}, which is no close frame at all"
        )
    if do == "step_clock" and read["step_s"] == 0:
        raise SpecError(f"{where}: step_s: 0 is no step")
    return Fault(
        do=do,
        on=_on(where, do, entry["on"]),
        at_s=_AT_S.read(f"{where}: at_s", entry["at_s"]),
        for_s=for_s,
        **read,
    )


_WORKERS = {f"{WORKER}{index}" for index in range(WORKERS_MAX)}
_CLOSE_CODES = {*range(1000, 1004), CUT, *range(1007, 1015), *range(3000, 5000)}


def _on(where: str, do: str, on: object) -> str:
    """Check what can be checked without an inventory: a host's name can be anything."""
    forms = KINDS[do].on
    said = f"{where}: on: {on!r} is not allowed for {do}"
    if not isinstance(on, str) or not on:
        raise SpecError(f"{said}; allowed: {_allowed(forms)}")
    if on.startswith(WORKER):
        if "worker" not in forms or on not in _WORKERS:
            raise SpecError(f"{said}; allowed: {_allowed(forms)}")
    elif on == LEADER:
        if "leader" not in forms:
            raise SpecError(f"{said}; allowed: {_allowed(forms)}")
    elif forms == (RELAY,) and on != RELAY:
        raise SpecError(f"{said}; it is one of the relay's own: on: relay")
    return on


def _allowed(forms: Sequence[str]) -> str:
    words = {
        "group": f"a group ({', '.join(GROUPS)})",
        "host": "a host of the inventory",
        "worker": f"worker:N (N from 0 to {WORKERS_MAX - 1})",
        "leader": f"{LEADER} (of a cluster)",
        RELAY: RELAY,
    }
    return ", ".join(words[form] for form in forms)


def near(name: object, known: Iterator[str] | Sequence[str] | Mapping[str, Any]) -> str:
    """Say which known name was meant, to be put before what is allowed; nothing if none is near."""
    found = difflib.get_close_matches(str(name), list(known), n=1)
    return f"did you mean {found[0]}? " if found else ""


def label(number_of: int, fault: Fault) -> str:
    """Name an entry in messages."""
    return f"{NAME}[{number_of}] ({fault.do} on {fault.on} at {fault.at_s:g} s)"


def targets(fault: Fault, hosts: Mapping[str, Sequence[str]]) -> list[Target]:
    """Return what a fault is on; `hosts` by group, of a run. None if the inventory has none.

    A fault on a host is on every part that the host plays. `nats:leader` gives all servers: which
    of them leads is only known when the fault begins.
    """
    if fault.worker is not None:
        return [Target(host, CONSUMERS) for host in hosts.get(CONSUMERS, ())]
    if fault.on == LEADER or fault.on in GROUPS:
        group = NATS if fault.on == LEADER else fault.on
        return [Target(host, group) for host in hosts.get(group, ())]
    return [Target(fault.on, group) for group in GROUPS if fault.on in hosts.get(group, ())]


def faults_that_end(worker: int, faults: Sequence[Fault]) -> list[Fault]:
    """Return the faults that end `worker:N` of a consumers agent, in the order of time."""
    ending = (one for one in faults if one.worker == worker and one.do in ("kill", "restart"))
    return sorted(ending, key=lambda one: one.at_s)


@dataclass(frozen=True)
class OfHost:
    """A fault that is on a host, or may be; `number` is its place in `bench_faults`."""

    number: int
    fault: Fault
    targets: list[Target]


def of_host(faults: Sequence[Fault], hosts: Mapping[str, Sequence[str]], host: str) -> list[OfHost]:
    """Return the faults that the faults agent of a host executes."""
    found = []
    for number_of, fault in enumerate(faults):
        here = [target for target in targets(fault, hosts) if target.host == host]
        if here and not fault.is_by_relay:
            found.append(OfHost(number_of, fault, here))
    return found
