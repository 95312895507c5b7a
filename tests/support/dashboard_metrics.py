"""Metrics that the official NATS dashboards ask for.

Source: walkthrough/grafana-nats-dash.json and grafana-jetstream-dash.json of
https://github.com/nats-io/prometheus-nats-exporter.
"""

from __future__ import annotations

OF_SERVER = (
    "gnatsd_varz_connections",
    "gnatsd_varz_cpu",
    "gnatsd_varz_in_bytes",
    "gnatsd_varz_in_msgs",
    "gnatsd_varz_jetstream_config_max_memory",
    "gnatsd_varz_jetstream_config_max_storage",
    "gnatsd_varz_jetstream_stats_memory",
    "gnatsd_varz_jetstream_stats_storage",
    "gnatsd_varz_mem",
    "gnatsd_varz_out_bytes",
    "gnatsd_varz_out_msgs",
    "gnatsd_varz_slow_consumers",
    "gnatsd_varz_subscriptions",
    "jetstream_server_total_consumers",
)
OF_STREAMS = (
    "jetstream_stream_total_bytes",
    "jetstream_stream_total_messages",
)
OF_CONSUMERS = (
    "jetstream_consumer_ack_floor_consumer_seq",
    "jetstream_consumer_delivered_consumer_seq",
    "jetstream_consumer_num_ack_pending",
    "jetstream_consumer_num_pending",
)
