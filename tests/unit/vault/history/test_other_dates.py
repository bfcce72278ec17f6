"""Which dates a reader has to look for beside the history."""

import datetime as dt

from hypothesis import given
from hypothesis import strategies as st

from ghost_tracking.core.partitions import Period
from ghost_tracking.vault.history.days import CompactedDay
from ghost_tracking.vault.history.manifest import HistoryManifest

START = dt.datetime(2026, 1, 30, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)


@given(st.sets(st.integers(0, 60)), st.none() | st.integers(-5, 65), st.none() | st.integers(0, 40))
def test_spans_of_other_dates_have_every_date_that_is_not_compacted(
    held: set[int], first: int | None, length: int | None
) -> None:
    first_date = START.date()
    days = {(first_date + number * DAY).isoformat(): CompactedDay.of(first_date, {}) for number in held}
    manifest = HistoryManifest(days=days)
    start = None if first is None else START + first * DAY
    end = None if length is None else (start or START) + length * DAY
    spans = manifest.other_dates_between(start, end)
    assert len(spans) <= 4
    assert all(begins <= ends for begins, ends in spans)
    for number in range(-10, 80):
        date = first_date + number * DAY
        if number not in held and Period.day(date).meets(start, end):
            assert any(begins <= date <= ends for begins, ends in spans)
    gaps = sum(number + 1 not in held for number in held) - 1 if held else 0
    if gaps <= 2:  # and two ends
        assert not any(begins <= first_date + number * DAY <= ends for number in held for begins, ends in spans)
