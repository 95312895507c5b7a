"""Codes that make a run invalid because a part ended, or it was not judged."""

from __future__ import annotations

from fpaas.agreement import count_of
from fpaas.records.control import Trouble
from fpaas.records.status import AGENTS, in_words
from fpaas.verdict.code import (
    COLLECT_AGAIN,
    INVALID,
    LOGS,
    OWN_WINDOW,
    WORKERS,
    Code,
    Parameters,
    of_own_window,
    spoken,
    still_open,
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
        f"{LOGS} If the host ran out of memory, the kernel killed it, and `dmesg` says so.",
        {**_ENDED, "state": "", "message": "", "workers": WORKERS, **_LOG},
    )


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
    if p.get("is_running"):
        return (
            f"NATS stopped answering {p['since_s']:.0f} s after the run's start and did not answer "
            "again, although its process ran to the end: it was frozen or stuck"
            f"{_more('nats.log', p)}"
        )
    return (
        "NATS failed during the run and did not come back: it stopped answering "
        f"{p['since_s']:.0f} s after the run's start, {_loss(p)}{_more('nats.log', p)}"
    )


def _nats_restarted(p: Parameters) -> str:
    return f"NATS restarted during the run, {_loss(p)} ({', then '.join(p['lives'])})"


def _acked_forgotten(p: Parameters) -> str:
    if p["count"] is None:
        return "NATS forgot messages that it had acked, and stored others in their places"
    forgot = count_of(p["count"], "acked message|acked messages")
    missing = count_of(p["missing"], "of them was|of them were")
    return f"NATS forgot {forgot} when it ended; {missing} not restored"


def _goals_not_measured(p: Parameters) -> str:
    return (
        "goals cannot be judged because their figures were not measured: "
        f"{', '.join(p['goals'])}; a longer bench_measure_s may help"
    )


def _goal_undecided(p: Parameters) -> str:
    if not p["open_count"]:
        return (
            f"the goal {p['goal']} cannot be judged: a process was killed, and the calls of "
            f"{p['leg']} that ended in its last second are unknown"
        )
    return f"the goal {p['goal']} cannot be judged: {still_open(p)}, and could change the result"


def _agent_failed(p: Parameters) -> str:
    return f"{in_words(p['agent'])} failed{spoken(p['message'])}"


def _agent_stopped(p: Parameters) -> str:
    agent = in_words(p["agent"])
    return f"{agent} was stopped before the run's end{spoken(p['message'])}"


