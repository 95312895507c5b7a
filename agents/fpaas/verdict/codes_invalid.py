"""Codes that make a run invalid: its figures cannot be trusted."""

from __future__ import annotations

from collections.abc import Callable

from fpaas.agreement import count_of
from fpaas.records.control import Trouble
from fpaas.records.status import AGENTS, in_words
from fpaas.verdict.code import (
    INVALID,
    OWN_WINDOW,
    Code,
    Parameters,
    between,
    of_own_window,
    spoken,
    still_open,
)

_LOGS = "Read the log of that part in `results/<run-id>/hosts/<host>/`, and run again."
_BUSY = (
    "Use more or faster hosts, fewer consumers, or a machine that does nothing else. Do not trust "
    "the NATS figures of such a run."
)
_FILES = (
    "If the host was not reached or the run was cut off, collect it again "
    "(`ansible-playbook playbooks/collect.yml -e run_id=<run-id>`). Otherwise run again."
)
_CLOCK = (
    "Synchronise the hosts' clocks (chrony), make sure that nothing sets them during a run, and "
    "run again."
)
#: An agent that is alive gives a sign of it each second.
SIGNS_APART_S = 1.5
_LOG = {"has_log": "whether its log says anything"}
_ENDED = {
    "at_s": "s since T0, last sign of life",
    "ended_s": "s since T0, when its process ended; null: nobody saw it",
}
_REPORT = (
    "Parts of the lab contradict each other, which is a defect of the lab: keep the bundle and "
    "report it."
)


def _more(file: str, p: Parameters) -> str:
    """Point to a log, unless it is empty or nobody knows."""
    return f"; {file} says more" if p.get("has_log") else ""


def _when(p: Parameters) -> str:
    """Say when something died, and if it stood still before that, since when."""
    if p.get("ended_s") is None:
        return f"; its last sign of life came {p['at_s']:.0f} s after the run's start"
    silent_s = p["ended_s"] - p["at_s"]
    silent = f", {silent_s:.1f} s after its last sign of life" if silent_s > SIGNS_APART_S else ""
    return f" {p['ended_s']:.1f} s after the run's start{silent}"


def _died(agent: str) -> Code:
    def sentence(p: Parameters) -> str:
        said = f" ({p['message']})" if p["message"] else ""
        workers = p.get("workers")
        whom = f" ({in_words(agent, workers)})" if workers else ""
        return f"{AGENTS[agent]}{whom} died{_when(p)}{said}{_more('its log', p)}"

    return Code(
        INVALID,
        sentence,
        f"{AGENTS[agent].capitalize()} ended without a message: it was killed, or it crashed.",
        f"{_LOGS} If the host ran out of memory, the kernel killed it, and `dmesg` says so.",
        {**_ENDED, "state": "", "message": "", "workers": _WORKERS, **_LOG},
    )


def _agent_paused(p: Parameters) -> str:
    until = "on" if p["end_s"] is None else f"to {p['end_s']:.1f} s"
    workers = p.get("workers") or ()
    who, they = in_words(p["agent"], workers), "they" if len(workers) > 1 else "it"
    return (
        f"{who} did not run from {p['begin_s']:.1f} s {until} after the run's start "
        f"(stopped, swapped out, or without CPU), so what {they} sent was late"
    )


def _agent_restarted(p: Parameters) -> str:
    agent = in_words(p["agent"], p.get("workers") or ())
    gone = between(p["begin_s"], p["end_s"])
    return f"{agent} ended and was started again; it served nobody {gone}"


def _relay_unsteady(p: Parameters) -> str:
    """Name only what is beyond its limit."""
    said = []
    if p["seq_resets"] > p["resets_limit"]:
        times = count_of(p["seq_resets"], "time|times")
        said.append(f"renumbered its events {times} (the limit is {p['resets_limit']})")
    if p["reread_pct"] > p["reread_limit_pct"]:
        frames = count_of(p["reread"], "frame|frames")
        share = f"{p['reread_pct']:.1f} % of all (the limit is {p['reread_limit_pct']:g} %)"
        said.append(f"sent {frames} again, {share}")
    return f"the relay {p['relay_url']} " + " and ".join(said)


