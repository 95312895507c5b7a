"""A capacity search in words: its answer in one sentence, and what is played next. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from fpaas.records.sweep import PlayedRun, Question, Sweep
from fpaas.search import played
from fpaas.search.capacity import Answer, StoppedBy, Try
from fpaas.verdict.goals import written

#: (figure, meaning, unit) of what consumers cost.
COSTS = (
    ("nats_cpu_pct", "CPU of NATS", "% of a core"),
    ("nats_rss_mb", "its memory", "MB"),
    ("consumers_cpu_pct", "CPU of the agents", "% of a core"),
    ("consumers_rss_mb", "their memory", "MB"),
)
#: Words (before, after) the number of things that a variable counts.
WORDS = {
    "bench_consumers": ("", " consumers"),
    "bench_firehose_rate_per_s": ("", " frames/s"),
    "bench_batch_size": ("batches of ", ""),
    "bench_poll_interval_s": ("a poll every ", " s"),
    "lab_consumers_hosts": ("", " consumers host(s)"),
    "nats_cpu_max_cores": ("", " core(s) for NATS"),
}
#: What the load needs: the answer is the least.
DEMANDS = ("lab_consumers_hosts", "nats_cpu_max_cores")


def value(question: Question, number: float) -> str:
    """Write a value of the variable searched."""
    return quantity(question.variable, number)


def quantity(variable: str, number: float) -> str:
    """Write `8,600 consumers`."""
    before, after = WORDS.get(variable, (f"{variable}=", ""))
    shown = f"{number:,.0f}" if number == int(number) else f"{number:.6g}"
    return f"{before}{shown}{after}"


def answer(sweep: Sweep, found: Answer) -> str:
    """Say what the capacity is, how sure that is, and whose limit it is."""
    question = played.question(sweep)
    if found.holds_at is None:
        least = value(question, found.stopped_at or question.least)
        return f"Does not hold even at {least} ({_of(found.stopped_runs)}).{_why(sweep, found)}"
    holds = f"Holds at {value(question, found.holds_at)} in {_of(found.holds_runs)}"
    if question.variable in DEMANDS and found.stopped_by is not StoppedBy.NOISE:
        return _demand(sweep, found, holds)
    if found.stopped_by is StoppedBy.RANGE:
        return f"{holds}, the most that was asked for; the capacity is at least that."
    if found.stopped_by is StoppedBy.NOISE or found.stopped_at is None:
        return f"{holds}, but runs differ too much for an answer; take longer or quieter ones."
    beyond = value(question, found.stopped_at)
    if found.stopped_by is StoppedBy.GENERATOR:
        return (
            f"{holds}. At {beyond} the lab could not make or measure the load (invalid in "
            f"{_of(found.stopped_runs)}), so the capacity is at least that; the system's own limit "
            f"is not known.{_why(sweep, found)}"
        )
    long = " long runs" if played.evidence(sweep).is_refuted(found.stopped_at) else ""
    return f"{holds}, fails at {beyond} in {_of(found.stopped_runs)}{long}.{_why(sweep, found)}"


def _demand(sweep: Sweep, found: Answer, holds: str) -> str:
    if found.stopped_at is None:
        return f"{holds}, which is the least that was asked for; the load needs no more."
    verb = "fails" if found.stopped_by is StoppedBy.SYSTEM else "cannot be generated or measured"
    less = value(played.question(sweep), found.stopped_at)
    return f"{holds}, {verb} at {less} in {_of(found.stopped_runs)}.{_why(sweep, found)}"


def _of(runs: tuple[int, int]) -> str:
    return f"{runs[0]} of {runs[1]}"


def _why(sweep: Sweep, found: Answer) -> str:
    run = played.deciding_run(sweep, found.stopped_at)
    if run is None:
        return ""
    limited = f" Limited by: {run.limited_by}" if run.limited_by else ""
    reason = (run.reason or run.overload).rstrip(".")
    return f" There: {reason}.{limited}" if reason else limited


def progress(sweep: Sweep, step: Try, run_number: int) -> str:
    """Write `run 7: 8,600 consumers, again; holds at 8,000, not at 9,600`."""
    question = played.question(sweep)
    evidence = played.evidence(sweep)
    again = ", again" if evidence.runs.get(step.value) and not step.is_long else ""
    long = ", for long" if step.is_long else ""
    weigh = question.heaviness
    undisturbed = evidence.undisturbed(question)
    known = {one: undisturbed.holds(one) for one in undisturbed.runs}
    holding = max((one for one, holds in known.items() if holds), key=weigh, default=None)
    failing = min((one for one, holds in known.items() if holds is False), key=weigh, default=None)
    so_far = []
    if holding is not None:
        so_far.append(f"holds at {value(question, holding)}")
    if failing is not None:
        so_far.append(f"not at {value(question, failing)}")
    known_text = f"; {', '.join(so_far)}" if so_far else ""
    return f"run {run_number}: {value(question, step.value)}{again}{long}{known_text}"


def unsettled(run: PlayedRun) -> str:
    """Say why a run does not count whose load had not settled."""
    if run.settled_after_s is None:
        return f"{run.unsettled} had not settled; further runs measure for longer"
    return (
        f"{run.unsettled} settled only after {run.settled_after_s:g} s; further runs warm up longer"
    )


def cost(sweep: Sweep, found: Answer) -> Iterator[str]:
    """Say what the heaviest load that held cost, for a thousand consumers."""
    point = played.point_at(sweep, found.holds_at)
    if point is None or not point.figures:
        return
    consumers = (sweep.variables | point.variables)["bench_consumers"]
    costs = [
        f"{title} {written(per_1000, unit)}"
        for name, title, unit in COSTS
        if (one := point.figures.get(name)) is not None
        for per_1000 in [one.median * 1000 / consumers]
    ]
    rate, size = point.figures.get("processed_per_s"), point.figures.get("message_bytes_mean")
    if rate and size:
        mbit_per_s = rate.median * size.median * 8e-6 * 1000 / consumers
        costs.append(f"to consumers {written(mbit_per_s, 'Mbit/s')}")
    if costs:
        yield (
            f"  cost there per 1,000 consumers, scaled up from {consumers:g}: {', '.join(costs)}"
        )


def lines(sweep: Sweep) -> Iterator[str]:
    """Iterate over the answer, if there is one, and how each value fared."""
    state = played.state(sweep)
    yield answer(sweep, state) if isinstance(state, Answer) else "No answer yet."
    if isinstance(state, Answer):
        yield from cost(sweep, state)
    question, evidence = played.question(sweep), played.evidence(sweep)
    for number in sorted(evidence.runs, key=question.heaviness):
        verdicts = evidence.runs[number]
        long = evidence.long_runs.get(number)
        told = ", ".join(f"{verdicts.count(one)} {one}" for one in dict.fromkeys(verdicts))
        yield f"  {value(question, number)}: {told}" + (
            f"; long: {', '.join(long)}" if long else ""
        )
