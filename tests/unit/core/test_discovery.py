"""How far sources are asked back, what of a listing is news, and how searches share their calls."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ghost_tracking.core.discovery import reaches_back, search_allowance, wanted
from ghost_tracking.core.pacing import pacific_day
from ghost_tracking.core.source_memory import MOST_IDS, SourceMemory, united
from ghost_tracking.core.videos import Found
from ghost_tracking.core.windows import Window
from ghost_tracking.errors import BadInputError

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
WINDOW = Window(NOW - HOUR, NOW)
LISTING = {
    "next": NOW + HOUR,
    "now": NOW - HOUR / 2,
    "untold": None,
    "late": NOW - 5 * HOUR,
    "known": NOW - 9 * HOUR,
    "passed": NOW - 20 * HOUR,
    "deep": NOW - 30 * HOUR,
}
MEMORY = SourceMemory(NOW - HOUR, {"known": NOW - 9 * HOUR, "passed": NOW - 20 * HOUR}, frozenset({"known"}))


@pytest.mark.parametrize(
    ("memory", "is_new", "in_order", "expected"),
    [
        (None, True, True, ["now", "untold"]),  # the first hunt: what was there before is past
        (MEMORY, False, True, ["now", "untold", "late"]),  # nobody has looked so deep yet
        (MEMORY, False, False, ["now", "untold", "late", "deep"]),  # a playlist was read whole before
        (SourceMemory(NOW, MEMORY.named, MEMORY.scheduled, ended=True), False, True, ["now", "untold", "late", "deep"]),
        (None, False, True, ["now", "untold", "late", "known", "passed", "deep"]),  # the memory is lost
    ],
)
def test_what_of_a_listing_is_looked_up(
    memory: SourceMemory | None, is_new: bool, in_order: bool, expected: list[str]
) -> None:
    assert wanted(LISTING, memory, WINDOW, is_new=is_new, in_order=in_order) == expected


def test_what_was_passed_over_is_taken_once_its_window_comes() -> None:
    memory = SourceMemory(NOW, {"now": LISTING["now"]}, frozenset())
    assert wanted({"now": LISTING["now"]}, memory, WINDOW, is_new=False, in_order=True) == ["now"]


@given(st.integers(0, 50), st.integers(0, 9))
def test_a_page_a_few_places_of_which_are_out_of_order_does_not_end_a_reading(newer: int, out_of_place: int) -> None:
    page = [Found("new", NOW)] * newer + [Found("old", NOW - 9 * HOUR)] * (50 - newer)
    page.insert(len(page) - out_of_place, Found("new", NOW))
    assert not reaches_back(page, NOW - HOUR, exactly=True)
    assert reaches_back(page, NOW - HOUR, exactly=False) is (newer + 10 <= 50 and out_of_place >= 10)


def test_an_empty_page_and_one_without_times_reach_nowhere() -> None:
    assert not reaches_back([], NOW, exactly=True)
    assert not reaches_back([Found("untold")], NOW, exactly=False)
    assert reaches_back([Found("old", NOW - HOUR)], NOW, exactly=True)


@given(st.integers(0, 23), st.integers(1, 200))
def test_searches_that_need_more_than_there_is_get_an_even_share(hour: int, calls: int) -> None:
    day = pacific_day(datetime(2026, 5, 1, 7, tzinfo=UTC) + hour * HOUR)  # midnight Pacific, and after
    allowed = search_allowance(100, calls, day)
    runs = 24 - hour
    if calls * (runs + 1) <= 100:
        assert allowed == 100
    else:
        assert allowed <= -(-100 // runs) or runs == 1


def test_a_day_of_runs_spends_what_a_day_has_and_no_more() -> None:
    left = 100
    for hour in range(24):
        spent = search_allowance(left, 1_000, pacific_day(datetime(2026, 5, 1, 7, tzinfo=UTC) + hour * HOUR))
        assert spent <= 6
        left -= spent
    assert left == 0


def test_what_a_source_names_now_is_remembered_first_and_no_more_than_can_be_listed() -> None:
    before = SourceMemory(NOW - HOUR, {str(n): None for n in range(MOST_IDS)}, frozenset({"0", "5"}))
    after = united(before, {"new": NOW, "5": NOW}, {"new"}, NOW)
    assert list(after.named)[:3] == ["new", "5", "0"]
    assert len(after.named) == MOST_IDS
    assert str(MOST_IDS - 1) not in after.named
    assert after.scheduled == {"new", "0", "5"}
    assert not after.says_the_same_as(before)
    assert after.says_the_same_as(united(after, {"5": NOW}, set(), NOW + HOUR))


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(BadInputError, match="has no time zone"):
        SourceMemory(NOW.replace(tzinfo=None))
