"""Classes of consumers in one run, which differ in their polls and filters: `bench_mix`.

Variables that a class leaves out are the run's. A class has a `count` of consumers, or a
`share_pct` of those that the counts leave. Its filter is kinds by partitions by collections;
it does not filter by those that it leaves out.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Annotated, Any

from fpaas.errors import SpecError
from fpaas.spec import starts
from fpaas.spec.answers import Answers
from fpaas.spec.class_counts import counts_of
from fpaas.spec.described import doc
from fpaas.spec.starts import Start
from fpaas.spec.values import Variable, choice, integer, number

SUBJECT_ROOT = "atproto.firehose"
#: Partitions of the subject, unless delivery is partitioned.
PARTITIONS = 64
KINDS = ("commit", "identity", "account", "sync")
FETCHES = ("once", "drain")
#: The shuffler keeps a bit of each for every message.
CLASSES_MAX = 16
#: A durable's subjects; the server looks at each of them.
FILTERS_MAX = 256

POLL_INTERVAL = number(60, 0.01, 86_400, "seconds")
POLL_JITTER = number(20, 0, 100, "per cent")
BATCH_SIZE = integer(100, 1, 10_000, "messages")
FETCH = choice("once", FETCHES)

_NAME = re.compile(r"[a-z][a-z0-9_-]{0,31}")
_COLLECTION = re.compile(r"(_mixed|_invalid|[a-zA-Z0-9-]+(\.[a-zA-Z0-9-]+)*(\.\*)?)")
_COUNT = integer(1, 1, 100_000, "consumers")
_SHARE = number(100, 0.001, 100, "per cent")
_PART = number(0, 0, 100, "per cent")
_PARTITION = integer(0, 0, PARTITIONS - 1, "(a partition's number)")
#: Variables of the run that a class may have its own value of.
_OWN: dict[str, Variable] = {
    "poll_interval_s": POLL_INTERVAL,
    "poll_jitter_pct": POLL_JITTER,
    "batch_size": BATCH_SIZE,
    "fetch": FETCH,
}
#: Shares of the stream's messages that are not just acked at once.
_PARTS = ("terminate_pct", "nak_pct", "no_ack_pct", "in_progress_pct")
_ANSWERS: dict[str, Variable] = {
    **dict.fromkeys(_PARTS, _PART),
    "nak_delay_s": number(0, 0, 3600, "seconds"),
    "fail_times": integer(1, 1, 1000, "deliveries"),
    "max_deliver": integer(0, 0, 1000, "deliveries (0: no limit)"),
}
#: A lognormal distribution with a larger ratio does not exist.
_P99_RATIO_MAX = 14.9
_TIMES: dict[str, Variable] = {
    "processing_ms": number(0, 0, 3_600_000, "milliseconds"),
    "processing_p99_ms": number(0, 0, 36_000_000, "milliseconds"),
    "away_s": number(0, 0, 86_400, "seconds"),
    "away_every_s": number(0, 0, 604_800, "seconds"),
    "joins_at_s": starts.JOINS_AT,
}
_FIELDS = (
    *("name", "count", "share_pct", *_OWN, "kinds", "partitions", "collections"),
    *_ANSWERS,
    *_TIMES,
    "start",
)


@dataclass(frozen=True)
class ConsumerClass:
    """Consumers of a run that poll alike; an empty part of the filter lets everything through.

    Collections may end in `.*`, which stands for whatever follows.
    """

    name: Annotated[str, doc("of the class")]
    count: Annotated[int, doc("consumers")]
    poll_interval_s: Annotated[float, doc("between two polls of a consumer")]
    poll_jitter_pct: Annotated[float, doc("per cent of the interval, either way")]
    batch_size: Annotated[int, doc("messages that a pull asks for")]
    fetch: Annotated[str, doc("once or drain")]
    kinds: Annotated[list[str], doc("of events that it wants; empty: all")] = field(
        default_factory=list
    )
    partitions: Annotated[list[int], doc("of DIDs that it wants; empty: all")] = field(
        default_factory=list
    )
    collections: Annotated[list[str], doc("that it wants; empty: all")] = field(
        default_factory=list
    )
    terminate_pct: Annotated[float, doc("% of messages that it terminates")] = 0.0
    nak_pct: Annotated[float, doc("% of messages that it naks")] = 0.0
    no_ack_pct: Annotated[float, doc("% of messages that it does not answer")] = 0.0
    in_progress_pct: Annotated[float, doc("% of messages first reported in progress")] = 0.0
    nak_delay_s: Annotated[float, doc("until a message that it naks is repeated")] = 0.0
    fail_times: Annotated[int, doc("how often it fails a message before it acks it")] = 1
    max_deliver: Annotated[int, doc("deliveries of a message at most; 0: no limit")] = 0
    processing_ms: Annotated[float, doc("time for a message, mean")] = 0.0
    processing_p99_ms: Annotated[float, doc("its 99th percentile; 0: always the mean")] = 0.0
    away_s: Annotated[float, doc("at the end of each away_every_s; 0: never")] = 0.0
    away_every_s: Annotated[float, doc("period of being away")] = 0.0
    joins_at_s: Annotated[float, doc("s since T0; 0: before the run")] = 0.0
    start: Annotated[Start, doc("all, new, or last_minutes")] = starts.ALL
    owed_share: Annotated[float, doc("of the stream that its filter lets through, by a sample")] = (
        1.0
    )

    @property
    def is_late(self) -> bool:
        """Whether it joins after the run has begun."""
        return self.joins_at_s > 0

    @property
    def served_from_s(self) -> float | None:
        """It is served what was published from then on, s after T0; None: all that is there."""
        if self.start == starts.ALL:
            return None
        return self.joins_at_s - (starts.last_s(self.start) or 0.0)

    @property
    def is_filtered(self) -> bool:
        """Whether its consumers are owed a part of the stream only."""
        return bool(self.kinds or self.partitions or self.collections)

    @cached_property
    def answers(self) -> Answers:
        """What its consumers answer to deliveries; all of them answer alike."""
        return Answers(
            self.terminate_pct,
            self.nak_pct,
            self.no_ack_pct,
            self.in_progress_pct,
            self.fail_times,
        )

    @property
    def answers_otherwise(self) -> bool:
        """Whether it does anything else than to ack a message when it comes."""
        return bool(self.answers) or self.processing_ms > 0

    @property
    def leaves_unprocessed(self) -> bool:
        """Whether messages may have been received, and not be processed when the run is over."""
        return self.answers.fails or self.processing_ms > 0

    @property
    def deliveries_mean(self) -> float:
        """How often a message is delivered to one of its consumers, all failures included."""
        failing = (self.nak_pct + self.no_ack_pct) / 100
        again = min(self.fail_times, self.max_deliver - 1) if self.max_deliver else self.fail_times
        return 1 + failing * again

    @property
    def processing_s_mean(self) -> float:
        """How long it works on a message in all its deliveries, seconds."""
        return self.processing_ms / 1000 * self.deliveries_mean

    def filters(self) -> list[str]:
        """Return the subjects that its durables ask for; no message matches two of them."""
        collections = [_tokens(one) for one in _disjoint(self.collections)] or [">"]
        return (
            [
                f"{SUBJECT_ROOT}.{kind}.{partition}.{collection}"
                for kind in (("commit",) if self.collections else self.kinds or ("*",))
                for partition in self.partitions or ("*",)
                for collection in collections
            ]
            if self.is_filtered
            else [f"{SUBJECT_ROOT}.>"]
        )

    def wants(self, subject: str) -> bool:
        """Whether a message with this subject is owed to its consumers."""
        if not self.is_filtered:
            return True
        kind, partition, collection = subject.removeprefix(f"{SUBJECT_ROOT}.").split(".", 2)
        return (
            (not self.kinds or kind in self.kinds)
            and (not self.partitions or int(partition) in self.partitions)
            and (
                not self.collections
                or (kind == "commit" and any(_covers(c, collection) for c in self.collections))
            )
        )


@dataclass(frozen=True)
class Mix(Variable):
    """The variable: a list of classes, or JSON of one."""

    def read(self, name: str, value: Any) -> list[dict[str, Any]]:  # noqa: ANN401
        """Check it and return the classes as they were given; raises SpecError."""
        value = self.structured(name, value)
        if not isinstance(value, list) or len(value) > CLASSES_MAX:
            raise SpecError(f"{name}: {value!r} is not allowed; {self.allowed}")
        entries = [_entry(f"{name}[{number}]", entry) for number, entry in enumerate(value)]
        names = [entry["name"] for entry in entries]
        for one in names:
            if names.count(one) > 1:
                raise SpecError(f"{name}: {one}: two classes have this name")
        return entries


MIX = Mix(
    [],
    "classes",
    f"allowed: a list of at most {CLASSES_MAX} classes, like "
    '[{"name": "feeds", "count": 10, "batch_size": 500}, {"name": "others", "share_pct": 100}]',
)


def _entry(what: str, entry: object) -> dict[str, Any]:
    if not isinstance(entry, Mapping):
        raise SpecError(f"{what}: {entry!r} is not allowed; expected a class as name: value")
    for key in entry:
        if key not in _FIELDS:
            near = difflib.get_close_matches(str(key), _FIELDS, n=1)
            hint = f"did you mean {near[0]}? " if near else ""
            raise SpecError(f"{what}: {key}: there is no such field; {hint}{', '.join(_FIELDS)}")
    name = entry.get("name")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise SpecError(
            f"{what}: name: {name!r} is not allowed; allowed: up to 32 lower case letters, digits, "
            "- and _, a letter first"
        )
    read: dict[str, Any] = {"name": name}
    if ("count" in entry) == ("share_pct" in entry):
        raise SpecError(f"{what}: a class has either count, or share_pct")
    numbers = {"count": _COUNT, "share_pct": _SHARE}
    for key, variable in {**numbers, **_ANSWERS, **_TIMES, **_OWN}.items():
        if key in entry:
            read[key] = variable.read(f"{what}: {key}", entry[key])
    read |= {key: _listed(what, key, entry[key]) for key in _LISTED if key in entry}
    if "start" in entry:
        read["start"] = starts.read(f"{what}: start", entry["start"])
    parts = sum(read.get(key, 0) for key in _PARTS)
    if parts > 100:
        raise SpecError(
            f"{what}: {' + '.join(_PARTS)} are {parts:g} per cent together; allowed: up to 100"
        )
    _check_times(what, read)
    if read.get("collections") and set(read.get("kinds", ["commit"])) != {"commit"}:
        raise SpecError(
            f"{what}: kinds: {read['kinds']} is not allowed; only commits have collections, so "
            "leave kinds out, or make another class of the other kinds"
        )
    subjects = len(
        ConsumerClass("", 0, 0, 0, 0, "", **{k: read.get(k, []) for k in _LISTED}).filters()
    )
    if subjects > FILTERS_MAX:
        raise SpecError(
            f"{what}: kinds x partitions x collections are {subjects} subjects; allowed: up to "
            f"{FILTERS_MAX}"
        )
    return read


def _check_times(what: str, read: Mapping[str, Any]) -> None:
    mean_ms, p99_ms = read.get("processing_ms", 0), read.get("processing_p99_ms", 0)
    if p99_ms and not mean_ms <= p99_ms <= _P99_RATIO_MAX * mean_ms:
        raise SpecError(
            f"{what}: processing_p99_ms: {p99_ms:g} is not allowed; allowed: from processing_ms "
            f"({mean_ms:g}) to {_P99_RATIO_MAX:g} times that, or leave it out for always the same"
        )
    away_s, every_s = read.get("away_s", 0), read.get("away_every_s", 0)
    if bool(away_s) != bool(every_s) or away_s > 0.99 * every_s:
        raise SpecError(
            f"{what}: away_s: {away_s:g} is not allowed with away_every_s: {every_s:g}; give both, "
            "and the second larger by a hundredth at least"
        )


def _listed(what: str, key: str, value: object) -> list[Any]:
    if not isinstance(value, list) or not value:
        raise SpecError(
            f"{what}: {key}: {value!r} is not allowed; expected a list of one or more, or leave it "
            "out for all"
        )
    return list(dict.fromkeys(_LISTED[key](f"{what}: {key}", one) for one in value))


def _collection(what: str, value: object) -> str:
    if not isinstance(value, str) or not _COLLECTION.fullmatch(value):
        raise SpecError(
            f"{what}: {value!r} is not allowed; allowed: names like app.bsky.feed.post, app.bsky.* "
            "for all below it, or _mixed for commits of several collections"
        )
    return value


_LISTED = {
    "kinds": choice("commit", KINDS).read,
    "partitions": _PARTITION.read,
    "collections": _collection,
}


def classes_of(entries: list[dict[str, Any]], values: Mapping[str, Any]) -> list[ConsumerClass]:
    """Make the classes of a run from `bench_mix` and the run's other variables.

    Raises SpecError if they do not add up to its consumers.
    """
    if not entries:
        return []
    total = values["bench_consumers"]
    if values["bench_delivery"] != "fanout":
        raise SpecError(
            f"bench_mix: bench_delivery={values['bench_delivery']} is not allowed with it; in a "
            "mix each consumer has a durable of its own (fanout), and `partitions` filters"
        )
    counts = counts_of(entries, total)
    own = (*_LISTED, *_ANSWERS, *_TIMES, "start")
    classes = [
        ConsumerClass(
            entry["name"],
            count,
            **{name: entry.get(name, values[f"bench_{name}"]) for name in _OWN},
            **{name: entry[name] for name in own if name in entry},
        )
        for entry, count in zip(entries, counts, strict=True)
    ]
    for one in classes:
        starts.check(one.name, one.start, one.joins_at_s, values)
    return classes


def entries_of(classes: list[ConsumerClass]) -> list[dict[str, Any]]:
    """Return classes as `bench_mix` would have them, with nothing left out."""
    return [
        {key: value for key, value in asdict(one).items() if key in _FIELDS and value != []}
        for one in classes
    ]


def _disjoint(collections: list[str]) -> Iterator[str]:
    """Leave out what another collection of the filter has in it: the server refuses overlaps."""
    for one in collections:
        if not any(other != one and _covers(other, one) for other in collections):
            yield one


def _covers(pattern: str, collection: str) -> bool:
    if pattern.endswith(".*"):
        return collection.startswith(pattern[:-1])
    return pattern == collection


def _tokens(collection: str) -> str:
    return collection[:-1] + ">" if collection.endswith(".*") else collection