def _loss(p: Parameters) -> str:
    lost = (
        "its memory stream was lost"
        if p["storage"] == "memory"
        else "its stream was missing in the meantime"
    )
    if p["servers"] > 1:
        lost += f", or its part of it (bench_stream_replicas is {p['replicas']})"
    return lost


def _nats_died(p: Parameters) -> str:
    return (
        "NATS failed during the run and did not come back: it stopped answering "
        f"{p['since_s']:.0f} s after the run's start, {_loss(p)}{_more('nats.log', p)}"
    )


def _nats_restarted(p: Parameters) -> str:
    return f"NATS restarted during the run, {_loss(p)} ({', then '.join(p['lives'])})"


def _acked_forgotten(p: Parameters) -> str:
    if p["count"] is None:
        return (
            "NATS forgot messages that it had acked, and gave their places in the stream to others"
        )
    forgot = count_of(p["count"], "acked message|acked messages")
    missing = count_of(p["missing"], "of them is|of them are")
    return f"NATS forgot {forgot} when it ended; {missing} not back in place"


def _start_spread(p: Parameters) -> str:
    remedy = "start the run with more lead (run_lead_s)"
    if p["clocks_apart_ms"] is not None:
        remedy = (
            f"their hosts' clocks differ by {p['clocks_apart_ms']:.0f} ms: synchronise them "
            "(chrony)"
        )
    return (
        f"agents started up to {p['spread_ms']:.0f} ms apart, the limit is {p['limit_ms']:g} ms; "
        f"{remedy}"
    )


def _clock_set(p: Parameters) -> str:
    found = "; ".join(
        f"by {step['step_ms']:+.1f} ms about {step['at_s']:.0f} s after T0" for step in p["steps"]
    )
    return (
        f"its clock was set during the run{found and f' ({found})'}; do not trust latencies across "
        "hosts"
    )


def _late(what: str, whose: str) -> Callable[[Parameters], str]:
    def sentence(p: Parameters) -> str:
        return (
            f"{what} late: p99 {p['p99_ms']:.1f} ms after they were due, the limit is "
            f"{p['limit_ms']:g} ms; give {whose} host more CPU or less load"
        )

    return sentence


def _goals_not_measured(p: Parameters) -> str:
    return (
        "goals cannot be judged because their figures were not measured: "
        f"{', '.join(p['goals'])}; a longer bench_measure_s may help"
    )


def _goal_undecided(p: Parameters) -> str:
    if not p["open_count"]:
        return (
            f"the goal {p['goal']} cannot be judged: a process was killed, and the calls of "
            f"{p['leg']} that ended in its last second are not known"
        )
    return f"the goal {p['goal']} cannot be judged: {still_open(p)}, and could change the result"


def _agent_failed(p: Parameters) -> str:
    return f"{in_words(p['agent'])} failed{spoken(p['message'])}"


def _agent_stopped(p: Parameters) -> str:
    agent = in_words(p["agent"])
    return f"{agent} was stopped before the run's end{spoken(p['message'])}"


def _relay_silent(p: Parameters) -> str:
    return (
        f"no event came from the relay {p['relay_url']} for {p['longest_s']:.1f} s at a stretch "
        f"(the limit is {p['longest_limit_s']:.3g} s), {p['total_s']:.1f} s in all (the limit is "
        f"{p['total_limit_s']:.3g} s), of the window's {p['window_s']:g} s"
    )


#: Trouble of playbooks, in words.
TROUBLE: dict[Trouble, str] = {
    Trouble.TASK_FAILED: "{task}: {message}",
    Trouble.HOST_LOST: "could not be reached for {silent_s:.0f} s: {message}",
    Trouble.NOT_REACHED: "could not be reached when the run was collected; its part is missing",
    Trouble.NOT_BROUGHT: "{task}: {message} (what it measured is still there, in {directory})",
    Trouble.NOT_STARTED: "{agent} did not start",
    Trouble.FAILED: "{agent} failed{message}",
    Trouble.DIED: "{agent} died (pid {pid})",
    Trouble.STOPPED: "{agent} was stopped before the run's end",
    Trouble.SILENT: "{agent} gave no sign of life for {silent_s:.0f} s",
    Trouble.NATS_DOWN: "NATS does not run: {message}",
    Trouble.NOT_ENDED: "{agent} did not end in time (it is {state})",
    Trouble.NOTED: "{text}",
}


