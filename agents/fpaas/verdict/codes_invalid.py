"""Codes that make a run invalid: its figures cannot be trusted."""

from __future__ import annotations

from collections.abc import Callable

from fpaas.verdict.code import INVALID, Code, Parameters, spoken

#: Of the agents, how a sentence names them.
AGENTS = {
    "relay": "the relay",
    "shuffler": "the shuffler",
    "consumers": "the consumers' agent",
    "probe": "the probe",
}

_LOGS = "Read the log of that part in `results/<run-id>/hosts/<host>/`, and run again."
_BUSY = (
    "Use more or faster hosts, fewer consumers, or a machine that does nothing else. Figures of "
    "NATS in such a run are not to be trusted."
)
_FILES = (
    "If the host was not reached or the run was cut off, collect it again "
    "(`ansible-playbook playbooks/collect.yml -e run_id=<run-id>`). Otherwise run again."
)
_CLOCK = "Synchronise the hosts' clocks (chrony), let nothing set them in a run, and run again."
_REPORT = (
    "Keep the bundle and report it as a defect of the lab, for parts of it contradict each other."
)


def _died(agent: str) -> Code:
    def sentence(p: Parameters) -> str:
        return (
            f"{AGENTS[agent]} died; its last sign of life came {p['at_s']:.0f} s after the run's "
            f"start ({p['state']}{spoken(p['message'])}); its log says more"
        )

    return Code(
        INVALID,
        sentence,
        f"{AGENTS[agent].capitalize()} ended without a word: it was killed, or crashed.",
        f"{_LOGS} Where a host runs out of memory, the kernel kills: `dmesg` says so.",
        {"at_s": "s since T0, last sign of life", "state": "", "message": ""},
    )


def _loss(p: Parameters) -> str:
    lost = (
        "its memory stream was lost"
        if p["storage"] == "memory"
        else "its stream was not there meanwhile"
    )
    if p["servers"] > 1:
        lost += f", as far as it was there (bench_stream_replicas is {p['replicas']})"
    return lost


def _nats_died(p: Parameters) -> str:
    return (
        "NATS failed during the run and did not come back: it did not answer from "
        f"{p['since_s']:.0f} s after the run's start on, {_loss(p)}; nats.log says more"
    )


def _nats_restarted(p: Parameters) -> str:
    return f"NATS restarted during the run, {_loss(p)} ({', then '.join(p['lives'])})"


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
        f"its clock was set during the run{found and f' ({found})'}; latencies across hosts do not "
        "hold"
    )


def _late(what: str, whose: str) -> Callable[[Parameters], str]:
    def sentence(p: Parameters) -> str:
        return (
            f"{what} late: p99 {p['p99_ms']:.1f} ms after they were due, the limit is "
            f"{p['limit_ms']:g} ms; give {whose} host more processor or ask less of it"
        )

    return sentence


def _goals_not_measured(p: Parameters) -> str:
    return (
        "goals that cannot be judged, for their figures were not measured: "
        f"{', '.join(p['goals'])}; a longer bench_measure_s may help"
    )


def _goal_undecided(p: Parameters) -> str:
    least = "" if p["open_min_ms"] is None else f", the youngest after {p['open_min_ms']:.4g} ms"
    return (
        f"the goal {p['goal']} cannot be judged: {p['open_count']} calls of {p['leg']} were still "
        f"open when the run ended{least}, and could change it"
    )


def _agent_failed(p: Parameters) -> str:
    return f"{AGENTS.get(p['agent'], p['agent'])} failed{spoken(p['message'])}"


def _agent_stopped(p: Parameters) -> str:
    agent = AGENTS.get(p["agent"], p["agent"])
    return f"{agent} was stopped before the run's end{spoken(p['message'])}"


def _interrupted(p: Parameters) -> str:
    return f"interrupted: {p['text']}" if p["text"] else "interrupted: it ended before its time"


