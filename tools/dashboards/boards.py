"""The dashboards: which panels each has. Units are Grafana's: ops is per second."""

from __future__ import annotations

from tools.dashboards.panels import (
    STATES,
    VALUE,
    Board,
    Panel,
    of_run,
    or_zero,
    quantiles,
    rate,
    total,
)

CONSUMERS, RELAY, SHUFFLER = "fpaas_consumers", "fpaas_relay", "fpaas_shuffler"
PROCESSES = "namedprocess_namegroup"

OFFERED = rate(f"{RELAY}_frames_offered_total")
READ = rate(f"{SHUFFLER}_frames_read_total")
PUBLISHED = rate(f"{SHUFFLER}_publishes_total", labels='outcome="published"')
DELIVERED = rate(f"{CONSUMERS}_messages_processed_total")

EVENTS = Panel(
    "Events per second",
    "ops",
    {"offered": OFFERED, "read": READ, "published": PUBLISHED},
    "What a relay of the lab offers, what the shuffler reads, and what NATS acknowledged. "
    "A foreign relay does not say what it offers.",
)
DELIVERIES = Panel(
    "Deliveries per second", "ops", {"delivered": DELIVERED}, "Of all consumers together."
)
ACKS = Panel(
    "Time to a publish's ack",
    "s",
    quantiles(f"{SHUFFLER}_publish_ack_seconds"),
    "Estimated from buckets; the report has exact figures.",
)
FETCHES = Panel(
    "Time of a fetch call",
    "s",
    quantiles(f"{CONSUMERS}_fetch_latency_seconds"),
    "From a pull sent to its answer. Estimated from buckets; the report has exact figures.",
)
LAG = Panel(
    "Messages that consumers have yet to be sent",
    "short",
    {"pending": total("jetstream_consumer_num_pending", "stream_name", 'is_stream_leader="true"')},
    "Of all consumers together, as the stream's leader says. In fan-out each is owed every one.",
)
PROCESS_CPU = Panel(
    "Processor time of the lab's processes",
    "percentunit",
    {"{{groupname}} on {{host}}": rate(f"{PROCESSES}_cpu_seconds_total", "groupname, host")},
    "100 % is one core.",
)
PROCESS_MEMORY = Panel(
    "Memory of the lab's processes",
    "bytes",
    {
        "{{groupname}} on {{host}}": total(
            f"{PROCESSES}_memory_bytes", "groupname, host", 'memtype="resident"'
        )
    },
    "Resident.",
)
STREAM_BYTES = Panel(
    "Size of the stream",
    "bytes",
    {
        "{{stream_name}}": total(
            "jetstream_stream_total_bytes", "stream_name", 'is_stream_leader="true"'
        )
    },
)
FAULTS = Panel(
    "Faults in effect",
    "none",
    {
        "{{fault}} {{do}} {{on}} {{host}}": or_zero(
            total("fpaas_run_fault_active", "fault, do, on, host", together="max"),
            f"max by (host) ({of_run('fpaas_run_info')})",
        )
    },
    "Those that the run injects into itself. A run without any shows only its hosts.",
    STATES,
)

OVERVIEW = Board(
    "fpaas-run",
    "FPaaS: run overview",
    "One run: what was offered, stored and delivered, how fast, and at what cost.",
    {
        "The run": (
            Panel(
                "Phase",
                "none",
                {"{{phase}}": 'max by (phase) (fpaas_run_phase{run_id="$run_id"})'},
                looks=STATES,
            ),
            FAULTS,
            Panel("Consumers", "none", {"consumers": total(f"{CONSUMERS}_consumers")}, looks=VALUE),
            Panel(
                "Published",
                "short",
                {"events": total(f"{SHUFFLER}_publishes_total", labels='outcome="published"')},
                looks=VALUE,
            ),
            Panel(
                "Delivered",
                "short",
                {"messages": total(f"{CONSUMERS}_messages_processed_total")},
                looks=VALUE,
            ),
            Panel(
                "Slow consumers",
                "none",
                {"since NATS started": total("gnatsd_varz_slow_consumers")},
                "Connections that NATS cut off because they took too little.",
                VALUE,
            ),
        ),
        "The data's way": (EVENTS, DELIVERIES, LAG, STREAM_BYTES),
        "Latency": (ACKS, FETCHES),
        "Cost": (PROCESS_CPU, PROCESS_MEMORY),
    },
)