#: Trouble of playbooks, in words.
TROUBLE: dict[Trouble, str] = {
    Trouble.TASK_FAILED: "{task}: {message}",
    Trouble.HOST_LOST: "could not be reached for {silent_s:.0f} s: {message}",
    Trouble.NOT_REACHED: "could not be reached when the run was collected; its part is missing",
    Trouble.NOT_BROUGHT: "{task}: {message} (its measurements are still there, in {directory})",
    Trouble.NOT_STARTED: "{agent} did not start",
    Trouble.FAILED: "{agent} failed{message}",
    Trouble.DIED: "{agent} died (pid {pid})",
    Trouble.STOPPED: "{agent} was stopped before the run's end",
    Trouble.SILENT: "{agent} gave no sign of life for {silent_s:.0f} s",
    Trouble.NATS_DOWN: "NATS is not running: {message}",
    Trouble.NOT_ENDED: "{agent} did not end in time (its state is {state})",
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


_NATS = {"storage": "memory or file", "servers": "NATS hosts", "replicas": "of the stream"}

CODES: dict[str, Code] = {
    "memory_ran_out": Code(
        INVALID,
        "its memory ran out: the kernel killed {count} {count:process|processes} there, which may "
        "explain the failures below",
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
        "A consumers process was killed, or it crashed. The others continued.",
        LOGS,
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
        "A NATS server ended or froze and did not come back, and the stream cannot survive the "
        "loss of a server.",
        "Read nats.log on that host. To survive such a loss, use three NATS hosts and "
        "bench_stream_replicas=3.",
        {
            "since_s": "s since T0, the first query without an answer",
            **_NATS,
            "is_running": "whether its process was there to the end; missing: not known",
            **_LOG,
        },
    ),
    "nats_restarted": Code(
        INVALID,
        _nats_restarted,
        "A NATS server ended and was restarted, and the stream cannot survive that.",
        "Read nats.log on that host. To survive such a loss, use three NATS hosts and "
        "bench_stream_replicas=3.",
        {"lives": "server ids, each with its start", **_NATS},
    ),
    "stream_began_anew": Code(
        INVALID,
        "the stream began again from its first sequence during the run; what it held before is "
        "lost",
        "NATS used a stream sequence twice, or its stream at the end was not the one that the "
        "shuffler had published to: the stream was deleted and recreated during the run, or its "
        "server lost it.",
        "Make sure that nothing else manages the stream during a run. Read nats.log.",
    ),
    "acked_forgotten": Code(
        INVALID,
        _acked_forgotten,
        "NATS was killed, or its host lost power, before acked messages were on disk. The shuffler "
        "publishes them again if the relay still has them and the shuffler has not ended. If they "
        "do not get their old places, nobody knows which of them consumers received.",
        "Expect this with bench_stream_persist_mode=async, and with bench_sync_interval_s if a "
        "host loses power. bench_sync_interval_s=0 keeps every acked message, and so do three NATS "
        "hosts with bench_stream_replicas=3, unless all of them lose power.",
        {"count": "messages; null: not known", "missing": "messages not restored; null: not known"},
    ),
    "renumbered_unsaved": Code(
        INVALID,
        "a fault made the relay renumber its events at {at_s:g} s, and the shuffler was killed "
        "before it had saved the new numbers; the restarted shuffler asked for numbers that meant "
        "other events by then",
        "A shuffler saves its place once a second. If the relay renumbers in its last second, or "
        "before it has restarted, nobody knows which events were read, or read twice.",
        "Leave at least two seconds between the faults, or use two runs.",
        {"at_s": "s since T0"},
    ),
    "interrupted": Code(
        INVALID,
        _interrupted,
        "The playbook was interrupted or killed, so the run ended early. A guard stopped the "
        "agents and saved what was measured.",
        "There is nothing to clean up; run again.",
        {"text": "who says so, and why"},
    ),
    "marked_invalid": Code(
        INVALID,
        "{text}",
        "Somebody marked the run with `fpaas report --invalid` and gave this reason.",
        "The mark is permanent: it is in the run's `invalid.json`.",
        {"text": "the reason given"},
    ),
    "control_problem": Code(
        INVALID,
        _control_problem,
        "The playbook had trouble with a host or an agent while it followed or collected the run.",
        COLLECT_AGAIN,
        {"problem": f"one of {', '.join(Trouble)}; the other parameters depend on it"},
    ),
    "fault_not_injected": Code(
        INVALID,
        "bench_faults[{number}] ({do} on {on} at {at_s:g} s) was not injected, so the run misses "
        "its purpose",
        "The run should have injected a fault, and there is no record that it happened.",
        "Read the log of the faults agent, or of the relay, on the host that the fault is on.",
        {"number": "its place in bench_faults", "do": "", "on": "", "at_s": "s since T0"},
    ),
    "fault_not_undone": Code(
        INVALID,
        "bench_faults[{number}] ({do} on {on} at {at_s:g} s) was injected, and there is no record "
        "that it was undone",
        "The fault's effects may have lasted until the run's end.",
        "Read the log of the faults agent, or of the relay, on the host that the fault is on.",
        {"number": "its place in bench_faults", "do": "", "on": "", "at_s": "s since T0"},
    ),
    "calls_missing": Code(
        INVALID,
        "{leg}: {due} {due:call|calls} fell due in the window, but the figures cover {counted} and "
        "{open} open {open:one|ones}: some are missing, or counted twice",
        "A latency does not have as many samples as an independent count says it should, so its "
        "percentiles may leave out the worst.",
        _REPORT,
        {"leg": "", "due": "calls", "counted": "samples", "open": "calls without an end"},
    ),
    "invalid_by_own_window": Code(
        INVALID,
        of_own_window,
        "The report covers a window other than the run's own (--warmup-s). In its own window, the "
        "run is invalid for a reason that this window does not show.",
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
