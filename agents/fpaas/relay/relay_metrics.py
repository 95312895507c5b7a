"""The relay's Prometheus metrics, read off its counters when they are scraped."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from fpaas.relay.server import Relay

PREFIX = "fpaas_relay"


class RelayCollector(Collector):
    """Reads the relay's account at every scrape: nothing is done for a frame."""

    def __init__(self, relay: Relay) -> None:
        self._relay = relay

    def collect(self) -> Iterator[Metric]:
        """See prometheus_client."""
        account = self._relay.result(complete=False)
        counters = {
            "frames_offered": ("Frames that fell due.", account.offered),
            "frames_handed": ("Frames that some subscriber was sent.", account.handed),
            "frames_sent": ("Frames to subscribers that had caught up.", account.sent),
            "frames_replayed": ("Frames to subscribers on their way there.", account.replayed),
            "subscriptions": ("Subscriptions accepted.", account.connects),
            "slow_disconnects": (
                "Subscribers closed for being too slow.",
                account.slow_disconnects,
            ),
            "blocked_seconds": ("Time that sockets took no more.", account.blocked_s),
        }
        for name, (text, value) in counters.items():
            yield CounterMetricFamily(f"{PREFIX}_{name}", text, value=value)
        subscribers = len(self._relay.audience.subscribers)
        yield GaugeMetricFamily(f"{PREFIX}_subscribers", "Subscribers now.", value=subscribers)
        yield GaugeMetricFamily(
            f"{PREFIX}_last_seq", "Seq of the frame that fell due last.", value=account.last_seq
        )