CONSUMERS_BOARD = Board(
    "fpaas-consumers",
    "FPaaS: consumers",
    "What the pull consumers ask for, get and miss.",
    {
        "Work": (
            Panel(
                "Deliveries per second by host",
                "ops",
                {"{{host}}": rate(f"{CONSUMERS}_messages_processed_total", "host")},
            ),
            Panel(
                "Bytes per second by host",
                "Bps",
                {"{{host}}": rate(f"{CONSUMERS}_message_bytes_total", "host")},
                "Payloads only.",
            ),
            Panel(
                "Polls and acks per second",
                "ops",
                {
                    "polls": rate(f"{CONSUMERS}_polls_total"),
                    "acks": rate(f"{CONSUMERS}_acks_total"),
                },
            ),
            LAG,
        ),
        "Fetches": (
            Panel(
                "Fetches per second by result",
                "ops",
                {"{{result}}": rate(f"{CONSUMERS}_fetches_total", "result")},
            ),
            Panel(
                "Statuses per second",
                "ops",
                {
                    "{{status}}": or_zero(
                        rate(f"{CONSUMERS}_statuses_total", "status"),
                        rate(f"{CONSUMERS}_polls_total"),
                    )
                },
                "What NATS said instead of a message; 404: there is none.",
            ),
            FETCHES,
            Panel(
                "Lateness of polls",
                "s",
                quantiles(f"{CONSUMERS}_poll_lateness_seconds"),
                "From a poll due to sent: if it grows, the load generator is the bottleneck.",
            ),
        ),
        "Trouble": (
            Panel(
                "Redeliveries per second",
                "ops",
                {"{{host}}": rate(f"{CONSUMERS}_redelivered_total", "host")},
            ),
            Panel(
                "Connections",
                "none",
                {
                    "up, {{host}}": total(f"{CONSUMERS}_connections", "host"),
                    "made again, {{host}}": total(f"{CONSUMERS}_reconnects_total", "host"),
                    "errors, {{host}}": total(f"{CONSUMERS}_connection_errors_total", "host"),
                },
            ),
        ),
    },
)

SHUFFLER_BOARD = Board(
    "fpaas-shuffler",
    "FPaaS: shuffler",
    "From the relay into the stream.",
    {
        "Work": (
            EVENTS,
            Panel(
                "Events per second by outcome",
                "ops",
                {"{{outcome}}": rate(f"{SHUFFLER}_publishes_total", "outcome")},
                "Unknown: no answer, though NATS may have stored it.",
            ),
            ACKS,
            Panel(
                "In flight",
                "short",
                {"publishes": total(f"{SHUFFLER}_in_flight")},
                "Publishes without an outcome.",
            ),
            Panel("Bytes in flight", "bytes", {"bytes": total(f"{SHUFFLER}_in_flight_bytes")}),
            Panel(
                "Events that the shuffler is behind the relay",
                "short",
                {
                    "events": f"clamp_min({total(f'{RELAY}_last_seq', together='max')}"
                    f" - {total(f'{SHUFFLER}_last_seq', together='max')}, 0)"
                },
                "By their sequence numbers. A foreign relay does not serve its own.",
            ),
        ),
        "Relay": (
            Panel(
                "Subscriptions",
                "none",
                {
                    "made": total(f"{SHUFFLER}_relay_connects_total"),
                    "refused or lost": total(f"{SHUFFLER}_relay_errors_total"),
                },
            ),
            Panel(
                "What was wrong with frames",
                "none",
                {
                    "read again": total(f"{SHUFFLER}_frames_reread_total"),
                    "undecodable": total(f"{SHUFFLER}_frames_undecodable_total"),
                    "gaps": total(f"{SHUFFLER}_relay_gaps"),
                    "numbers went back": total(f"{SHUFFLER}_relay_seq_resets_total"),
                },
            ),
            Panel(
                "Time that the relay's sockets took no more",
                "percentunit",
                {"{{host}}": rate(f"{RELAY}_blocked_seconds_total", "host")},
                "Share of each second, of all subscribers together.",
            ),
        ),
        "NATS": (
            Panel(
                "Publishes refused per second",
                "ops",
                {
                    "{{code}}": or_zero(
                        rate(f"{SHUFFLER}_publish_refusals_total", "code"), PUBLISHED
                    )
                },
            ),
            Panel(
                "Connection",
                "none",
                {
                    "made": total(f"{SHUFFLER}_nats_connects_total"),
                    "errors": total(f"{SHUFFLER}_nats_errors_total"),
                    "events published again for a lost stream": total(f"{SHUFFLER}_replayed_total"),
                },
            ),
        ),
    },
)


