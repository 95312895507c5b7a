"""The bench_* variables: the type, the range and the unit of each, stated once.

Every refusal names the variable, the value and what is allowed.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

from fpaas.errors import SpecError
from fpaas.spec import faults, frame_mix, mix, rates
from fpaas.spec.acks import ACKS
from fpaas.spec.kinds import KINDS
from fpaas.spec.values import Variable, auto_or_number, boolean, choice, integer, number

DELIVERIES = ("fanout", "shared", "partitioned")
FETCHES = mix.FETCHES
CONNECTIONS = ("auto", "per_consumer")
#: Whether a cursor's own frame is replayed, or the one after it is the first.
REPLAYS = ("inclusive", "exclusive")
STORAGES = ("memory", "file")
#: Where a shuffler that is started again in a run finds how far it had come.
CURSOR_PLACES = ("file", "nats")
COMPRESSIONS = ("none", "s2")
PERSIST_MODES = ("default", "async")
#: One server; or a cluster, which must have a majority without one of its servers.
NATS_HOSTS_ALLOWED = (1, 3)

OF_THE_WINDOW = "a tenth of bench_measure_s, from 2 to 10 seconds"

VARIABLES: dict[str, Variable] = {
    "bench_consumers": integer(100, 1, 100_000, "consumers"),
    "bench_consumer_kind": choice(KINDS[0], KINDS),
    "bench_mix": mix.MIX,
    "bench_poll_interval_s": mix.POLL_INTERVAL,
    "bench_poll_jitter_pct": mix.POLL_JITTER,
    "bench_batch_size": mix.BATCH_SIZE,
    "bench_delivery": choice("fanout", DELIVERIES),
    "bench_fetch": mix.FETCH,
    "bench_connections": choice("auto", CONNECTIONS),
    "bench_workers": Variable(
        "auto",
        "auto or integer",
        "allowed: auto, or a whole number of processes from 1 to 256",
        1,
        256,
    ),
    "bench_warmup_s": number(60, 0, 86_400, "seconds"),
    "bench_measure_s": number(300, 1, 604_800, "seconds"),
    "bench_drain_s": number(30, 0, 86_400, "seconds"),
    "bench_firehose_source": Variable(
        "synthetic", "text", "allowed: synthetic, a capture file, or a ws:// or wss:// relay"
    ),
    "bench_firehose_rate_per_s": rates.RATE,
    "bench_firehose_mix": frame_mix.MIX,
    "bench_relay_replay": choice(REPLAYS[0], REPLAYS),
    "bench_relay_silent_max_s": auto_or_number(0.1, 604_800, "seconds", OF_THE_WINDOW),
    "bench_relay_lag_max_s": auto_or_number(0.1, 604_800, "seconds", OF_THE_WINDOW),
    "bench_relay_stuck_s": number(10, 0.5, 86_400, "seconds"),
    "bench_cursor_place": choice(CURSOR_PLACES[0], CURSOR_PLACES),
    "bench_undecodable_max_frames": integer(10, 0, 2**53, "frames"),
    "bench_seed": integer(1, 0, 2**63 - 1, ""),
    "bench_repeat": integer(1, 1, 100, "runs"),
    "bench_ack": choice(ACKS[0], ACKS),
    "bench_ack_wait_s": number(30, 1, 3600, "seconds"),
    "bench_max_ack_pending": Variable(
        "auto",
        "auto or integer",
        "allowed: auto (twice what pulls can have outstanding, at least 1000), or a whole number "
        "of messages from 1 to 10,000,000",
        1,
        10_000_000,
    ),
    "bench_inactive_threshold_s": number(0, 0, 604_800, "seconds"),
    "bench_streams": integer(1, 1, mix.PARTITIONS, "streams"),
    "bench_stream_max_age_s": number(300, 1, 604_800, "seconds"),
    "bench_stream_max_bytes": integer(2_000_000_000, 1_000_000, 2**53, "bytes"),
    "bench_stream_duplicate_window_s": number(300, 0.1, 604_800, "seconds"),
    "bench_stream_storage": choice("memory", STORAGES),
    "bench_stream_compression": choice("none", COMPRESSIONS),
    "bench_stream_persist_mode": choice(PERSIST_MODES[0], PERSIST_MODES),
    "bench_sync_interval_s": number(120, 0, 86_400, "seconds (0: before each ack)"),
    "bench_stream_replicas": integer(1, 1, max(NATS_HOSTS_ALLOWED), "replicas"),
    "bench_keep_metrics": boolean(default=False),
    "bench_faults": faults.LIST,
}


#: What only a stream in files has, and why.
_OF_FILES = {
    "bench_stream_compression": "only files are compressed",
    "bench_stream_persist_mode": "only files are written to the disk",
    "bench_sync_interval_s": "only files are synced to the disk",
}


def read_variables(values: Mapping[str, Any]) -> dict[str, Any]:
    """Check bench_* variables and fill in defaults.

    Raises SpecError that has a line for each unknown name (with the nearest known one) and for
    each bad value.
    """
    wrong = [_unknown(name) for name in values if name not in VARIABLES]
    read: dict[str, Any] = {}
    for name, variable in VARIABLES.items():
        try:
            read[name] = variable.read(name, values.get(name, variable.default))
        except SpecError as error:
            wrong.append(str(error))
    if wrong:
        raise SpecError("\n".join(wrong))
    _check_files(read)
    duplicate_window_s = read["bench_stream_duplicate_window_s"]
    if duplicate_window_s > read["bench_stream_max_age_s"]:
        # The server refuses a window longer than max age; follow a shortened max age by default.
        if "bench_stream_duplicate_window_s" in values:
            raise SpecError(
                f"bench_stream_duplicate_window_s: {duplicate_window_s:g} is not allowed; it must "
                f"not exceed bench_stream_max_age_s ({read['bench_stream_max_age_s']:g})"
            )
        read["bench_stream_duplicate_window_s"] = read["bench_stream_max_age_s"]
    return read


def _check_files(read: Mapping[str, Any]) -> None:
    """Refuse what only a stream in files can have, of any other. Raises SpecError."""
    if read["bench_stream_storage"] != "file":
        for name, why in _OF_FILES.items():
            value = read[name]
            if value != VARIABLES[name].default:
                shown = f"{value:g}" if isinstance(value, float) else value
                raise SpecError(
                    f"{name}: {shown} is not allowed with "
                    f"bench_stream_storage={read['bench_stream_storage']}: {why}"
                )
    if read["bench_stream_persist_mode"] != "async":
        return
    replicas = read["bench_stream_replicas"]
    if replicas > 1:
        raise SpecError(
            f"bench_stream_persist_mode: async is not allowed with bench_stream_replicas={replicas}"
            ": the server has it for streams of one replica only"
        )
    if not read["bench_sync_interval_s"]:
        raise SpecError(
            "bench_sync_interval_s: 0 is not allowed with bench_stream_persist_mode=async: "
            "the server acks before it writes, let alone syncs"
        )


def _unknown(name: str) -> str:
    near = difflib.get_close_matches(name, VARIABLES, n=1)
    hint = f"did you mean {near[0]}?" if near else "known: " + ", ".join(VARIABLES)
    return f"{name}: there is no such variable; {hint}"


def is_relay_url(source: str) -> bool:
    """Whether a firehose source is a foreign relay rather than synthetic or a file."""
    return source.startswith(("ws://", "wss://"))
