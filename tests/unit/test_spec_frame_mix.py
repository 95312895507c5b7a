from __future__ import annotations

import pytest

from fpaas.errors import SpecError
from fpaas.spec.frame_mix import MIX


@pytest.mark.parametrize("value", [{"too_big": 5}, '{"too_big": 5}', {"too_big": "5"}])
def test_a_mix_is_read_as_an_object_or_json(value: object) -> None:
    assert MIX.read("bench_firehose_mix", value) == {"too_big": 5}


def test_by_default_it_is_the_networks() -> None:
    assert MIX.read("bench_firehose_mix", MIX.default) == {}


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("nonsense", "allowed: frames of 1000 by kind"),
        ([], "allowed: frames of 1000 by kind"),
        ({"too_bg": 1}, "too_bg: there is no such kind; did you mean too_big?"),
        ({"sync": -1}, "sync: -1 is not allowed"),
        ({"sync": 1.5}, "sync: 1.5 is not allowed"),
        ({"sync": True}, "sync: True is not allowed"),
        ({"sync": 996}, "they are 1001 of 1000 frames"),
        ({"sync": 600, "largest": 600}, "of 1000 frames"),
    ],
)
def test_what_is_no_mix_is_named(value: object, said: str) -> None:
    with pytest.raises(SpecError, match="bench_firehose_mix") as refused:
        MIX.read("bench_firehose_mix", value)
    assert said in str(refused.value)
