"""Codes that make a run invalid because of what the relay sent, or did not."""

from __future__ import annotations

from fpaas.agreement import count_of
from fpaas.verdict.code import INVALID, LOGS, Code, Parameters


def _relay_silent(p: Parameters) -> str:
    """Name only what is beyond its limit."""
    said = [
        f"{p[f'{name}_s']:.1f} s {words} (the limit is {p[f'{name}_limit_s']:.3g} s)"
        for name, words in (("longest", "at a stretch"), ("total", "in all"))
        if p[f"{name}_s"] > p[f"{name}_limit_s"]
    ]
    whole = f"of the window's {p['window_s']:g} s"
    return f"no event came from the relay {p['relay_url']} for {', '.join([*said, whole])}"


def _relay_times_unreadable(p: Parameters) -> str:
    count = "none"
    if p["timed_pct"]:
        count = f"only {p['timed_pct']:.0f} % (at least {p['least_pct']:g} % are needed)"
    return (
        f"of the times of the events of the relay {p['relay_url']}, {count} could be read, so "
        "whether it fell behind is not known"
    )


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


CODES = {
    "frames_not_offered": Code(
        INVALID,
        "the relay offered {offered} of the {due} {due:frame|frames} that the run asks for",
        "Our relay did not play the whole load.",
        LOGS,
        {"offered": "frames", "due": "frames"},
    ),
    "frames_undecodable": Code(
        INVALID,
        "the relay {relay_url} sent {count} {count:frame|frames} that could not be decoded or "
        "{count:was|were} too large "
        "(the limit is {limit_frames})",
        "The relay sent more malformed frames than a run may have, or the connection damaged them. "
        "Each is left out and counted.",
        "The events say what is wrong with each; the shuffler's files contain the first ones "
        "(shuffler.undecodable-01.bin and so on). Try another relay, or allow more "
        "(bench_undecodable_max_frames).",
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
        "No new event came from the relay for part of the window, although the shuffler was "
        "reading: the relay died, hung, or had nothing to send. Pongs, #info, malformed frames and "
        "repeated events do not count.",
        "The events show when. Use another relay, or allow more silence "
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
        "window (the limit is {limit_s:g} s): it sent less than what happened",
        "The `time` of the relay's events fell further and further behind the clock: the relay is "
        "slower than the network that it relays. A constant difference does not count. A recording "
        "that is replayed too slowly looks the same.",
        "Use another relay, or allow more (bench_relay_lag_max_s).",
        {"growth_s": "s", "limit_s": "s", "window_s": "s", "relay_url": ""},
    ),
    "relay_times_unreadable": Code(
        INVALID,
        _relay_times_unreadable,
        "The `time` of the relay's events is not RFC 3339 with a zone. Of each second, the event "
        "that was read last counts.",
        "Use a relay that follows the lexicon (com.atproto.sync.subscribeRepos): it sends times "
        "such as 2026-12-01T16:21:49.123Z.",
        {"timed_pct": "% of the seconds with events", "least_pct": "%", "relay_url": ""},
    ),
    "relay_incomplete": Code(
        INVALID,
        "the relay {relay_url} left out {missing} {missing:event|events} between those that were "
        "read, {missing_pct:.1f} % of all (the limit is {limit_pct:g} %)",
        "By their sequence numbers, the relay had more events than it sent: it was away for longer "
        "than it keeps them, or lost them.",
        "Use another relay, or run again.",
        {"missing": "events", "missing_pct": "% of all", "limit_pct": "%", "relay_url": ""},
    ),
    "relay_gaps_unknown": Code(
        INVALID,
        "the relay {relay_url} left out an unknown number of events {count} {count:time|times} "
        "(the limit is {limit} {limit:time|times})",
        "The relay repeatedly skipped ahead or renumbered, so an unknown share of its events was "
        "never read.",
        "Use another relay, or one that can be resumed where it was left.",
        {"count": "gaps", "limit": "gaps", "relay_url": ""},
    ),
    "relay_unsteady": Code(
        INVALID,
        _relay_unsteady,
        "The relay kept repeating itself or renumbering, so this was not the load of a firehose.",
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
}
