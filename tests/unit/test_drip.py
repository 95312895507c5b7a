from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fpaas.common_time import NS_PER_S
from fpaas.relay.drip import Drip


@given(
    st.floats(1, 1e6),
    st.lists(st.tuples(st.floats(0.001, 2), st.integers(0, 10**6)), min_size=1, max_size=30),
)
def test_no_more_goes_through_than_is_allowed(
    bytes_per_s: float, steps: list[tuple[float, int]]
) -> None:
    now_ns = 0
    drip = Drip(bytes_per_s, now_ns)
    given_bytes = taken = 0
    for elapsed_s, more in steps:
        drip.waiting += bytes(more)
        given_bytes += more
        now_ns += round(elapsed_s * NS_PER_S)
        taken += len(drip.take(now_ns))
        assert taken <= now_ns / NS_PER_S * bytes_per_s + 1
        assert taken + len(drip.waiting) == given_bytes


def test_all_that_is_allowed_goes_through_in_order() -> None:
    drip = Drip(1000, 0)
    drip.waiting += bytes(range(200)) * 10
    got = b"".join(drip.take(tick * NS_PER_S // 20) for tick in range(1, 41))
    assert got == bytes(range(200)) * 10
    # What was not needed then is not made up for.
    drip.waiting += bytes(5000)
    assert drip.take(40 * NS_PER_S // 20) == b""
    assert len(drip.take(41 * NS_PER_S // 20)) <= 51


def test_less_than_a_byte_a_tick_comes_in_the_end() -> None:
    drip = Drip(2, 0)
    drip.waiting += b"abcdef"
    took = [drip.take(tick * NS_PER_S // 20) for tick in range(1, 42)]
    assert b"".join(took) == b"abcd"