def _unresolved(p: Parameters) -> str:
    return (
        f"frames were sent late, p99 {p['p99_ms']:.1f} ms after they were due (the limit is "
        f"{p['limit_ms']:g} ms), and the sockets of subscribers took no more for "
        f"{p['blocked_s']:.1f} s, which explains it; how late the relay itself was, these files do "
        "not tell"
    )


_LATE = {"p99_ms": "ms", "limit_ms": "ms"}
_SHARE = {"limit_pct": "%"}
_NATS = {"storage": "memory or file", "servers": "NATS hosts", "replicas": "of the stream"}
_FILE = {"file": "its name"}
_WRONG = {**_FILE, "what": "what is wrong with it"}

CODES: dict[str, Code] = {
    **{f"{agent}_died": _died(agent) for agent in AGENTS},
    "worker_died": Code(
        INVALID,
        "consumers worker {worker} died; its last sign of life came {at_s:.0f} s after the run's "
        "start",
        "A process that plays consumers was killed, or crashed. The others went on.",
        _LOGS,
        {"worker": "its number", "at_s": "s since T0, last sign of life"},
    ),
    "agent_failed": Code(
        INVALID,
        _agent_failed,
        "An agent gave up, and said why.",
        "Do what its message says, and run again.",
        {"agent": "", "message": "its own words"},
    ),
    "agent_stopped": Code(
        INVALID,
        _agent_stopped,
        "An agent was told to end (SIGTERM) before the run did: by the playbook, after another "
        "part died or the run was interrupted, or by hand.",
        "Look at the reasons before it.",
        {"agent": "", "message": "its own words"},
    ),
    "nats_died": Code(
        INVALID,
        _nats_died,
        "A NATS server ended and did not come back, and the stream does not outlive one server.",
        "Read nats.log on that host. To go on without a server: three NATS hosts, and "
        "bench_stream_replicas=3.",
        {"since_s": "s since T0, the first look without an answer", **_NATS},
    ),
    "nats_restarted": Code(
        INVALID,
        _nats_restarted,
        "A NATS server ended and was started again, and the stream does not outlive one server.",
        "Read nats.log on that host. To go on without a server: three NATS hosts, and "
        "bench_stream_replicas=3.",
        {"lives": "server ids, each with its start", **_NATS},
    ),
    "stream_began_anew": Code(
        INVALID,
        "the stream began again from its first sequence during the run; what it held before is "
        "lost",
        "NATS gave a stream sequence twice: the stream was deleted and created in mid-run, or its "
        "server lost it.",
        "Let nothing else manage the stream in a run. Read nats.log.",
    ),
    "interrupted": Code(
        INVALID,
        _interrupted,
        "The run was ended before its time: the playbook was interrupted or killed. A guard stops "
        "the agents and writes what was measured.",
        "Nothing to clean up; run again.",
        {"text": "who says so, and why"},
    ),
    "marked_invalid": Code(
        INVALID,
        "{text}",
        "Somebody marked the run with `fpaas report --invalid`, in these words.",
        "It stays so for good: `invalid.json` beside the run keeps it.",
        {"text": "the reason given"},
    ),
    "control_problem": Code(
        INVALID,
        "{text}",
        "The playbook noted trouble with a host or an agent while it followed or collected the "
        "run.",
        _FILES,
        {"text": "as noted"},
    ),
    "host_missing": Code(
        INVALID,
        "nothing was fetched from it; its part of the run is missing",
        "The bundle has no directory of this host: it was lost, or could not be reached.",
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
        "A file is there and is not what it should be: changed by hand, of another version, or "
        "damaged.",
        "Copy the bundle again, or report it with the version that made it.",
        _WRONG,
    ),
    "file_changed": Code(
        INVALID,
        "{what}",
        "A file is not as its host sealed it: it was changed, cut or lost on its way or since.",
        "Copy the bundle again from where it was made.",
        {"what": "file, and how it differs"},
    ),
    "shuffler_account_cut": Code(
        INVALID,
        "{file}: is the shuffler's last checkpoint, of seconds before its end",
        "The shuffler was killed. What it published after its last checkpoint is known from the "
        "stream.",
        _LOGS,
        _FILE,
    ),
    "relay_account_cut": Code(
        INVALID,
        "{file}: is the relay's last checkpoint, of up to a second before its end",
        "The relay was killed, or could not write its last account. What was read of it after the "
        "checkpoint counts as offered.",
        _LOGS,
        _FILE,
    ),
    "worker_account_cut": Code(
        INVALID,
        "{file}: is the worker's last checkpoint; what it did in its last second is missing",
        "The worker was killed, or could not write its last account.",
        _LOGS,
        _FILE,
    ),
    "consumers_missing": Code(
        INVALID,
        "consumers-*.json: {missing} of the host's {count} consumers left none",
        "There is no account of some consumers: their worker never began, or its files are gone.",
        _LOGS,
        {"missing": "consumers", "count": "consumers"},
    ),
    "more_problems": Code(
        INVALID,
        "and {count} more problems with the run's files",
        "More is wrong with the bundle than is spelled out; manifest.json lists all.",
        _FILES,
        {"count": "problems"},
    ),
    "ledger_unmeasured": Code(
        INVALID,
        "the ledger could not be balanced: not all parts of it were measured",
        "An account of the relay, the shuffler, the consumers or NATS is missing, so nobody can "
        "say that nothing vanished.",
        "Look at the reasons before it.",
    ),
    "ledger_unbalanced": Code(
        INVALID,
        "the ledger does not balance: {unexplained} unexplained, and must be 0",
        "What the parts counted does not add up.",
        _REPORT,
        {"unexplained": "events and deliveries"},
    ),
    "ledger_disagreement": Code(
        INVALID,
        "{text}",
        "Two accounts of the same thing differ; it is part of what is unexplained.",
        _REPORT,
        {"text": "what differs, by how much, with an example"},
    ),
    "calls_missing": Code(
        INVALID,
        "{leg}: {due} calls fell due in the window, and its figures are of {counted} and "
        "{open} open ones: they leave some out, or count some twice",
        "A latency's samples are not as many as an independent count says that there should be, so "
        "its percentiles may leave out the worst.",
        _REPORT,
        {"leg": "", "due": "calls", "counted": "samples", "open": "calls without an end"},
    ),
    "poll_lateness_own": Code(
        INVALID,
        _late("polls were sent", "the consumers'"),
        "The consumers' agent itself sent its polls late; waiting for answers is not counted.",
        _BUSY,
        _LATE,
    ),
    "relay_lateness_own": Code(
        INVALID,
        _late("frames were sent", "the relay's"),
        "Our relay itself sent its frames late; waiting for a subscriber is not counted.",
        _BUSY,
        _LATE,
    ),
    "relay_lateness": Code(
        INVALID,
        _late("frames were sent", "the relay's"),
        "Our relay sent its frames late. Of this run it is not known how late it was by itself; "
        "its subscriber did not hold it up.",
        _BUSY,
        _LATE,
    ),
    "relay_lateness_unresolved": Code(
        INVALID,
        _unresolved,
        "Our relay's frames were late because their subscriber read none for a while. Whether the "
        "relay kept its own duty is not known of runs made by older versions.",
        "Look for what held the shuffler up; run again with this version, which tells the two "
        "apart.",
        {**_LATE, "blocked_s": "s"},
    ),
    "loop_lag": Code(
        INVALID,
        "{process}: its event loop woke up late, p99 {p99_ms:.1f} ms, the limit is {limit_ms:g} ms;"
        " its latencies are not the server's",
        "An agent's process had to wait for the processor, so what it timed includes that.",
        _BUSY,
        {"process": "", **_LATE},
    ),
    "start_spread": Code(
        INVALID,
        _start_spread,
        "Agents did not begin together.",
        "Give the start more lead, or synchronise the hosts' clocks.",
        {"spread_ms": "ms", "limit_ms": "ms", "clocks_apart_ms": "ms; null: not the cause"},
    ),
    "process_saturated": Code(
        INVALID,
        "{process}: was saturated, {share_pct:.0f} % of a core, the limit is {limit_pct:g} %; "
        "lower the load or spread it",
        "An agent's process used the whole core that it can.",
        _BUSY,
        {"process": "", "share_pct": "% of a core", **_SHARE},
    ),
    "host_steal": Code(
        INVALID,
        "the hypervisor withheld {steal_pct:.1f} % of the processor (steal), the limit is "
        "{limit_pct:g} %; use a host with processors of its own",
        "The host is a virtual machine whose processors others used.",
        "Use a host with processors of its own.",
        {"steal_pct": "%", **_SHARE},
    ),
    "host_saturated": Code(
        INVALID,
        "its processors were saturated, {busy_pct:.1f} % busy on average, the limit is "
        "{limit_pct:g} % for a host that plays load; lower the load, spread it over more hosts, or "
        "end what else runs there",
        "A host that plays load had no processor to spare, so agents waited for their turn.",
        _BUSY,
        {"busy_pct": "% of all cores", **_SHARE},
    ),
    "clock_unknown": Code(
        INVALID,
        "its clock could not be compared with the NATS host's; how far latencies across hosts are "
        "off is not known",
        "The probe had no exchange of times with NATS.",
        "Read the probe's log on that host.",
    ),
    "clock_unsure": Code(
        INVALID,
        "its clock is known to ± {bound_ms:.1f} ms only, the limit is {limit_ms:g} ms; latencies "
        "across hosts are not resolvable: bring the hosts closer together, or quieten them",
        "Exchanges of times with NATS took too long to bound the clock's offset.",
        "Bring the hosts closer together, or quieten them.",
        {"bound_ms": "ms", "limit_ms": "ms"},
    ),
    "clock_set": Code(
        INVALID,
        _clock_set,
        "A host's clock jumped in the run.",
        _CLOCK,
        {"steps": "[{step_ms, at_s}]: ms, s since T0"},
    ),
    "latency_negative": Code(
        INVALID,
        "{leg}: took {min_ms:.1f} ms at least, which is less than nothing by more than the clocks' "
        "bound of {clock_error_ms:.2f} ms; a clock was off for a while",
        "A thing arrived before it was sent, by more than the clocks' bound allows.",
        _CLOCK,
        {"leg": "", "min_ms": "ms", "clock_error_ms": "ms"},
    ),
    "frames_not_offered": Code(
        INVALID,
        "the relay offered {offered} frames of the {due} that the run asks for",
        "Our relay did not play the whole load.",
        _LOGS,
        {"offered": "frames", "due": "frames"},
    ),
    "frames_undecodable": Code(
        INVALID,
        "{count} times the relay {relay_url} sent what could not be decoded, or was too large; "
        "what came after it may not have been read; the shuffler's log says more",
        "The relay sent rubbish, or the connection damaged it.",
        "Read the shuffler's log; try another relay.",
        {"count": "frames", "relay_url": ""},
    ),
    "nothing_read": Code(
        INVALID,
        "not one event was read from the relay {relay_url} in the whole run; is it a relay?",
        "The firehose was silent for the whole run, or never connected.",
        "Check bench_firehose_source: `wss://host` is enough, the path is added.",
        {"relay_url": ""},
    ),
    "goals_not_measured": Code(
        INVALID,
        _goals_not_measured,
        "A goal is about a figure that this run does not have.",
        "A longer bench_measure_s may help; or take the goal out.",
        {"goals": "their names"},
    ),
    "goal_undecided": Code(
        INVALID,
        _goal_undecided,
        "Calls without an end when the run ended could lift the figure beyond the goal, or not.",
        "Run for longer, with a longer bench_drain_s, so that calls can end.",
        {
            "goal": "",
            "leg": "",
            "open_count": "calls",
            "open_min_ms": "ms, age of the youngest; null: not known",
        },
    ),
}
