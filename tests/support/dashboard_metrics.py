"""What the official NATS dashboards ask for: metrics, and the labels that they select or group by.

Source: walkthrough/grafana-nats-dash.json and grafana-jetstream-dash.json of
https://github.com/nats-io/prometheus-nats-exporter, variables included. Those for its Helm chart
ask for the same under another prefix, `nats_`.
"""

from __future__ import annotations

_SERVER = {"server_id"}
_STREAM = {"server_id", "stream_name"}
_CONSUMER = {"server_id", "stream_name", "consumer_name"}

LABELS: dict[str, set[str]] = {
    "gnatsd_varz_connections": _SERVER,
    "gnatsd_varz_cpu": _SERVER,
    "gnatsd_varz_in_bytes": _SERVER,
    "gnatsd_varz_in_msgs": _SERVER,
    "gnatsd_varz_jetstream_config_max_memory": _SERVER,
    "gnatsd_varz_jetstream_config_max_storage": _SERVER,
    "gnatsd_varz_jetstream_stats_memory": _SERVER,
    "gnatsd_varz_jetstream_stats_storage": _SERVER,
    "gnatsd_varz_mem": _SERVER,
    "gnatsd_varz_out_bytes": _SERVER,
    "gnatsd_varz_out_msgs": _SERVER,
    "gnatsd_varz_slow_consumers": _SERVER,
    "gnatsd_varz_subscriptions": _SERVER,
    "jetstream_server_total_consumers": _SERVER,
    "jetstream_server_total_streams": _SERVER,
    "jetstream_stream_last_seq": _STREAM,
    "jetstream_stream_total_bytes": _STREAM,
    "jetstream_stream_total_messages": _STREAM,
    "jetstream_consumer_delivered_consumer_seq": _CONSUMER,
    "jetstream_consumer_num_ack_pending": _CONSUMER,
    "jetstream_consumer_num_pending": _CONSUMER,
}