def _control_problem(p: Parameters) -> str:
    words = dict(p)
    if "agent" in p:
        words["agent"] = in_words(p["agent"])
    if p["problem"] == Trouble.FAILED:
        words["message"] = spoken(p["message"])
    return TROUBLE[p["problem"]].format_map(words)


def _interrupted(p: Parameters) -> str:
    return f"interrupted: {p['text']}" if p["text"] else "interrupted: the run ended early"


def _unresolved(p: Parameters) -> str:
    return (
        f"frames were sent late, p99 {p['p99_ms']:.1f} ms after they were due (the limit is "
        f"{p['limit_ms']:g} ms). Subscribers' sockets accepted no data for {p['blocked_s']:.1f} s, "
        "which explains it; these files do not show how late the relay itself was"
    )


_LATE = {"p99_ms": "ms", "limit_ms": "ms"}
_SHARE = {"limit_pct": "%"}
_NATS = {"storage": "memory or file", "servers": "NATS hosts", "replicas": "of the stream"}
_WORKERS = "of the consumers, which of their workers; empty: not known"
_FILE = {"file": "its name"}
_WRONG = {**_FILE, "what": "what is wrong with it"}

CODES: dict[str, Code] = {
    "memory_ran_out": Code(
        INVALID,
        "its memory ran out: the kernel killed {count} {count:process|processes} there, which may "
        "be why the following ended",
        "A process of the lab ended on a host on which the kernel killed processes because memory "
        "ran out.",
        "Use hosts with more memory, fewer consumers, or a smaller bench_stream_max_bytes. `dmesg` "
        "on that host says which process was killed.",
        {"count": "processes, of the lab or others"},
    ),
    **{f"{agent}_died": _died(agent) for agent in AGENTS},
    "worker_died": Code(
        INVALID,
        lambda p: f"consumers worker {p['worker']} died{_when(p)}",
        "A process that plays consumers was killed, or it crashed. The others went on.",
        _LOGS,
        {"worker": "its number", **_ENDED},
    ),
    "agent_failed": Code(
        INVALID,
        _agent_failed,
        "An agent gave up and said why.",
        "Do what its message says, and run again.",
        {"agent": "", "message": "its own words"},
    ),
    "agent_stopped": Code(
        INVALID,
        _agent_stopped,
        "An agent was told to stop (SIGTERM) before the run ended: by hand, or by the playbook "
        "after another part died or the run was interrupted.",
        "Look at the reasons before this one.",
        {"agent": "", "message": "its own words"},
    ),
    "nats_died": Code(
        INVALID,
        _nats_died,
        "A NATS server ended and did not come back, and the stream cannot survive the loss of a "
        "server.",
        "Read nats.log on that host. To survive such a loss, use three NATS hosts and "
        "bench_stream_replicas=3.",
        {"since_s": "s since T0, the first query without an answer", **_NATS, **_LOG},
    ),
    "nats_restarted": Code(
        INVALID,
        _nats_restarted,
        "A NATS server ended and was started again, and the stream cannot survive the loss of a "
        "server.",
        "Read nats.log on that host. To survive such a loss, use three NATS hosts and "
        "bench_stream_replicas=3.",
        {"lives": "server ids, each with its start", **_NATS},
    ),
    "stream_began_anew": Code(
        INVALID,
        "the stream began again from its first sequence during the run; what it held before is "
        "lost",
        "NATS gave a stream sequence twice, or had another stream at the end than the shuffler "
        "published to: it was deleted and created again during the run, or its server lost it.",
        "Make sure that nothing else manages the stream during a run. Read nats.log.",
    ),
    "acked_forgotten": Code(
        INVALID,
        _acked_forgotten,
        "NATS was killed, or its host lost power, before acked messages were on the disk. They are "
        "published again if the relay still has them and the shuffler has not ended; if they do "
        "not get their places back, what consumers received of these is not known.",
        "Expect this of bench_stream_persist_mode=async, and of bench_sync_interval_s if a host "
        "loses power. bench_sync_interval_s=0 keeps all that was acked, and so do three NATS hosts "
        "and bench_stream_replicas=3, unless all of them lose power.",
        {"count": "messages, None: not known", "missing": "those not put back, None: not known"},
    ),
    "renumbered_unsaved": Code(
        INVALID,
        "a fault made the relay renumber its events at {at_s:g} s, and the shuffler was killed "
        "before it had kept that: the one that went on asked for numbers that were others by then",
        "A shuffler keeps its place each second. Of what was renumbered in its last second, or "
        "before another one went on, nobody knows which events were read, and which twice.",
        "Have two seconds at least between the faults, or two runs.",
        {"at_s": "s since T0"},
    ),
    "interrupted": Code(
        INVALID,
        _interrupted,
        "The run ended early: the playbook was interrupted or killed. A guard stopped the agents "
        "and saved what was measured.",
        "There is nothing to clean up; run again.",
        {"text": "who says so, and why"},
    ),
    "marked_invalid": Code(
        INVALID,
        "{text}",
        "Somebody marked the run with `fpaas report --invalid`, in these words.",
        "The mark is permanent: it is in the run's `invalid.json`.",
        {"text": "the reason given"},
    ),
    "control_problem": Code(
        INVALID,
        _control_problem,
        "The playbook had trouble with a host or an agent while it followed or collected the run.",
        _FILES,
        {"problem": f"one of {', '.join(Trouble)}; what else there is follows from it"},
    ),
    "host_missing": Code(
        INVALID,
        "nothing was fetched from it; its part of the run is missing",
        "The bundle has no directory for this host: the host was lost or could not be reached.",
        _FILES,
    ),
    "file_missing": Code(
        INVALID,
        "{file}: is missing",
        "A part of the run did not leave a file that it should have.",
        _FILES,
        _FILE,
    ),
    "file_torn": Code(
        INVALID,
        "{file}: {what}",
        "A file ends in the middle, or is empty: its writer was killed, or a disk was full.",
        "Look for a full disk on that host, and run again.",
        _WRONG,
    ),
    "file_unreadable": Code(
        INVALID,
        "{file}: {what}",
        "A file is not what it should be: it was changed by hand, comes from another version, or "
        "is damaged.",
        "Copy the bundle again, or use `fpaas report` of the version that made it.",
        _WRONG,
    ),
    "file_changed": Code(
        INVALID,
        "{file}: {what}",
        "A file is not as its host sealed it: it was changed, cut short or lost, in transfer or "
        "later.",
        "Copy the bundle again from the machine that made it.",
        {"file": "path on its host", "what": "how it differs"},
    ),
    "shuffler_account_cut": Code(
        INVALID,
        "{file}: is the shuffler's last checkpoint, from seconds before its end",
        "The shuffler was killed. What it published after its last checkpoint is known from the "
        "stream.",
        _LOGS,
        _FILE,
    ),
    "relay_account_cut": Code(
        INVALID,
        "{file}: is the relay's last checkpoint, from up to a second before its end",
        "The relay was killed, or could not write its last account. Frames that were read from it "
        "after the checkpoint count as offered.",
        _LOGS,
        _FILE,
    ),
    "worker_account_cut": Code(
        INVALID,
        "{file}: is the worker's last checkpoint; its last second is missing",
        "The worker was killed, or could not write its last account.",
        _LOGS,
        _FILE,
    ),
    "consumers_missing": Code(
        INVALID,
        "consumers-*.json: {missing} of the host's {count} {count:consumer|consumers} "
        "{missing:is|are} in "
        "none",
        "Some consumers have no account: their worker never started, or its files are gone.",
        _LOGS,
        {"missing": "consumers", "count": "consumers"},
    ),
    "more_problems": Code(
        INVALID,
        "and {count} more {count:problem|problems} with the run's files",
        "The bundle has more problems than are listed here; manifest.json lists all.",
        _FILES,
        {"count": "problems"},
    ),
    "fault_not_injected": Code(
        INVALID,
        "bench_faults[{number}] ({do} on {on} at {at_s:g} s) was not injected, so the run does not "
        "show what it was made for",
        "The run was to inject a fault into itself, and there is no record that it happened.",
        "Read the log of the faults agent, or of the relay, on the host that the fault is on.",
        {"number": "its place in bench_faults", "do": "", "on": "", "at_s": "s since T0"},
    ),
    "fault_not_undone": Code(
        INVALID,
        "bench_faults[{number}] ({do} on {on} at {at_s:g} s) was injected, and there is no record "
        "that it was undone",
        "What the fault broke may have stayed broken until the run's end.",
        "Read the log of the faults agent, or of the relay, on the host that the fault is on.",
        {"number": "its place in bench_faults", "do": "", "on": "", "at_s": "s since T0"},
    ),
    "calls_missing": Code(
        INVALID,
        "{leg}: {due} {due:call|calls} fell due in the window, but its figures cover {counted} and "
        "{open} open {open:one|ones}: they leave some out, or count some twice",
        "A latency does not have as many samples as an independent count says it should, so its "
        "percentiles may leave out the worst.",
        _REPORT,
        {"leg": "", "due": "calls", "counted": "samples", "open": "calls without an end"},
    ),
    "poll_lateness_own": Code(
        INVALID,
        _late("polls were sent", "the consumers'"),
        "The consumers' agent itself sent its polls late. Waiting for answers does not count.",
        _BUSY,
        _LATE,
    ),
    "relay_lateness_own": Code(
        INVALID,
        _late("frames were sent", "the relay's"),
        "Our relay itself sent its frames late. Waiting for a subscriber does not count.",
        _BUSY,
        _LATE,
    ),
    "relay_lateness": Code(
        INVALID,
        _late("frames were sent", "the relay's"),
        "Our relay sent its frames late, and its subscriber did not hold it up. This run's files "
        "do not show how much of that was the relay's own lateness.",
        _BUSY,
        _LATE,
    ),
    "relay_lateness_unresolved": Code(
        INVALID,
        _unresolved,
        "Our relay's frames were late because their subscriber read none for a while. Runs of "
        "older versions do not show whether the relay itself was on time.",
        "Find out what held the shuffler up. Run again with this version, which tells the two "
        "apart.",
        {**_LATE, "blocked_s": "s"},
    ),
    "loop_lag": Code(
        INVALID,
        "{process}: its event loop woke up late, p99 {p99_ms:.1f} ms, the limit is {limit_ms:g} ms;"
        " its latencies are not the server's",
        "An agent's process had to wait for the CPU, so what it timed includes that wait.",
        _BUSY,
        {"process": "", **_LATE},
    ),
    "start_spread": Code(
        INVALID,
        _start_spread,
        "Agents did not start together.",
        "Give the start more lead (run_lead_s), or synchronise the hosts' clocks (chrony).",
        {"spread_ms": "ms", "limit_ms": "ms", "clocks_apart_ms": "ms; null: not the cause"},
    ),
    "process_saturated": Code(
        INVALID,
        "{process}: was saturated, {share_pct:.0f} % of a core, the limit is {limit_pct:g} %; "
        "lower the load or spread it",
        "An agent's process used up the one core that it can use.",
        _BUSY,
        {"process": "", "share_pct": "% of a core", **_SHARE},
    ),
    "host_steal": Code(
        INVALID,
        "the hypervisor withheld {steal_pct:.1f} % of the CPU (steal), the limit is {limit_pct:g} "
        "%; use a host with dedicated cores",
        "The host is a virtual machine, and others used its cores.",
        "Use a host with dedicated cores.",
        {"steal_pct": "%", **_SHARE},
    ),
    "host_unsampled": Code(
        INVALID,
        "its probe left {missing_s:g} s of the window without a sample; what its CPU and memory "
        "did meanwhile is not known",
        "The probe did not run for a part of the window. That host's figures cover only the rest.",
        "Look in the events for what stopped the probe, and run again.",
        {"missing_s": "s without a sample"},
    ),
    "agent_paused": Code(
        INVALID,
        _agent_paused,
        "An agent that generates load did not run for a while. Its figures show that, not NATS.",
        "Find what stopped it on that host: a debugger, memory that ran out, a busy hypervisor.",
        {"agent": "name", "workers": _WORKERS, "begin_s": "s since T0", "end_s": "s since T0"},
    ),
    "nats_silent_at_start": Code(
        INVALID,
        lambda p: (
            f"NATS did not answer {between(p['begin_s'], p['end_s'])}: agents that waited for it "
            "began late"
        ),
        "NATS did not answer when the load was about to begin, so agents were not ready; the "
        "reasons after this one may follow from that.",
        "Look at what NATS and its host did then (nats.log), and run again.",
        {"begin_s": "s since T0", "end_s": "s since T0; null: to the run's end"},
    ),
    "agent_restarted": Code(
        INVALID,
        _agent_restarted,
        "A part of the lab ended in the run and was started again, and the reasons after this one "
        "follow from that. If nothing follows from it, it is only a note.",
        "Read its log on that host, unless a fault of the run's own ended it. Goals on latencies "
        "cannot be judged in such a run.",
        {
            "agent": "name",
            "workers": _WORKERS,
            "begin_s": "s since T0: its end, or its last sign of life, up to a second before",
            "end_s": "s since T0, when it served again; null: it did not",
        },
    ),
    "host_saturated": Code(
        INVALID,
        "its CPU was saturated, {busy_pct:.1f} % busy on average, the limit is {limit_pct:g} % for "
        "a host that generates load; lower the load, spread it over more hosts, or stop what else "
        "runs there",
        "A host that generates load had no CPU to spare, so agents had to wait for it.",
        _BUSY,
        {"busy_pct": "% of all cores", **_SHARE},
    ),
    "clock_unknown": Code(
        INVALID,
        "its clock could not be compared with the NATS host's, so the error of latencies across "
        "hosts is not known",
        "The probe could not exchange times with NATS.",
        "Read the probe's log on that host.",
    ),
    "clock_unsure": Code(
        INVALID,
        "its clock is only known to ± {bound_ms:.1f} ms, the limit is {limit_ms:g} ms; latencies "
        "across hosts are not resolvable: use hosts closer together, or less busy ones",
        "Exchanging times with NATS took too long to bound the clock's offset.",
        "Use hosts that are closer together, or less busy.",
        {"bound_ms": "ms", "limit_ms": "ms"},
    ),
    "clock_set": Code(
        INVALID,
        _clock_set,
        "A host's clock jumped during the run.",
        _CLOCK,
        {"steps": "[{step_ms, at_s}]: ms, s since T0"},
    ),
    "latency_negative": Code(
        INVALID,
        "{leg}: its lowest sample is {min_ms:.1f} ms, below zero by more than the clocks' error of "
        "{clock_error_ms:.2f} ms; a clock was off for a while",
        "Something arrived before it was sent, by more than the clocks' error allows.",
        _CLOCK,
        {"leg": "", "min_ms": "ms", "clock_error_ms": "ms"},
    ),
    "frames_not_offered": Code(
        INVALID,
        "the relay offered {offered} of the {due} {due:frame|frames} that the run asks for",
        "Our relay did not play the whole load.",
        _LOGS,
        {"offered": "frames", "due": "frames"},
    ),
    "frames_undecodable": Code(
        INVALID,
        "the relay {relay_url} sent {count} {count:frame|frames} that could not be decoded or "
        "{count:was|were} too large "
        "(the limit is {limit_frames})",
        "The relay sent malformed frames, or the connection damaged them, more of them than a run "
        "may have. Each is left out and counted.",
        "Look at the events, which say what is wrong with each, and at the first of them among the "
        "shuffler's files (shuffler.undecodable-01.bin and so on). Try another relay, or allow for "
        "more (bench_undecodable_max_frames).",
        {"count": "frames", "limit_frames": "frames", "relay_url": ""},
    ),
    "nothing_read": Code(
        INVALID,
        "not a single event was read from the relay {relay_url} during the run; is it a relay?",
        "The firehose was silent for the whole run, or the shuffler never connected to it.",
        "Check bench_firehose_source: `wss://host` is enough, the path is added.",
        {"relay_url": ""},
    ),
    "relay_silent": Code(
        INVALID,
        _relay_silent,
        "No new event came from the relay for a part of the window, though the shuffler was "
        "reading: the relay died, hung, or had nothing to send. Pongs, #info, malformed frames and "
        "events that had been read before do not count.",
        "Look at the events for when. Use another relay, or allow for more silence "
        "(bench_relay_silent_max_s).",
        {
            "longest_s": "s of the window",
            "longest_limit_s": "s",
            "total_s": "s of the window",
            "total_limit_s": "s",
            "window_s": "s",
            "relay_url": "",
        },
    ),
    "relay_lagging": Code(
        INVALID,
        "the relay {relay_url} fell {growth_s:.1f} s behind real time in the {window_s:g} s of the "
        "window, the limit is {limit_s:g} s: what it sent is less than what happened",
        "The `time` of the relay's events fell ever further behind the clock: the relay is slower "
        "than the network that it relays. A constant difference does not count. Events that are "
        "played more slowly than they were recorded look the same.",
        "Use another relay, or allow for more (bench_relay_lag_max_s).",
        {"growth_s": "s", "limit_s": "s", "window_s": "s", "relay_url": ""},
    ),
    "relay_incomplete": Code(
        INVALID,
        "the relay {relay_url} left out {missing} {missing:event|events} between those that were "
        "read, "
        "{missing_pct:.1f} % of all, the limit is {limit_pct:g} %",
        "By their sequence numbers, the relay had more events than it sent: it was away for longer "
        "than it keeps them, or lost them.",
        "Use another relay, or run again.",
        {"missing": "events", "missing_pct": "% of all", "limit_pct": "%", "relay_url": ""},
    ),
    "relay_gaps_unknown": Code(
        INVALID,
        "the relay {relay_url} left out events {count} {count:time|times}, and nobody knows how "
        "many (the limit is {limit} {limit:time|times})",
        "The relay kept going on further ahead, or under new numbers, so an unknown share of its "
        "events was never read.",
        "Use another relay, or one that can be resumed where it was left.",
        {"count": "gaps", "limit": "gaps", "relay_url": ""},
    ),
    "relay_unsteady": Code(
        INVALID,
        _relay_unsteady,
        "The relay kept repeating itself or renumbering, so what was read is not a firehose's "
        "load.",
        "Use another relay.",
        {
            "seq_resets": "times",
            "resets_limit": "times",
            "reread": "frames",
            "reread_pct": "% of all that came",
            "reread_limit_pct": "%",
            "relay_url": "",
        },
    ),
    "invalid_by_own_window": Code(
        INVALID,
        of_own_window,
        "The report is of another window than the run's own (--warmup-s). In its own window, the "
        "run is invalid for a reason that this one does not show.",
        "Report it without --warmup-s to see its own figures, and run again.",
        OWN_WINDOW,
    ),
    "goals_not_measured": Code(
        INVALID,
        _goals_not_measured,
        "A goal needs a figure that this run does not have.",
        "Try a longer bench_measure_s, or remove the goal.",
        {"goals": "their names"},
    ),
    "goal_undecided": Code(
        INVALID,
        _goal_undecided,
        "Calls were still open when the run ended, or deliveries were never made. Depending on how "
        "long they would have taken, the goal is met or missed.",
        "Set a longer bench_drain_s, beyond the poll interval, so that they can end.",
        {
            "goal": "",
            "leg": "",
            "open_count": "calls",
            "open_min_ms": "ms, age of the youngest; null: not known",
        },
    ),
}
