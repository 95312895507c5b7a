"""Parts of real runs are frozen: each figure says of it what a recorder beside it says."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from fpaas.bundle.loader import load_bundle
from fpaas.latency.legs import Legs
from fpaas.measures.figures import Window
from tests.support.freeze_arithmetic import NATS, RELAY, SHUFFLER, WORKER, Expected, Freeze
from tests.support.ping_recorder import PingRecorder
from tests.support.side_by_side import OwnLab, play_all

pytestmark = pytest.mark.integration

AGENT_OF = {WORKER: "consumers"}
PARTS = (NATS, RELAY, SHUFFLER, WORKER)
LENGTHS_S = (0.5, 1.0, 4.0, 8.0)
START, MIDDLE, END, DRAIN = PLACES = ("start", "middle", "end", "drain")
WARMUP_S = 2
#: What the window and the drain have beside the freeze.
REST_S = 4
RATE_PER_S = 50
CONSUMERS = 10
#: What a machine needs for a wake-up or an answer that nothing keeps waiting.
IDLE_SLACK_S = 0.1
#: The ping that a frozen server leaves waiting may have been sent so long before.
PING_MARGIN_S = 0.05


@dataclass(frozen=True)
class Case:
    """Which part is frozen, how long, and in which stretch of the run."""

    part: str
    length_s: float
    place: str

    def __str__(self) -> str:
        return f"{self.part} {self.length_s:g} s {self.place}"

    @property
    def measure_s(self) -> int:
        return REST_S + (0 if self.place == DRAIN else round(self.length_s))

    @property
    def drain_s(self) -> int:
        return REST_S + (round(self.length_s) if self.place in (END, DRAIN) else 0)

    @property
    def begin_s(self) -> float:
        """When it begins, in seconds after T0."""
        window_end_s = WARMUP_S + self.measure_s
        return {
            START: WARMUP_S - 0.2,
            MIDDLE: WARMUP_S + REST_S / 2,
            END: window_end_s - self.length_s / 2,
            DRAIN: window_end_s + 0.5,
        }[self.place]


class FrozenLab(OwnLab):
    """One run with a recorder at its NATS server, and a freeze."""

    def __init__(self, directory: Path, case: Case) -> None:
        self.case = case
        super().__init__(
            directory,
            bench_consumers=CONSUMERS,
            bench_poll_interval_s=1,
            bench_batch_size=500,
            bench_firehose_rate_per_s=RATE_PER_S,
            bench_warmup_s=WARMUP_S,
            bench_measure_s=case.measure_s,
            bench_drain_s=case.drain_s,
            bench_workers=1,
        )

    def play(self) -> list[str]:
        """Play it once it is armed, and say what is wrong with its figures."""
        recorder = PingRecorder(self.server.port)
        recorder.start()
        try:
            begin_s, end_s = self._freeze()
            codes = self.wait()
        finally:
            recorder.end()
        summary = self.report()
        freeze = self._recorded(recorder, begin_s, end_s)
        return [
            *(f"{name} ended with {code}" for name, code in codes.items() if code),
            *self._wrong(summary, freeze),
        ]

    def _freeze(self) -> tuple[float, float]:
        case = self.case
        self.sleep_until(0)
        pid = self.server.pid
        if case.part != NATS:
            agent = AGENT_OF.get(case.part, case.part)
            # A single worker is the agent itself.
            pid = self.pids(agent)[-1]
        self.sleep_until(case.begin_s)
        os.kill(pid, signal.SIGSTOP)
        begin_s = time.time()
        try:
            time.sleep(case.length_s)
        finally:
            end_s = time.time()
            os.kill(pid, signal.SIGCONT)
        return begin_s, end_s

    def _recorded(self, recorder: PingRecorder, begin_s: float, end_s: float) -> Freeze:
        """Return the freeze as it was seen from beside it, and what else kept the machine busy."""
        around = (0.0, 0.0)
        if self.case.part == NATS:
            around = (begin_s - PING_MARGIN_S, end_s)
            longest = recorder.longest_within(*around)
            begin_s, end_s = longest.sent_s, longest.answered_s
        slack_s = (
            IDLE_SLACK_S
            + 3 * recorder.wake_up_lag_s
            + self._lag_of_others_s()
            + recorder.longest_outside(*around)
        )
        return Freeze(self.case.part, begin_s, end_s, slack_s)

    def _lag_of_others_s(self) -> float:
        """Return the sum of how late the loops of all other parts woke up at most."""
        spec = self.spec
        window = Window(spec.measure_from_unix_ns, spec.offer_until_unix_ns)
        by_log = Legs.read(load_bundle(self.bundle), window).by_log
        agent = AGENT_OF.get(self.case.part, self.case.part)
        # A frame waits for each of them on its way.
        return sum(
            (legs["loop_lag"].max_us or 0) / 1e6
            for name, logs in by_log.items()
            for _, legs in logs
            if name != agent
        )

    def _wrong(self, summary: dict[str, Any], freeze: Freeze) -> Iterable[str]:
        found = {**summary["latency_ms"], **summary["fidelity"]}
        if summary["ledger"]["unexplained"] != 0:
            yield f"unexplained {summary['ledger']['unexplained']}"
        for name, calls in Expected(self.spec, freeze).legs().items():
            for what in calls.wrong(found[name]):
                yield f"{name}: {what} (slack {1000 * freeze.slack_s:.0f} ms)"
        print(self.case, _shown(found), f"slack {1000 * freeze.slack_s:.0f} ms")


def _shown(found: dict[str, Any]) -> str:
    names = ("due_to_sent", "due_to_ack", "publish_ack", "fetch_call_intended", "poll_lateness_ms")
    return ", ".join(
        f"{name} p50 {found[name]['p50']:.0f} p99 {found[name]['p99']:.0f} "
        f"max {found[name]['max']:.0f} of {found[name]['due_count']} "
        f"open {found[name]['open_count']}"
        for name in names
    )


def wrong_of(directory: Path, cases: Iterable[Case]) -> list[str]:
    """Play cases side by side and say what is wrong with which."""
    labs = [FrozenLab(directory / str(n), case) for n, case in enumerate(cases)]
    found = play_all(labs, FrozenLab.play)
    return [f"{lab.case}: {what}" for lab, ones in zip(labs, found, strict=True) for what in ones]


@pytest.mark.parametrize(
    "shift",
    [
        pytest.param(shift, id=f"{s:g}s", marks=[] if s in (1, 4) else pytest.mark.matrix)
        for shift, s in enumerate(LENGTHS_S)
    ],
)
def test_each_part_in_each_place_and_each_length_with_each_of_both(
    tmp_path: Path, shift: int
) -> None:
    """A Latin square: 16 of the 64 combinations in which any two of the three all meet."""
    cases = [
        Case(part, LENGTHS_S[shift], PLACES[(n + shift) % len(PLACES)])
        for n, part in enumerate(PARTS)
    ]
    assert wrong_of(tmp_path, cases) == []


@pytest.mark.matrix
@pytest.mark.parametrize("length_s", LENGTHS_S)
@pytest.mark.parametrize("place", PLACES)
def test_all_combinations(tmp_path: Path, length_s: float, place: str) -> None:
    # Four side by side: of eight, those that go on at once would keep each other waiting.
    assert wrong_of(tmp_path, [Case(part, length_s, place) for part in PARTS]) == []
