"""Silences by looks whose times are made up."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fpaas.common_time import NS_PER_MS
from fpaas.measures.silence import (
    PING_SERVER_AFTER_NS,
    Seen,
    Silence,
    was_paused,
)

START_NS = 10**12
LOOK_INTERVAL_MS = 50


@dataclass
class Looks:
    """Looks every 50 ms but for those that are late; times in ms from the first look on."""

    silence: Silence = field(default_factory=Silence)
    now_ns: int = START_NS
    #: What was found other than nothing: (ms, what, the silence's begin in ms).
    found: list[tuple[int, Seen, int | None]] = field(default_factory=list)

    def look(
        self,
        after_ms: float = LOOK_INTERVAL_MS,
        *,
        heard: bool = False,
        connected: bool = True,
        owes: bool = True,
    ) -> Seen:
        before_ns, self.now_ns = self.now_ns, self.now_ns + round(after_ms * NS_PER_MS)
        begin_ns = self.silence.heard_ns
        seen = self.silence.look(
            self.now_ns, before_ns, is_heard=heard, is_connected=connected, owes=owes
        )
        if seen is not Seen.NOTHING:
            begin_ms = None if begin_ns is None else self._ms(begin_ns)
            self.found.append((self._ms(self.now_ns), seen, begin_ms))
        return seen

    def quiet(self, for_ms: int, *, connected: bool = True, owes: bool = True) -> None:
        for _ in range(for_ms // LOOK_INTERVAL_MS):
            self.look(connected=connected, owes=owes)

    def kinds(self) -> list[Seen]:
        return [seen for _, seen, _ in self.found]

    def _ms(self, at_ns: int) -> int:
        return round((at_ns - START_NS) / NS_PER_MS)


@pytest.fixture
def looks() -> Looks:
    looks = Looks()
    looks.look(heard=True)
    return looks


def test_who_is_heard_all_the_time_is_left_alone(looks: Looks) -> None:
    for _ in range(100):
        looks.look(heard=True)
    assert looks.found == []


def test_who_answers_pings_is_not_silent(looks: Looks) -> None:
    for _ in range(100):
        looks.look(heard=bool(looks.kinds()) and looks.found[-1][0] == looks._ms(looks.now_ns))
    assert set(looks.kinds()) == {Seen.QUIET}
    # Not more often than every quarter of a second.
    assert len(looks.found) <= 100 * LOOK_INTERVAL_MS / 250


def test_who_does_not_is_from_when_it_was_heard_last(looks: Looks) -> None:
    looks.quiet(2000)
    looks.look(heard=True)
    looks.quiet(150)
    assert looks.found == [
        (250, Seen.QUIET, 0),
        (1000, Seen.FELL_SILENT, 0),
        (2100, Seen.IS_BACK, 0),
    ]


@pytest.mark.parametrize("phase_ms", range(1, 50, 7))
@pytest.mark.parametrize("freeze_ms", [1000, 4000, 8000])
def test_lengths_of_freezes_under_load_are_within_a_tenth(phase_ms: int, freeze_ms: int) -> None:
    looks = Looks()
    frozen_from = 400 + phase_ms
    for at_ms in range(LOOK_INTERVAL_MS, freeze_ms + 1000, LOOK_INTERVAL_MS):
        before_ms = at_ms - LOOK_INTERVAL_MS
        looks.look(heard=before_ms < frozen_from or at_ms > frozen_from + freeze_ms)
    (begin_ms,) = [
        begin for _, seen, begin in looks.found if seen in (Seen.FELL_SILENT, Seen.WAS_SILENT)
    ]
    assert looks.kinds()[-1] in (Seen.IS_BACK, Seen.WAS_SILENT)
    assert begin_ms is not None
    # It is over with the look before the one that tells.
    length_ms = looks.found[-1][0] - LOOK_INTERVAL_MS - begin_ms
    assert length_ms == pytest.approx(freeze_ms, rel=0.06)


def test_a_server_is_pinged_soon_so_that_a_freeze_begins_when_it_did() -> None:
    looks = Looks(Silence(PING_SERVER_AFTER_NS))
    looks.look(heard=True)
    looks.quiet(300)
    assert looks.found[:1] == [(100, Seen.QUIET, 0)]


def test_half_a_second_is_no_silence(looks: Looks) -> None:
    looks.quiet(550)
    looks.look(heard=True)
    assert looks.kinds() == [Seen.QUIET]


def test_who_was_never_heard_has_not_fallen_silent() -> None:
    looks = Looks()
    looks.quiet(5000, connected=False)
    assert looks.found == []


def test_a_lost_connection_that_is_not_back_needs_no_ping(looks: Looks) -> None:
    looks.quiet(1500, connected=False)
    looks.look(heard=True)
    assert looks.kinds() == [Seen.FELL_SILENT, Seen.IS_BACK]
    assert looks.found[0][0] == 1000


def test_one_that_is_back_soon_is_none(looks: Looks) -> None:
    looks.quiet(600, connected=False)
    looks.look(heard=True)
    assert looks.found == []


def test_who_is_not_read_owes_nothing_and_has_a_second_from_then_on(looks: Looks) -> None:
    looks.quiet(5000, owes=False)
    looks.quiet(800)
    assert looks.kinds() == [Seen.QUIET]
    looks.quiet(400)
    assert looks.kinds() == [Seen.QUIET, Seen.FELL_SILENT]


@pytest.mark.parametrize("pinged_before", [False, True])
@pytest.mark.parametrize("paused_ms", [400, 1000, 60_000])
def test_our_own_pause_is_blamed_on_nobody(
    looks: Looks, paused_ms: int, *, pinged_before: bool
) -> None:
    looks.quiet(350 if pinged_before else 0)
    looks.look(paused_ms)
    # What arrived meanwhile is read between this look and the next.
    looks.look(heard=True)
    for _ in range(100):
        looks.look(heard=True)
    assert Seen.FELL_SILENT not in looks.kinds()
    assert Seen.WAS_SILENT not in looks.kinds()


def test_whole_host_paused_gives_the_peer_time_to_answer(looks: Looks) -> None:
    looks.quiet(350)
    looks.look(30_000)
    looks.quiet(400)
    looks.look(heard=True)
    assert set(looks.kinds()) == {Seen.QUIET}


def test_a_silence_that_began_before_our_pause_lasts_through_it(looks: Looks) -> None:
    looks.quiet(1200)
    looks.look(5000)
    looks.quiet(100)
    looks.look(heard=True)
    assert looks.kinds() == [Seen.QUIET, Seen.FELL_SILENT, Seen.IS_BACK]
    assert looks.found[-1][2] == 0


def test_a_freeze_is_found_though_looks_are_late_now_and_then(looks: Looks) -> None:
    looks.quiet(350)
    for _ in range(2):
        looks.look(300)
        looks.quiet(550)
    assert looks.kinds() == [Seen.QUIET, Seen.FELL_SILENT]


@pytest.mark.parametrize(("gap_ms", "paused"), [(40, False), (999, False), (1000, True)])
def test_who_did_not_look_for_a_second_was_paused(gap_ms: int, *, paused: bool) -> None:
    assert was_paused(START_NS + gap_ms * NS_PER_MS, START_NS) is paused


@given(st.lists(st.tuples(st.integers(1, 3000), st.booleans(), st.booleans(), st.booleans())))
def test_every_silence_has_one_end_and_was_owed(
    steps: list[tuple[int, bool, bool, bool]],
) -> None:
    looks = Looks()
    for after_ms, heard, connected, owes in steps:
        looks.look(after_ms, heard=heard and connected, connected=connected, owes=owes)
    edges = [seen for seen in looks.kinds() if seen in (Seen.FELL_SILENT, Seen.IS_BACK)]
    assert edges[::2] == [Seen.FELL_SILENT] * len(edges[::2])
    assert edges[1::2] == [Seen.IS_BACK] * len(edges[1::2])
    for at_ms, seen, begin_ms in looks.found:
        if seen in (Seen.FELL_SILENT, Seen.WAS_SILENT):
            assert begin_ms is not None
            assert at_ms - begin_ms >= 1000
