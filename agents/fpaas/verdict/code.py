"""What a reason's code means: its severity, its parameters, its sentence."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from fpaas import agreement
from fpaas.agreement import count_of
from fpaas.digits import significant
from fpaas.latency.leg_kinds import LEGS

#: The figures cannot be trusted.
INVALID: Final = "invalid"
#: The figures can be trusted, and the system under test missed a goal.
FAIL: Final = "fail"
#: Worth knowing; also the causes of a missed goal.
NOTE: Final = "note"
#: What limited a run; not among the verdict's reasons.
LIMIT: Final = "limit"

Severity = Literal["invalid", "fail", "note", "limit"]
Parameters = Mapping[str, Any]


@dataclass(frozen=True)
class Code:
    """One code. `sentence` is a format string over the parameters (see agreement), or a function.

    `meaning` and `remedy` are what `fpaas explain` prints; `parameters` are names with their units.
    """

    severity: Severity
    sentence: str | Callable[[Parameters], str]
    meaning: str
    remedy: str
    parameters: Mapping[str, str] = field(default_factory=dict)

    def render(self, parameters: Parameters) -> str:
        """Return the sentence, without a host. Raises KeyError if a parameter is missing."""
        if isinstance(self.sentence, str):
            return agreement.rendered(self.sentence, **parameters)
        return self.sentence(parameters)


#: Remedies that several codes share.
OVERLOAD = (
    "Use bench_fetch=drain, which reads until empty; or fewer frames, larger batches or a shorter "
    "poll interval."
)
LOGS = "Read the log of that part in `results/<run-id>/hosts/<host>/`, and run again."
COLLECT_AGAIN = (
    "If the host was not reached or the run was cut off, collect it again "
    "(`ansible-playbook playbooks/collect.yml -e run_id=<run-id>`). Otherwise run again."
)
AS_SET = "Nothing, if this is what you want. Otherwise change the parameters that it names."
#: For reasons that may be about one class of a mix only.
OF_CLASS = {"consumers": "class of a mix; missing: all consumers"}
#: Parameters that several codes have.
BY_ITSELF = {"by_itself": "how often without a fault of the run to cause it"}
WORKERS = "numbers of the consumers workers; empty: not known"
#: For a window other than the run's own.
WINDOW = {
    "warmup_s": "s, as requested for the report",
    "run_warmup_s": "s, the run's own",
    "from_s": "s since T0",
    "until_s": "s since T0",
}
OWN_WINDOW = {
    **WINDOW,
    "reason": "{code, host, parameters}: the first reason that only the run's own window shows",
    "more": "how many others there are",
}


def still_open(p: Parameters) -> str:
    """Say which calls, or deliveries, of a leg had not ended when the run did."""
    never = LEGS[p["leg"]].never
    least_ms = None if p["open_min_ms"] is None else significant(p["open_min_ms"], 4)
    if never:
        least = "" if least_ms is None else f", the youngest {least_ms} ms old"
        was = agreement.agreeing(p["open_count"], "was|were")
        return f"at the run's end there {was} {count_of(p['open_count'], never)}{least}"
    least = "" if least_ms is None else f", the youngest after {least_ms} ms"
    calls = count_of(p["open_count"], f"call of {p['leg']} was|calls of {p['leg']} were")
    return f"{calls} still open when the run ended{least}"


def counted(count: float | None) -> str:
    """Write a number with its thousands separated."""
    return "-" if count is None else f"{count:,.0f}"


def causes(counts: Mapping[str, int] | None, words: Mapping[str, str]) -> str:
    """Write the causes that a term has, each with its count, to be appended to it."""
    known = counts or {}
    found = [f"{known[name]:,} {text}" for name, text in words.items() if known.get(name)]
    return f": {'; '.join(found)}" if found else ""


def of_own_window(p: Parameters) -> str:
    """Write what another window than the run's own leaves out."""
    more = f" (and {p['more']} more)" if p["more"] else ""
    return (
        f"in the run's own window, from {p['run_warmup_s']:g} s to {p['until_s']:g} s (this report "
        f"has a warm-up of {p['warmup_s']:g} s): {p['reason']}{more}"
    )


def by_itself(p: Parameters) -> str:
    """Say that a part failed without a fault to cause it, to be appended to a sentence."""
    count = p["by_itself"]
    return f" ({count_of(count, 'time|times')} without a fault to cause it)" if count else ""


def spoken(message: str | None) -> str:
    """Write what an agent said last, to be appended to a sentence."""
    return f": {message}" if message else ""


def between(begin_s: float, end_s: float | None) -> str:
    """Write a stretch of a run."""
    if end_s is None:
        return f"from {begin_s:.1f} s after the run's start until its end"
    return f"from {begin_s:.1f} s to {end_s:.1f} s after the run's start"


def of_class(p: Parameters) -> str:
    """Name the class that a reason is about, to be put before its sentence."""
    return f"{p['consumers']}: " if p.get("consumers") else ""
