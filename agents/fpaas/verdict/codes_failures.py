"""Codes of notes: what failed or stood still in a run that went on. The others: `codes_notes`."""

from __future__ import annotations

from fpaas.agreement import agreeing, count_of
from fpaas.ledger import lost_streams
from fpaas.records.events import NATS_SILENT, RELAY_SILENT, STREAM_SILENT
from fpaas.records.status import in_words
from fpaas.verdict import standstills
from fpaas.verdict.code import (
    BY_ITSELF,
    NOTE,
    Code,
    Parameters,
    between,
    by_itself,
    causes,
)

LOST_WITH_STREAM = {
    lost_streams.MAX_AGE: "had reached the stream's maximum age when it was made again",
    lost_streams.NOT_REPLAYED: "not published again by the relay's or the run's end",
    lost_streams.IN_DELIVERY: "on the way to consumers",
}

#: Phases of a run, as a sentence names them.
_PHASES = {
    standstills.LEAD: "before the load began",
    standstills.WARMUP: "in the warm-up",
    standstills.WINDOW: "in the measured window",
    standstills.DRAIN: "in the drain",
    standstills.AFTER: "after the run's end",
}


def _stream_recreated(p: Parameters) -> str:
    times = "" if p["streams"] == 1 else f" {p['streams']} times"
    rewound = (
        "every consumer already had everything in it"
        if p["rewound_to_seq"] is None
        else f"the relay was read again from seq {p['rewound_to_seq']} on, and "
        f"{count_of(p['replayed'], 'event was|events were')} published again"
    )
    served = (
        ""
        if p["served_again_s"] is None or p["lost_s"] is None
        else f"; the last consumer was served again after {p['served_again_s'] - p['lost_s']:.1f} s"
    )
    why = causes(p["lost_by_cause"], LOST_WITH_STREAM)
    odd = p["by_itself"]
    without_server = (
        f" ({count_of(odd, 'time|times')} although its server had not ended)" if odd else ""
    )
    return (
        f"the stream was lost and recreated{times}{without_server}; {rewound}; "
        f"{count_of(p['lost'], 'delivery was|deliveries were')} lost with it{why}; "
        f"{count_of(p['repeats'], 'was a repeat|were repeats')}{served}"
    )


def _acked_restored(p: Parameters) -> str:
    forgot = count_of(p["count"], "acked message|acked messages")
    return f"NATS forgot {forgot} when it ended; the shuffler restored all of them in their places"


def _workers_restarted(p: Parameters) -> str:
    workers = agreeing(
        p["count"], "worker ended during the run and was|workers ended during the run and were"
    )
    whose = agreeing(p["count"], "its|their")
    return (
        f"{p['count']} consumers {workers} restarted{by_itself(p)}; new processes took over "
        f"{whose} durables, and polls that fell due meanwhile were skipped"
    )


def _stood_still(p: Parameters) -> str:
    who = in_words(p["part"], p["workers"])
    did = {
        NATS_SILENT: "NATS did not answer",
        STREAM_SILENT: "the stream accepted nothing, although NATS answered,",
        RELAY_SILENT: "no event came from the relay",
    }.get(p["kind"], f"{who} did not run")
    seen = f" (noticed on {', '.join(p['hosts'])})" if len(p["hosts"]) > 1 else ""
    *phases, last = [_PHASES[phase] for phase in p["phases"]]
    where = f"{', '.join(phases)} and {last}" if phases else last
    if not p["holds_up"]:
        then = "no measured part waits for it, but it did no work in that time"
    elif standstills.WINDOW in p["phases"]:
        then = "the window's latencies and rates include calls that waited for it"
    elif standstills.DRAIN in p["phases"] or standstills.AFTER in p["phases"]:
        then = "the window's figures show it in calls that were still open at the window's end "
        then += "and in the ages of messages that came later or never"
    else:
        then = "the window's latencies exclude calls that fell due then, but its rates include "
        then += "work that was caught up in the window"
    said = f"{did} {between(p['begin_s'], p['end_s'])}{seen}, {where}; {then}"
    if p["pending_at_end"]:
        said += (
            "; anything that consumers could not fetch because of it is among the "
            f"{count_of(p['pending_at_end'], 'delivery|deliveries')} pending at the end"
        )
    return f"{said}."


