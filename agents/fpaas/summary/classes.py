"""Figures of each class of a mix of consumers."""

from __future__ import annotations

from fpaas.latency import latency
from fpaas.measures.delivery_log import ConsumerDeliveries
from fpaas.plan import capacity
from fpaas.records import legs
from fpaas.records.accounts import LedgerFigures
from fpaas.records.summary import ClassFigures, PerConsumer
from fpaas.summary import fetches, throughput
from fpaas.summary.measured_run import MeasuredRun


def find(run: MeasuredRun) -> dict[str, ClassFigures]:
    """Return the figures of each class of a mix."""
    spec, plans = run.spec, capacity.by_class(run.spec)
    logs: list[list[ConsumerDeliveries]] = [[] for _ in plans]
    for _, worker in run.bundle.workers if plans else ():
        for log in worker.deliveries or ():
            logs[spec.class_of(log.consumer_index)].append(log)
    found = {}
    for number, one in enumerate(spec.consumers.classes):
        own = logs[number] if throughput.has_all_deliveries(run) else None
        indices = [index for index in range(spec.consumers.count) if spec.class_of(index) == number]
        rates = None if own is None else throughput.rates(run, own, indices)
        fetched = None if own is None else {log.consumer_index for log in own if log.runs}
        played = [
            result.by_class[one.name] for result in run.results or () if one.name in result.by_class
        ]
        ledger = run.ledger.by_class.get(one.name, LedgerFigures())
        found[one.name] = ClassFigures(
            consumers=one.count,
            filters=one.filters(),
            processed_per_s=None if rates is None else sum(rates),
            per_consumer_per_s=PerConsumer(**throughput.per_consumer(rates)),
            consumers_never_fetched=None if fetched is None else one.count - len(fetched),
            polls=sum(part.polls for part in played) if played else None,
            fetches=fetches.total([part.fetches for part in played] if played else None),
            ledger=ledger,
            latency_ms={
                leg: legs.Leg(**figures_ms)
                for leg, figures_ms in latency.of_class_ms(one.name, run.legs, run.clocks).items()
            },
            plan=plans[one.name],
        )
    return found
