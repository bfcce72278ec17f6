"""The rate that saves a share of the tiers' readings: steady, and right in the long run."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ghost_tracking.core.saving import MEMORY_DAYS, Saving


def read(rate: float, worths: list[float]) -> int:
    """A world in which slots deserve so many readings an hour each, for each one that is shared out."""
    return sum(1 for worth in worths if worth * rate >= 1)


WORTHS = [2.0**-power for power in range(20) for _ in range(50)]


@pytest.mark.parametrize("wanted", [0.1, 0.3, 0.5, 0.7, 0.9])
def test_it_saves_what_is_wanted(wanted: float) -> None:
    state, days = Saving(), 600
    shares = []
    for _ in range(days):
        served = read(state.readings_an_hour(wanted), WORTHS)
        shares.append(1 - served / len(WORTHS))
        state = state.after_day(len(WORTHS) / 24, len(WORTHS), served, wanted)
    assert sum(shares[days // 2 :]) / (days // 2) == pytest.approx(wanted, abs=0.03)
    assert state.saved == pytest.approx(wanted, abs=0.03)


def test_nothing_to_save_skips_nothing() -> None:
    state = Saving().after_day(100, 2_400, 2_400, 0)
    assert state.readings_an_hour(0) == math.inf
    assert Saving().readings_an_hour(0.5) == math.inf
    assert Saving().saved == 0


def test_a_quiet_week_is_not_made_quieter() -> None:
    """The rate keeps to the highest demand of late: fewer slots are no reason to skip more of them."""
    busy = Saving()
    for _ in range(60):
        busy = busy.after_day(1_000, 24_000, 12_000, 0.5)
    quiet = busy
    for _ in range(7):
        quiet = quiet.after_day(100, 2_400, 2_300, 0.5)
    assert busy.readings_an_hour(0.5) == pytest.approx(1_000)
    assert quiet.readings_an_hour(0.5) > 1_000 * math.exp(-7 / MEMORY_DAYS) * 0.9
    assert quiet.peak == pytest.approx(1_000 * math.exp(-7 / MEMORY_DAYS))


@given(
    st.lists(st.tuples(st.floats(0, 1e6, allow_subnormal=False), st.integers(0, 10**7), st.floats(0, 1)), max_size=40),
    st.floats(0, 0.99),
)
def test_whatever_happens_it_stays_a_rate(days: list[tuple[float, int, float]], wanted: float) -> None:
    state = Saving()
    for demand, slots, share in days:
        state = state.after_day(demand, slots, int(slots * share), wanted)
        assert state.readings_an_hour(wanted) >= state.peak * math.exp(-14)
        assert 0 <= state.saved <= 1
