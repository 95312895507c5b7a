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
        "nothing in it was missing anywhere"
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
        f" ({count_of(odd, 'time|times')} though its server had not ended)" if odd else ""
    )
    return (
        f"the stream was lost and made again{times}{without_server}; {rewound}; "
        f"{count_of(p['lost'], 'delivery was|deliveries were')} lost with it{why}; "
        f"{count_of(p['repeats'], 'was a repeat|were repeats')}{served}"
    )


def _acked_restored(p: Parameters) -> str:
    forgot = count_of(p["count"], "acked message|acked messages")
    return f"NATS forgot {forgot} when it ended; the shuffler put all of them back in their places"


def _workers_restarted(p: Parameters) -> str:
    workers = agreeing(
        p["count"], "worker ended in the run and was|workers ended in the run and were"
    )
    whose = agreeing(p["count"], "its|their")
    return (
        f"{p['count']} consumers {workers} started again{by_itself(p)}; others went on with "
        f"{whose} durables, and polls that fell due meanwhile were not made"
    )


def _stood_still(p: Parameters) -> str:
    who = in_words(p["part"], p["workers"])
    did = {
        NATS_SILENT: "NATS did not answer",
        STREAM_SILENT: "the stream took nothing, though NATS answered,",
        RELAY_SILENT: "no event came from the relay",
    }.get(p["kind"], f"{who} did not run")
    seen = f" (noticed on {', '.join(p['hosts'])})" if len(p["hosts"]) > 1 else ""
    *phases, last = [_PHASES[phase] for phase in p["phases"]]
    where = f"{', '.join(phases)} and {last}" if phases else last
    if not p["holds_up"]:
        then = "no measured part waits for it, but its own work was not done in that time"
    elif standstills.WINDOW in p["phases"]:
        then = "calls that waited for it are in the window's latencies and rates"
    elif standstills.DRAIN in p["phases"] or standstills.AFTER in p["phases"]:
        then = (
            "in the window's figures it shows in calls that were still open at the window's end, "
        )
        then += "and in ages of messages that came later, or never"
    else:
        then = "calls that fell due then are not in the window's latencies, but work that was "
        then += "caught up in the window is in its rates"
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
            f"NATS failed during the run and did not come back{by_itself(p)}; the cluster went on."
        ),
        "A server of a cluster ended, and the stream's other replicas survived.",
        "Read nats.log on that host.",
        BY_ITSELF,
    ),
    "nats_restarted_outlived": Code(
        NOTE,
        lambda p: (
            f"NATS restarted during the run ({', then '.join(p['lives'])}){by_itself(p)}; the "
            "cluster went on in the meantime."
        ),
        "A server of a cluster ended and came back; the stream's other replicas survived.",
        "Read nats.log on that host.",
        {"lives": "server ids, each with its start", **BY_ITSELF},
    ),
    "nats_restarted_recovered": Code(
        NOTE,
        lambda p: (
            f"NATS restarted during the run ({', then '.join(p['lives'])}){by_itself(p)}; the run "
            "went on, and accounts for everything."
        ),
        "A NATS server ended and came back. Its stream outlived it, or was made again.",
        "Read nats.log on that host; summary.json's recovery says what it cost.",
        {"lives": "server ids, each with its start", **BY_ITSELF},
    ),
    "shuffler_restarted": Code(
        NOTE,
        lambda p: (
            f"the shuffler was killed and started again {count_of(p['times'], 'time|times')}"
            f"{by_itself(p)}; it resumed where it had left off"
        ),
        "The shuffler's process was killed in the run. The service manager started it again, and "
        "it went on with the account and from the relay's seq that the one before had left.",
        "Read shuffler.log on its host.",
        {"times": "how often it was started again", **BY_ITSELF},
    ),
    "relay_restarted": Code(
        NOTE,
        lambda p: (
            f"the relay ended and was started again {count_of(p['times'], 'time|times')}"
            f"{by_itself(p)}; it went on by its schedule"
        ),
        "The relay's process ended in the run, and was started again. Frames that fell due "
        "meanwhile were sent late, or replayed.",
        "Read relay.log on its host.",
        {"times": "how often it was started again", **BY_ITSELF},
    ),
    "workers_restarted": Code(
        NOTE,
        _workers_restarted,
        "A process full of consumers died in the run, and was started again. What it received "
        "in its last second is known from the server; messages that it had not acknowledged came "
        "again.",
        "Read consumers.log on its host.",
        {"count": "processes", **BY_ITSELF},
    ),
    "stream_recreated": Code(
        NOTE,
        _stream_recreated,
        "The stream was lost, with its server or by somebody's hand. It was made again with "
        "the same settings, and so were its durables. The relay was read again from the first "
        "event that some consumer did not have.",
        "Expect this of a stream in memory. bench_stream_storage=file outlives its server's "
        "process, three NATS hosts and bench_stream_replicas=3 outlive a host.",
        {
            "streams": "how many were lost",
            "rewound_to_seq": "the relay's seq, None: nothing was missing",
            "replayed": "events",
            "lost": "deliveries",
            "lost_by_cause": "deliveries by cause",
            "repeats": "deliveries",
            "by_itself": "how often though its server had not ended",
            "lost_s": "seconds since T0",
            "served_again_s": "seconds since T0, None: not known",
        },
    ),
    "acked_restored": Code(
        NOTE,
        _acked_restored,
        "NATS was killed, or its host lost power, before acked messages were on the disk. The "
        "shuffler read them from the relay again and published them before anything else.",
        "Expect this of bench_stream_persist_mode=async, and of bench_sync_interval_s if a host "
        "loses power. bench_sync_interval_s=0 keeps all that was acked.",
        {"count": "messages"},
    ),
    "processes_killed_for_memory": Code(
        NOTE,
        "its memory ran out, and the kernel killed {count} {count:process|processes} there; none "
        "of them ended the run",
        "A host's memory ran out in the run.",
        "See which process it was with `dmesg` on that host, and give it more memory.",
        {"count": "processes, of the lab or others"},
    ),
    "watching_ended": Code(
        NOTE,
        "{process} ended {at_s:.1f} s after the run's start ({times} {times:time|times} in all); "
        "the run's own figures do not depend on it",
        "Prometheus or Grafana ended in the run, so what they show of it has a gap.",
        "Read the journal of that unit on its host, or the log in the lab's directory.",
        {
            "process": "prometheus or grafana",
            "at_s": "s since T0, the first time",
            "times": "times",
        },
    ),
    "watching_missing": Code(
        NOTE,
        "{process} did not run when the run began; the run's own figures do not depend on it",
        "Prometheus or Grafana was to watch the run, and did not come up.",
        "Read the journal of that unit on its host, or the log in the run's part of the bundle: "
        "its port may be another program's.",
        {"process": "prometheus or grafana"},
    ),
    "explained_by_fault": Code(
        NOTE,
        lambda p: (
            f"the run's own {agreeing(len(p['numbers']), 'fault|faults')} "
            f"{', '.join(f'bench_faults[{number}]' for number in p['numbers'])} caused: "
            f"{p['reason']}"
        ),
        "This would make the run invalid if the run itself had not caused it: the fault happened, "
        "was undone, and explains all of it.",
        "Nothing. What the fault cost is in summary.json under `faults`.",
        {"numbers": "places in bench_faults", "reason": "what it caused"},
    ),
    "fault_late": Code(
        NOTE,
        "bench_faults[{number}] ({do}) was begun {began_late_ms:.0f} ms and undone "
        "{ended_late_ms:.0f} ms later than planned",
        "The agent that executes faults had to wait for a processor, or for what the fault is on. "
        "The fault's figures count from when it really began and ended, not from the plan.",
        "If the time of the fault matters, give its host more processors or less other work.",
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
        "Latencies, rates and goals about them are of the measured window; the ledger is of the "
        "whole run.",
        "If it was in the window, the figures include its effects. In the drain, it kept consumers "
        "from what they were still owed: set a longer bench_drain_s, or run again.",
        {
            "kind": "of the event: nats_silent, stream_silent, relay_silent or agent_paused",
            "part": "nats, stream, relay, or the agent",
            "workers": "of the consumers, which of their workers; empty: not known, or none",
            "hosts": "where it was noticed",
            "begin_s": "s since T0",
            "end_s": "s since T0; null: to the run's end",
            "phases": f"of {', '.join(_PHASES)}: those that it had a part of",
            "pending_at_end": "deliveries; null: consumers were not kept from any, or not known",
            "holds_up": "whether the load waits for it",
        },
    ),
}
