"""Whether a run can have the id that the user gave it. Pure logic."""

from __future__ import annotations

import re
from collections.abc import Collection

#: Runs are listed, collected and sorted by names of this form.
FORM = re.compile(r"[0-9]{8}T[0-9]{6}Z-[A-Za-z0-9._-]+")
ADVICE = "leave it out, and the run gets an id of its own"


def refusal(run_id: str, taken: Collection[str], runs: int = 1) -> str:
    """Say why a new run cannot have this id and what to do; "" if it can.

    `taken` are the ids of runs that exist; `runs` is how many are to be played.

    >>> refusal("20260102T030405Z-mine", ["20260102T030405Z-other"])
    ''
    """
    if not FORM.fullmatch(run_id):
        return (
            f"run_id: {run_id!r} is not allowed; allowed: <UTC time>-<name>, as in "
            f"20260102T030405Z-scenario-1; {ADVICE}"
        )
    if run_id in taken:
        return (
            f"run_id: {run_id}: there is such a run already, and it is not overwritten; {ADVICE}. "
            "playbooks/collect.yml collects a run that exists"
        )
    if runs > 1:
        return f"run_id: {run_id}: is the id of one run, and bench_repeat asks for {runs}; {ADVICE}"
    return ""
