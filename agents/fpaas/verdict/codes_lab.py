"""Codes that make a run invalid because of the lab itself: its agents, hosts and clocks."""

from __future__ import annotations

from collections.abc import Callable

from fpaas.records.status import in_words
from fpaas.verdict.code import INVALID, WORKERS, Code, Parameters, between

_BUSY = (
    "Use more or faster hosts, fewer consumers, or a machine that does nothing else. Do not trust "
    "the NATS figures of such a run."
)
_CLOCK = (
    "Synchronise the hosts' clocks (chrony), make sure that nothing sets them during a run, and "
    "run again."
)
_LATE = {"p99_ms": "ms", "limit_ms": "ms"}
_SHARE = {"limit_pct": "%"}


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
    return f"{agent} ended and was restarted; it served nobody {gone}"


def _start_spread(p: Parameters) -> str:
    remedy = "start the run with more lead (run_lead_s)"
    if p["clocks_apart_ms"] is not None:
        remedy = (
            f"their hosts' clocks differ by {p['clocks_apart_ms']:.0f} ms: synchronise them "
            "(chrony)"
        )
    return (
        f"agents started up to {p['spread_ms']:.0f} ms apart (the limit is {p['limit_ms']:g} ms); "
        f"{remedy}"
    )


def _clock_set(p: Parameters) -> str:
    found = "; ".join(
        f"by {step['step_ms']:+.1f} ms about {step['at_s']:.0f} s after T0" for step in p["steps"]
    )
    return (
        f"its clock was set during the run{found and f' ({found})'}; do not trust latencies "
        "between hosts"
    )


def _late(what: str, whose: str) -> Callable[[Parameters], str]:
    def sentence(p: Parameters) -> str:
        return (
            f"{what} late: p99 {p['p99_ms']:.1f} ms after they were due (the limit is "
            f"{p['limit_ms']:g} ms); give {whose} host more CPU or less load"
        )

    return sentence


def _unresolved(p: Parameters) -> str:
    return (
        f"frames were sent late, p99 {p['p99_ms']:.1f} ms after they were due (the limit is "
        f"{p['limit_ms']:g} ms). Subscribers' sockets accepted no data for {p['blocked_s']:.1f} s, "
        "which explains it; these files do not show how late the relay itself was"
    )


CODES = {
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
        "Our relay's frames were late because the subscriber read none for a while. Runs of older "
        "versions do not show whether the relay itself was on time.",
        "Find out what held the shuffler up. Run again with this version, which tells the two "
        "apart.",
        {**_LATE, "blocked_s": "s"},
    ),
    "loop_lag": Code(
        INVALID,
        "{process}: its event loop woke up late, p99 {p99_ms:.1f} ms (the limit is {limit_ms:g} "
        "ms); its latencies are not the server's",
        "An agent's process had to wait for the CPU, so its latencies include that wait.",
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
        "{process}: was saturated, {share_pct:.0f} % of a core (the limit is {limit_pct:g} %); "
        "lower the load or spread it",
        "An agent's process used up the one core that it can use.",
        _BUSY,
        {"process": "", "share_pct": "% of a core", **_SHARE},
    ),
    "host_steal": Code(
        INVALID,
        "the hypervisor withheld {steal_pct:.1f} % of the CPU (steal; the limit is {limit_pct:g} "
        "%); use a host with dedicated cores",
        "The host is a virtual machine, and other machines used its cores.",
        "Use a host with dedicated cores.",
        {"steal_pct": "%", **_SHARE},
    ),
    "host_unsampled": Code(
        INVALID,
        "its probe took no samples for {missing_s:g} s of the window; its CPU and memory use in "
        "that time are unknown",
        "The probe did not run for part of the window. The host's figures cover only the rest.",
        "Look in the events for what stopped the probe, and run again.",
        {"missing_s": "s without a sample"},
    ),
    "agent_paused": Code(
        INVALID,
        _agent_paused,
        "An agent that generates load did not run for a while. Its figures show that, not NATS.",
        "Find out what stopped it on that host: a debugger, lack of memory, a busy hypervisor.",
        {"agent": "name", "workers": WORKERS, "begin_s": "s since T0", "end_s": "s since T0"},
    ),
    "nats_silent_at_start": Code(
        INVALID,
        lambda p: (
            f"NATS did not answer {between(p['begin_s'], p['end_s'])}; agents that waited for it "
            "started late"
        ),
        "NATS did not answer when the load was about to begin, so agents were not ready; the "
        "reasons after this one may follow from that.",
        "Look at what NATS and its host did then (nats.log), and run again.",
        {"begin_s": "s since T0", "end_s": "s since T0; null: to the run's end"},
    ),
    "agent_restarted": Code(
        INVALID,
        _agent_restarted,
        "A part of the lab ended during the run and was restarted; the reasons after this one are "
        "consequences. Without consequences, it is only a note.",
        "Read its log on that host, unless one of the run's own faults ended it. Goals on "
        "latencies cannot be judged in such a run.",
        {
            "agent": "name",
            "workers": WORKERS,
            "begin_s": "s since T0: its end, or its last sign of life, up to a second before",
            "end_s": "s since T0, when it served again; null: it did not",
        },
    ),
    "host_saturated": Code(
        INVALID,
        "its CPU was saturated, {busy_pct:.1f} % busy on average (the limit is {limit_pct:g} % for "
        "a host that generates load); lower the load, spread it over more hosts, or stop other "
        "programs there",
        "A host that generates load had no CPU to spare, so agents had to wait for it.",
        _BUSY,
        {"busy_pct": "% of all cores", **_SHARE},
    ),
    "clock_unknown": Code(
        INVALID,
        "its clock could not be compared with the NATS host's, so the error of latencies between "
        "hosts is unknown",
        "The probe could not exchange times with NATS.",
        "Read the probe's log on that host.",
    ),
    "clock_unsure": Code(
        INVALID,
        "its clock is only known to ± {bound_ms:.1f} ms (the limit is {limit_ms:g} ms), so "
        "latencies between hosts are not resolvable; use hosts closer together, or less busy ones",
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
}
