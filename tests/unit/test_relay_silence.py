"""How long a relay is waited for."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from fpaas.bundle import relay_silence
from fpaas.bundle.loader import load_bundle
from fpaas.records.status import State
from fpaas.spec import NS_PER_S
from tests.support.raw_run import RawRun


@pytest.mark.parametrize("state", [State.DONE, State.STOPPED])
def test_a_relay_that_is_stopped_with_the_run_is_not_silent_after_that(
    tmp_path: Path, state: State
) -> None:
    bundle = load_bundle(RawRun().write(tmp_path / "run"))
    (part,) = bundle.parts("relay")
    part.statuses["relay"] = msgspec.structs.replace(part.statuses["relay"], state=state)
    part.relay_samples = part.relay_samples[:10]
    stopped_ns = part.relay_samples[-1].unix_ns
    until_ns = bundle.spec.offer_until_unix_ns
    assert stopped_ns < until_ns - 2 * NS_PER_S

    due = relay_silence.while_due(bundle, (stopped_ns - NS_PER_S, until_ns + NS_PER_S))

    assert due == (stopped_ns - NS_PER_S, until_ns if state == State.DONE else stopped_ns)