def _varz(title: str, unit: str, name: str, about: str = "") -> Panel:
    return Panel(title, unit, {"{{host}}": total(f"gnatsd_varz_{name}", "host")}, about)


def _flow(title: str, unit: str, what: str) -> Panel:
    return Panel(
        title,
        unit,
        {
            "in, {{host}}": rate(f"gnatsd_varz_in_{what}", "host"),
            "out, {{host}}": rate(f"gnatsd_varz_out_{what}", "host"),
        },
    )


def _stream(name: str, together: str = "sum") -> str:
    return total(f"jetstream_stream_{name}", "stream_name", 'is_stream_leader="true"', together)


def _durables(name: str) -> str:
    return total(f"jetstream_consumer_{name}", "stream_name", 'is_stream_leader="true"')


JETSTREAM = Board(
    "fpaas-jetstream",
    "FPaaS: NATS JetStream",
    "The NATS servers, the stream, and its consumers as NATS sees them.",
    {
        "Servers": (
            _varz("Processor time", "percent", "cpu", "100 % is one core."),
            _varz("Memory", "bytes", "mem"),
            _flow("Messages per second", "ops", "msgs"),
            _flow("Bytes per second", "Bps", "bytes"),
            _varz("Connections", "none", "connections"),
            _varz("Subscriptions", "short", "subscriptions"),
            _varz("Slow consumers", "none", "slow_consumers", "Cut off since the server started."),
            Panel(
                "JetStream requests per second",
                "ops",
                {
                    "all, {{host}}": rate("gnatsd_varz_jetstream_stats_api_total", "host"),
                    "errors, {{host}}": rate("gnatsd_varz_jetstream_stats_api_errors", "host"),
                },
            ),
        ),
        "Stream": (
            STREAM_BYTES,
            Panel(
                "Messages in the stream",
                "short",
                {"{{stream_name}}": _stream("total_messages")},
            ),
            Panel(
                "Stored per second",
                "ops",
                {
                    "{{stream_name}}": rate(
                        "jetstream_stream_last_seq", "stream_name", 'is_stream_leader="true"'
                    )
                },
            ),
            Panel(
                "Share of JetStream's memory and disk that is used",
                "percentunit",
                {
                    f"{kind}, {{{{host}}}}": total(f"gnatsd_varz_jetstream_stats_{kind}", "host")
                    + " / "
                    + total(f"gnatsd_varz_jetstream_config_max_{kind}", "host")
                    for kind in ("memory", "storage")
                },
            ),
        ),
        "Consumers": (
            LAG,
            Panel(
                "Deliveries per second",
                "ops",
                {
                    "{{stream_name}}": rate(
                        "jetstream_consumer_delivered_consumer_seq",
                        "stream_name",
                        'is_stream_leader="true"',
                    )
                },
            ),
            Panel(
                "Deliveries without an ack",
                "short",
                {
                    "waiting": _durables("num_ack_pending"),
                    "sent again": _durables("num_redelivered"),
                },
            ),
            Panel("Pulls that wait", "short", {"{{stream_name}}": _durables("num_waiting")}),
            Panel("Durables", "none", {"{{stream_name}}": _stream("consumer_count")}),
            Panel(
                "How far the slowest consumer is behind",
                "short",
                {
                    "{{stream_name}}": f"{_stream('last_seq', 'max')} - "
                    + total(
                        "jetstream_consumer_delivered_stream_seq",
                        "stream_name",
                        'is_stream_leader="true"',
                        "min",
                    )
                },
                "Messages, from its last delivery to the newest in the stream.",
            ),
        ),
    },
)


def _network(direction: str) -> str:
    return rate(f"node_network_{direction}_bytes_total", "host", 'device!="lo"')


