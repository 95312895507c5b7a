"""Which value of a variable to try next, and when the answer is known. Pure.

Capacity is the largest load at which every goal holds (Theodolite's word: Henning and Hasselbring,
"A configurable method for benchmarking scalability of cloud-native applications", 2022). The search
brackets it by doubling, then halves the bracket. All that it knows are the outcomes of runs, so
a search that was ended anywhere goes on from them.

Runs are noisy, so one run is no proof: a value that did not hold is tried again before that is
believed, and both ends of the final bracket are tried `RUNS_TO_CONFIRM` times. Most runs decide.
If that changes an end, so does the bracket, and the search goes on. Runs are short, so a long
one must agree with the answer. If it does not, that value does not hold, and the search goes on.

A run that is invalid although a heavier load could be made and measured was disturbed by something
else: it says nothing, and is repeated.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from fpaas.records.sweep import Question

#: How a run ended: its verdict.
HOLDS, FAILS, INVALID = "pass", "fail", "invalid"
RUNS_TO_CONFIRM = 3
#: Runs of one value that do not agree; with more of them there is no answer.
RUNS_MAX = 7
#: More runs than a bracket from 1 to 100,000 takes with its ends confirmed twice.
TOTAL_RUNS_MAX = 60
#: Each step of the bracket, up or down.
STEP = 2.0

Runs = Mapping[float, Sequence[str]]
#: A long run that is not believed is repeated once.
LONG_RUNS_TO_REFUTE = 2


class StoppedBy(StrEnum):
    """The limit that a load beyond the answer ran into."""

    #: Goals were missed: the system under test is at its limit.
    SYSTEM = "system"
    #: Runs were invalid: the lab could not make that load, or not measure it.
    GENERATOR = "generator"
    #: The variable allows no more.
    RANGE = "range"
    #: Runs of one value did not agree, or too many were needed.
    NOISE = "noise"


@dataclass(frozen=True)
class Try:
    """Play one more run at a value."""

    value: float
    is_long: bool = False


@dataclass(frozen=True)
class Answer:
    """The heaviest load that held, and the lightest beyond it that did not.

    `holds_at` is None if nothing held, `stopped_at` None if nothing heavier is allowed; `*_runs`
    say how many of how many runs agree.
    """

    holds_at: float | None
    holds_runs: tuple[int, int]
    stopped_at: float | None
    stopped_runs: tuple[int, int]
    stopped_by: StoppedBy


@dataclass(frozen=True)
class Evidence:
    """All verdicts so far, by value: of runs as long as the search takes them, and of long ones."""

    runs: Runs
    long_runs: Runs = field(default_factory=dict)

    @property
    def count(self) -> int:
        """How many short runs there were."""
        return sum(map(len, self.runs.values()))

    def undisturbed(self, question: Question) -> Evidence:
        """Leave out invalid runs at less than the heaviest load that could be measured."""
        measured = [
            question.heaviness(value)
            for value, verdicts in self.runs.items()
            if any(one != INVALID for one in verdicts)
        ]
        heaviest = max(measured, default=0.0)

        def kept(runs: Runs) -> Runs:
            return {
                value: [
                    one
                    for one in verdicts
                    if one != INVALID or question.heaviness(value) >= heaviest
                ]
                for value, verdicts in runs.items()
            }

        return Evidence(kept(self.runs), kept(self.long_runs))

    def is_refuted(self, value: float) -> bool:
        """Whether long runs do not bear out what short ones say."""
        verdicts = self.long_runs.get(value, ())
        return HOLDS not in verdicts and len(verdicts) >= LONG_RUNS_TO_REFUTE

    def holds(self, value: float) -> bool | None:
        """Whether a load holds, by most of its runs; None if another run must tell."""
        if self.is_refuted(value):
            return False
        return is_holding(self.runs[value])

    def verdicts(self, value: float | None) -> Sequence[str]:
        """Return the verdicts that decided on a value."""
        if value is None:
            return ()
        return self.long_runs[value] if self.is_refuted(value) else self.runs[value]


def is_holding(verdicts: Sequence[str]) -> bool | None:
    """Whether a load holds, by most of its runs; None if another run must tell."""
    holding = sum(one == HOLDS for one in verdicts)
    other = len(verdicts) - holding
    if holding == other or (other and len(verdicts) == 1):
        return None
    return holding > other


def whose_limit(verdicts: Sequence[str]) -> StoppedBy:
    """Say whose limit kept runs of a load from holding."""
    against = [one for one in verdicts if one != HOLDS]
    failed = sum(one == FAILS for one in against)
    return StoppedBy.SYSTEM if 2 * failed >= len(against) else StoppedBy.GENERATOR


def decide(question: Question, evidence: Evidence) -> Try | Answer:
    """Return what to do next."""
    played, evidence = evidence, evidence.undisturbed(question)
    runs = played.runs
    tried = sorted((value for value in runs if runs[value]), key=question.heaviness)
    if not tried:
        return Try(question.start)
    unsettled = [value for value in tried if evidence.holds(value) is None]
    for value in unsettled:
        if len(runs[value]) < RUNS_MAX:
            return Try(value)
    low, high = _bracket(question, tried, evidence)
    if unsettled or played.count >= TOTAL_RUNS_MAX:
        return _answer(low, high, evidence, StoppedBy.NOISE)
    if not _is_narrow(question, low, high):
        return Try(_between(question, low, high))
    if step := _confirm(question, low, high, played):
        return step
    is_sure = low is None or _is_borne_out(question, low, evidence)
    is_sure = is_sure and not any(_is_unconfirmed(end, evidence) for end in (low, high))
    stopped_by = _stopped_by(high, evidence) if is_sure else StoppedBy.NOISE
    return _answer(low, high, evidence, stopped_by)


def _confirm(
    question: Question, low: float | None, high: float | None, played: Evidence
) -> Try | None:
    """Return what a final bracket still lacks, None if nothing."""
    evidence = played.undisturbed(question)
    for end in (low, high):
        if end is None or len(played.runs[end]) >= RUNS_MAX:
            continue
        if _is_unconfirmed(end, evidence):
            return Try(end)
    if low is None or _is_borne_out(question, low, evidence):
        return None
    return Try(low, is_long=True) if len(played.long_runs.get(low, ())) < RUNS_MAX else None


def _is_unconfirmed(end: float | None, evidence: Evidence) -> bool:
    if end is None or evidence.is_refuted(end):
        return False
    return len(evidence.runs[end]) < RUNS_TO_CONFIRM


def _is_borne_out(question: Question, low: float, evidence: Evidence) -> bool:
    return not question.needs_long_run or HOLDS in evidence.long_runs.get(low, ())


def _bracket(
    question: Question, tried: Sequence[float], evidence: Evidence
) -> tuple[float | None, float | None]:
    """Return the heaviest load that holds below the lightest that does not, and that one."""
    failing = [value for value in tried if evidence.holds(value) is False]
    high = failing[0] if failing else None
    holding = [
        value
        for value in tried
        if evidence.holds(value)
        and (high is None or question.heaviness(value) < question.heaviness(high))
    ]
    return (holding[-1] if holding else None), high


def _is_narrow(question: Question, low: float | None, high: float | None) -> bool:
    if low is None:
        return high == question.least
    if high is None:
        return low == question.most
    if question.is_integer and abs(high - low) <= 1:
        return True
    width = question.heaviness(high) / question.heaviness(low) - 1
    # 22 is ten per cent more than 20, whatever the digits behind.
    return width <= question.resolution + 1e-9


def _between(question: Question, low: float | None, high: float | None) -> float:
    """Return the value to try next: the middle, twice or half, in as few digits as will do."""
    weigh = question.heaviness
    if low is not None and high is not None:
        return _rounded(question, (weigh(low) + weigh(high)) / 2, (low, high))
    if low is not None:
        wanted, limit = weigh(low) * STEP, question.most
        is_beyond = wanted >= weigh(limit)
    else:
        wanted, limit = weigh(high or question.start) / STEP, question.least
        is_beyond = wanted <= weigh(limit)
    return limit if is_beyond else _rounded(question, wanted, (low, high))


def _rounded(
    question: Question, heaviness: float, ends: tuple[float | None, float | None]
) -> float:
    """Return the value with the fewest digits near a load that was not tried yet."""
    exact = heaviness if question.is_rising else 1 / heaviness
    lighter, heavier = sorted((question.least, question.most))
    for digits in range(1, 16):
        power = 10.0 ** (digits - 1 - math.floor(math.log10(exact)))
        value = round(exact * power) / power
        if question.is_integer:
            value = float(round(value))
        off = abs(question.heaviness(value) / heaviness - 1) if value else math.inf
        if off <= question.resolution / 4 and value not in ends and lighter <= value <= heavier:
            return value
    return float(round(exact)) if question.is_integer else exact


def _stopped_by(high: float | None, evidence: Evidence) -> StoppedBy:
    return StoppedBy.RANGE if high is None else whose_limit(evidence.verdicts(high))


def _answer(
    low: float | None, high: float | None, evidence: Evidence, stopped_by: StoppedBy
) -> Answer:
    held, stopped = evidence.verdicts(low), evidence.verdicts(high)
    return Answer(
        holds_at=low,
        holds_runs=(sum(one == HOLDS for one in held), len(held)),
        stopped_at=high,
        stopped_runs=(sum(one != HOLDS for one in stopped), len(stopped)),
        stopped_by=stopped_by,
    )
