"""A NATS server's figures as Prometheus metrics, with the names of prometheus-nats-exporter.

So that dashboards and alerts made for that exporter work: `gnatsd_varz_*`, `gnatsd_connz_*`,
`jetstream_server_*`, `jetstream_stream_*` and `jetstream_consumer_*` with its labels, but for those
that are free text. All consumers of a stream are one series, `consumer_name="*"`, unless each is
asked for: 10,000 durables would be 80,000 series. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from fpaas.records.nats import DurableState

ALL = "*"
SERVER_LABELS = (
    *("server_id", "server_name", "cluster", "domain", "meta_leader", "is_meta_leader"),
)
STREAM_LABELS = (
    *SERVER_LABELS,
    *("account", "account_id", "stream_name", "stream_leader", "is_stream_leader"),
)
CONSUMER_LABELS = (*STREAM_LABELS, "consumer_name")
#: Metric → field of /jsz.
_OF_SERVER = {
    "total_streams": ("streams", "Streams."),
    "total_consumers": ("consumers", "Consumers of all streams."),
    "total_messages": ("messages", "Messages stored."),
    "total_message_bytes": ("bytes", "Bytes stored."),
}
_OF_STREAM = {
    "total_messages": ("messages", "Messages in the stream."),
    "total_bytes": ("bytes", "Bytes in the stream."),
    "first_seq": ("first_seq", "Sequence of its oldest message."),
    "last_seq": ("last_seq", "Sequence of its newest message."),
    "consumer_count": ("consumer_count", "Its consumers."),
}
Together = Callable[[Iterable[int]], int]
#: Field of a durable → help, and what one series for all of them has: their sum, or the least.
_OF_CONSUMER: dict[str, tuple[str, Together]] = {
    "num_pending": ("Messages yet to be sent.", sum),
    "num_ack_pending": ("Deliveries without an ack.", sum),
    "num_redelivered": ("Of those, sent more than once.", sum),
    "num_waiting": ("Pulls that wait.", sum),
    "delivered_consumer_seq": ("Deliveries so far.", sum),
    "ack_floor_consumer_seq": ("Deliveries acked without a gap.", sum),
    "delivered_stream_seq": (
        "Stream sequence delivered last; of several consumers the least.",
        min,
    ),
    "ack_floor_stream_seq": ("Stream sequence acked without a gap; of several the least.", min),
}


@dataclass
class ServerAnswers:
    """The latest answers of a server: /varz, /jsz, how many connections, consumers by stream."""

    varz: Mapping[str, Any] = field(default_factory=dict)
    jsz: Mapping[str, Any] = field(default_factory=dict)
    connections: int | None = None
    consumers: Mapping[str, Sequence[DurableState]] = field(default_factory=dict)


def metrics(answers: ServerAnswers, *, each_consumer: bool) -> Iterator[Metric]:
    """Yield a server's metrics; nothing before its first answer."""
    if not answers.varz:
        return
    yield from _varz(answers.varz)
    if answers.connections is not None:
        family = GaugeMetricFamily(
            "gnatsd_connz_num_connections", "Connections open.", labels=["server_id"]
        )
        family.add_metric([str(answers.varz["server_id"])], answers.connections)
        yield family
    if answers.jsz:
        yield from _jetstream(answers, each_consumer=each_consumer)


def _varz(varz: Mapping[str, Any]) -> Iterator[Metric]:
    server_id = str(varz["server_id"])
    for path, value in _numbers((), varz):
        name = "gnatsd_varz_" + "_".join(path)
        text = f"{'.'.join(path)} of the server's /varz."
        kind = CounterMetricFamily if name.endswith("_total") else GaugeMetricFamily
        family = kind(name, text, labels=["server_id"])
        family.add_metric([server_id], value)
        yield family


def _numbers(
    path: tuple[str, ...], content: Mapping[str, Any]
) -> Iterator[tuple[tuple[str, ...], float]]:
    for name, value in content.items():
        if isinstance(value, Mapping):
            yield from _numbers((*path, name), value)
        elif isinstance(value, int | float) and not isinstance(value, bool) and name.isidentifier():
            yield (*path, name), value


def _jetstream(answers: ServerAnswers, *, each_consumer: bool) -> Iterator[Metric]:
    jsz, varz = answers.jsz, answers.varz
    name = str(varz.get("server_name", ""))
    meta = jsz.get("meta_cluster") or {}
    leader = str(meta.get("leader", ""))
    server = [
        str(varz["server_id"]),
        *(name, str(meta.get("name", "")), str((jsz.get("config") or {}).get("domain", ""))),
        *(leader, _truth(not meta or leader == name)),
    ]
    config = jsz.get("config") or {}
    yield _one("server_jetstream_disabled", "1 if off.", SERVER_LABELS, server, int(not config))
    yield _one(
        "server_max_memory", "Most memory.", SERVER_LABELS, server, config.get("max_memory", 0)
    )
    yield _one(
        "server_max_storage", "Most storage.", SERVER_LABELS, server, config.get("max_storage", 0)
    )
    for metric, (key, text) in _OF_SERVER.items():
        yield _one(f"server_{metric}", text, SERVER_LABELS, server, jsz.get(key, 0))
    streams = list(_streams(jsz, name))
    for metric, (key, text) in _OF_STREAM.items():
        family = GaugeMetricFamily(f"jetstream_stream_{metric}", text, labels=STREAM_LABELS)
        for labels, state in streams:
            family.add_metric([*server, *labels], state[key])
        yield family
    of_run = [
        ([*server, *labels], answers.consumers[labels[2]])
        for labels, _ in streams
        if labels[2] in answers.consumers
    ]
    if of_run:
        yield from _consumers(of_run, each_consumer=each_consumer)


def _streams(jsz: Mapping[str, Any], server: str) -> Iterator[tuple[list[str], Mapping[str, Any]]]:
    for account in jsz.get("account_details") or ():
        for stream in account.get("stream_detail") or ():
            cluster = stream.get("cluster") or {}
            leader = str(cluster.get("leader", ""))
            labels = [str(account.get("name", "")), str(account.get("id", "")), str(stream["name"])]
            yield [*labels, leader, _truth(not cluster or leader == server)], stream["state"]


def _consumers(
    of_streams: Sequence[tuple[list[str], Sequence[DurableState]]], *, each_consumer: bool
) -> Iterator[Metric]:
    for metric, (text, together) in _OF_CONSUMER.items():
        family = GaugeMetricFamily(f"jetstream_consumer_{metric}", text, labels=CONSUMER_LABELS)
        for labels, consumers in of_streams:
            found = [
                (one.name, value)
                for one in consumers
                if (value := getattr(one, metric)) is not None
            ]
            if each_consumer:
                for name, value in found:
                    family.add_metric([*labels, name], value)
            elif found:
                family.add_metric([*labels, ALL], together(value for _, value in found))
        yield family


def _one(
    name: str, text: str, labels: Iterable[str], values: Sequence[str], value: float
) -> GaugeMetricFamily:
    family = GaugeMetricFamily(f"jetstream_{name}", text, labels=list(labels))
    family.add_metric(values, value)
    return family


def _truth(value: bool) -> str:  # noqa: FBT001  (as the exporter writes it)
    return "true" if value else "false"