HOSTS = Board(
    "fpaas-hosts",
    "FPaaS: hosts",
    "What each host of the lab has left.",
    {
        "Hosts": (
            Panel(
                "Processors in use",
                "percentunit",
                {
                    "{{host}}": "1 - avg by (host) "
                    + of_run('rate(node_cpu_seconds_total{mode="idle"}[$__rate_interval])')
                },
                "Of all cores.",
            ),
            Panel(
                "Time stolen, and waiting for disks",
                "percentunit",
                {
                    "{{mode}}, {{host}}": "avg by (mode, host) "
                    + of_run('rate(node_cpu_seconds_total{mode=~"steal|iowait"}[$__rate_interval])')
                },
                "Stolen: other virtual machines ran instead.",
            ),
            Panel(
                "Memory in use",
                "percentunit",
                {
                    "{{host}}": f"1 - {total('node_memory_MemAvailable_bytes', 'host')}"
                    f" / {total('node_memory_MemTotal_bytes', 'host')}"
                },
            ),
            Panel(
                "Load", "none", {"{{host}}": total("node_load1", "host")}, "Average of a minute."
            ),
            Panel(
                "Network",
                "Bps",
                {"in, {{host}}": _network("receive"), "out, {{host}}": _network("transmit")},
                "Without the loopback device, which a lab on one host uses.",
            ),
            Panel(
                "Packets dropped per second",
                "ops",
                {
                    "in, {{host}}": rate("node_network_receive_drop_total", "host"),
                    "out, {{host}}": rate("node_network_transmit_drop_total", "host"),
                },
            ),
            Panel(
                "Disks",
                "Bps",
                {
                    "read, {{host}}": rate("node_disk_read_bytes_total", "host"),
                    "written, {{host}}": rate("node_disk_written_bytes_total", "host"),
                },
            ),
            Panel(
                "Samples that the probe was too late for",
                "none",
                {"{{host}}": total("fpaas_probe_samples_missed_total", "host")},
                "The host was too busy for it.",
            ),
        ),
        "The lab's processes": (
            PROCESS_CPU,
            PROCESS_MEMORY,
            Panel(
                "Threads and files",
                "short",
                {
                    "threads, {{groupname}} on {{host}}": total(
                        f"{PROCESSES}_num_threads", "groupname, host"
                    ),
                    "files, {{groupname}} on {{host}}": total(
                        f"{PROCESSES}_open_filedesc", "groupname, host"
                    ),
                },
            ),
            Panel(
                "Context switches per second",
                "ops",
                {
                    "{{groupname}} on {{host}}": rate(
                        f"{PROCESSES}_context_switches_total", "groupname, host"
                    )
                },
            ),
        ),
    },
)

FAILURES = Board(
    "fpaas-failures",
    "FPaaS: failures",
    "What broke, what it cost, and how long until all was well again.",
    {
        "What broke": (
            FAULTS,
            Panel(
                "Processes",
                "none",
                {"{{groupname}} on {{host}}": total(f"{PROCESSES}_num_procs", "groupname, host")},
                "A process that was killed is missing here.",
            ),
            Panel(
                "Connected",
                "none",
                {
                    "shuffler to the relay": total(f"{SHUFFLER}_relay_connected", together="min"),
                    "shuffler to NATS": total(f"{SHUFFLER}_nats_connected", together="min"),
                },
                looks=STATES,
            ),
            Panel(
                "Connections of consumers",
                "none",
                {"{{host}}": total(f"{CONSUMERS}_connections", "host")},
            ),
        ),
        "What it cost": (
            EVENTS,
            DELIVERIES,
            Panel(
                "Events not stored at once",
                "short",
                {
                    "{{outcome}}": total(
                        f"{SHUFFLER}_publishes_total", "outcome", 'outcome!="published"'
                    ),
                    "published again for a lost stream": total(f"{SHUFFLER}_replayed_total"),
                },
                "Counts since the shuffler started.",
            ),
            Panel(
                "Events not read at once",
                "short",
                {
                    "gaps": total(f"{SHUFFLER}_relay_gaps"),
                    "read again": total(f"{SHUFFLER}_frames_reread_total"),
                    "undecodable": total(f"{SHUFFLER}_frames_undecodable_total"),
                    "offered, not read yet": f"clamp_min("
                    f"{total(f'{RELAY}_frames_offered_total')}"
                    f" - {total(f'{SHUFFLER}_frames_read_total')}, 0)",
                },
                "Counts since the start.",
            ),
            Panel(
                "Fetches that failed",
                "short",
                {
                    "{{result}}": total(
                        f"{CONSUMERS}_fetches_total",
                        "result",
                        'result=~"refused|client_timeout|lost"',
                    )
                },
                "Counts since the consumers started.",
            ),
            Panel(
                "Delivered again",
                "short",
                {"{{host}}": total(f"{CONSUMERS}_redelivered_total", "host")},
                "Counts since the consumers started.",
            ),
        ),
        "How it came back": (LAG, ACKS, FETCHES, PROCESS_CPU),
    },
)

ALL = (OVERVIEW, CONSUMERS_BOARD, SHUFFLER_BOARD, JETSTREAM, HOSTS, FAILURES)