CODES: dict[str, Code] = {
    "nats_died_outlived": Code(
        NOTE,
        lambda p: (
            f"NATS failed during the run and did not come back{by_itself(p)}; the cluster "
            "continued."
        ),
        "A server of a cluster ended, and the stream's other replicas survived.",
        "Read nats.log on that host.",
        BY_ITSELF,
    ),
    "nats_restarted_outlived": Code(
        NOTE,
        lambda p: (
            f"NATS restarted during the run ({', then '.join(p['lives'])}){by_itself(p)}; the "
            "cluster continued meanwhile."
        ),
        "A server of a cluster ended and came back; the stream's other replicas survived.",
        "Read nats.log on that host.",
        {"lives": "server ids, each with its start", **BY_ITSELF},
    ),
    "nats_restarted_recovered": Code(
        NOTE,
        lambda p: (
            f"NATS restarted during the run ({', then '.join(p['lives'])}){by_itself(p)}; the run "
            "continued and accounts for everything."
        ),
        "A NATS server ended and came back. Its stream survived, or was recreated.",
        "Read nats.log on that host; `recovery` in summary.json has the cost.",
        {"lives": "server ids, each with its start", **BY_ITSELF},
    ),
    "shuffler_restarted": Code(
        NOTE,
        lambda p: (
            f"the shuffler was killed and restarted {count_of(p['times'], 'time|times')}"
            f"{by_itself(p)}; it resumed where it had left off"
        ),
        "The shuffler's process was killed during the run. The service manager restarted it, and "
        "it continued its predecessor's account from the relay's seq saved there.",
        "Read shuffler.log on its host.",
        {"times": "how often it was restarted", **BY_ITSELF},
    ),
    "relay_restarted": Code(
        NOTE,
        lambda p: (
            f"the relay ended and was restarted {count_of(p['times'], 'time|times')}"
            f"{by_itself(p)}; it continued on schedule"
        ),
        "The relay's process ended during the run and was restarted. Frames that fell due "
        "meanwhile were sent late, or replayed.",
        "Read relay.log on its host.",
        {"times": "how often it was restarted", **BY_ITSELF},
    ),
    "workers_restarted": Code(
        NOTE,
        _workers_restarted,
        "A consumers process died during the run and was restarted. The server shows what it "
        "received in its last second; messages that it had not acknowledged were delivered again.",
        "Read consumers.log on its host.",
        {"count": "processes", **BY_ITSELF},
    ),
    "stream_recreated": Code(
        NOTE,
        _stream_recreated,
        "The stream was lost with its server, or somebody deleted it. It was recreated with the "
        "same settings, and so were its durables. The relay was read again from the first event "
        "that some consumer lacked.",
        "Expect this with a stream in memory. A stream with bench_stream_storage=file survives the "
        "end of its server's process; three NATS hosts with bench_stream_replicas=3 survive the "
        "loss of a host.",
        {
            "streams": "how many were lost",
            "rewound_to_seq": "the relay's seq; null: nothing was missing",
            "replayed": "events",
            "lost": "deliveries",
            "lost_by_cause": "deliveries by cause",
            "repeats": "deliveries",
            "by_itself": "how often although its server had not ended",
            "lost_s": "s since T0",
            "served_again_s": "s since T0; null: not known",
        },
    ),
    "acked_restored": Code(
        NOTE,
        _acked_restored,
        "NATS was killed, or its host lost power, before acked messages were on disk. The shuffler "
        "read them from the relay again and published them before anything else.",
        "Expect this with bench_stream_persist_mode=async, and with bench_sync_interval_s if a "
        "host loses power. bench_sync_interval_s=0 keeps every acked message.",
        {"count": "messages"},
    ),
    "processes_killed_for_memory": Code(
        NOTE,
        "its memory ran out, and the kernel killed {count} {count:process|processes} there; none "
        "of them ended the run",
        "A host's memory ran out during the run.",
        "`dmesg` on that host shows which process it was. Give the host more memory.",
        {"count": "processes, of the lab or others"},
    ),
    "watching_ended": Code(
        NOTE,
        "{process} ended {at_s:.1f} s after the run's start ({times} {times:time|times} in all); "
        "the run's own figures do not depend on it",
        "Prometheus or Grafana ended during the run, so its view of the run has a gap.",
        "Read the journal of that unit on its host, or the log in the lab's directory.",
        {
            "process": "prometheus or grafana",
            "at_s": "s since T0, the first time",
            "times": "times",
        },
    ),
    "watching_missing": Code(
        NOTE,
        "{process} was not running when the run began; the run's own figures do not depend on it",
        "Prometheus or Grafana should have watched the run, but did not come up.",
        "Read the journal of that unit on its host, or the log in the host's part of the bundle. "
        "Another program may use its port.",
        {"process": "prometheus or grafana"},
    ),
    "explained_by_fault": Code(
        NOTE,
        lambda p: (
            f"the run's own {agreeing(len(p['numbers']), 'fault|faults')} "
            f"{', '.join(f'bench_faults[{number}]' for number in p['numbers'])} caused: "
            f"{p['reason']}"
        ),
        "This would make the run invalid if the run itself had not caused it. The fault happened, "
        "was undone, and explains all of it.",
        "Nothing. `faults` in summary.json has the fault's cost.",
        {"numbers": "places in bench_faults", "reason": "what it caused"},
    ),
    "fault_late": Code(
        NOTE,
        "bench_faults[{number}] ({do}) began {began_late_ms:.0f} ms and ended "
        "{ended_late_ms:.0f} ms later than planned",
        "The faults agent had to wait for the CPU, or for the fault's target. The fault's figures "
        "count from when it really began and ended, not from the plan.",
        "If the exact time matters, give the fault's host more cores or less other work.",
        {
            "number": "its place in bench_faults",
            "do": "",
            "began_late_ms": "ms",
            "ended_late_ms": "ms",
        },
    ),
    "stood_still": Code(
        NOTE,
        _stood_still,
        "A part of the lab, or NATS, did not answer or did not run for a second or more. "
        "Latencies, rates and goals about them cover the measured window; the ledger covers the "
        "whole run.",
        "In the window, the figures include its effects. In the drain, it kept consumers from "
        "messages that they were still owed: set a longer bench_drain_s, or run again.",
        {
            "kind": "of the event: nats_silent, stream_silent, relay_silent or agent_paused",
            "part": "nats, stream, relay, or the agent",
            "workers": "of the consumers, which of their workers; empty: not known, or none",
            "hosts": "where it was noticed",
            "begin_s": "s since T0",
            "end_s": "s since T0; null: to the run's end",
            "phases": f"those of {', '.join(_PHASES)} that it overlaps",
            "pending_at_end": "deliveries; null: it kept consumers from none, or not known",
            "holds_up": "whether the load waits for it",
        },
    ),
}
