"""What a rebuild makes of the newest points, and where it keeps ids."""

import string
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from ghost_tracking.core.roster import has_settled, hour_of_week, slot_at_or_after
from ghost_tracking.core.schedule import WatchlistEntry, after_reading
from ghost_tracking.core.tiers import Tier
from ghost_tracking.core.videos import Reading
from ghost_tracking.services.known_places import RangedIds, among, sorted_ids, split_ranges, texts_of
from ghost_tracking.services.rebuild import _Found

NOW = datetime(2026, 5, 20, 12, 34, 56, tzinfo=UTC)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
WEEK = timedelta(days=7)
IDS = st.text(string.ascii_letters + string.digits + "-_", min_size=1, max_size=20)


def found(points: list[tuple[str, datetime, datetime | None]]) -> _Found:
    times = pa.timestamp("us", "UTC")
    ids, observed, published = zip(*points, strict=True)
    columns = [pa.array(ids, pa.string()), pa.array(observed, times), pa.array(published, times)]
    return _Found.of(pa.record_batch(columns, ["video_id", "timestamp", "published_at"]), None)


@given(st.integers(0, 5 * 365 * 86_400), st.integers(0, 5 * 365 * 86_400))
def test_the_next_slots_are_those_of_the_schedule(age: int, before: int) -> None:
    observed = NOW.replace(microsecond=0) - timedelta(seconds=before)
    published = observed - timedelta(seconds=age)
    reading = Reading("v", observed, None, None, None, published)
    entry = after_reading(WatchlistEntry("v", Tier.DAILY), reading)
    one = found([("v", observed, published)])
    assert one.is_young(NOW).tolist() == [not has_settled(entry, NOW)]
    ((hour,), (due,)) = (numbers.tolist() for numbers in one.slots(NOW))
    assert hour == hour_of_week(published)
    assert entry.next_track_at is not None
    wanted = slot_at_or_after(hour, entry.next_track_at)
    # of the slots that have passed, the last one
    latest = slot_at_or_after(hour, NOW + timedelta(microseconds=1)) - WEEK
    assert EPOCH + timedelta(hours=due) == max(wanted, latest)


def test_where_no_publish_time_is_known_the_hour_of_the_reading_stands_for_the_slot() -> None:
    observed = datetime(2026, 5, 19, 9, 7, tzinfo=UTC)
    one = found([("v", observed, None)])
    assert one.is_young(NOW).tolist() == [False]
    ((hour,), (due,)) = (numbers.tolist() for numbers in one.slots(NOW))
    assert hour == hour_of_week(datetime(2026, 5, 19, 9, tzinfo=UTC))
    assert EPOCH + timedelta(hours=due) == datetime(2026, 5, 26, 9, tzinfo=UTC)


@given(st.lists(st.lists(IDS, max_size=30), max_size=5), st.lists(IDS, max_size=5, unique=True))
def test_ids_are_found_again_in_their_range(added: list[list[str]], borders: list[str]) -> None:
    firsts = ["", *sorted(borders)]
    kept = RangedIds(firsts)
    for ids in added:
        kept.add(ids)
        kept.of(0)
    every = {id_ for ids in added for id_ in ids}
    ends = [*firsts[1:], None]
    for place, (first, end) in enumerate(zip(firsts, ends, strict=True)):
        wanted = sorted(id_ for id_ in every if id_ >= first and (end is None or id_ < end))
        assert texts_of(kept.of(place)) == wanted
        if wanted:
            middle = wanted[len(wanted) // 2]
            assert texts_of(kept.of(place, middle)) == [id_ for id_ in wanted if id_ >= middle]
            assert texts_of(kept.of(place, "", middle)) == [id_ for id_ in wanted if id_ < middle]
    kept.close()


@given(st.lists(IDS, max_size=20), st.lists(IDS, max_size=20))
def test_which_ids_are_among_others(ids: list[str], others: list[str]) -> None:
    known = sorted_ids(others)
    assert among(np.array(ids, dtype="S20"), known).tolist() == [id_ in others for id_ in ids]


def test_a_single_range_is_split_by_first_characters() -> None:
    ranges = split_ranges([("", None)])
    assert len(ranges) == 64
    assert ranges[0] == ("", "0")
    assert ranges[-1] == ("z", None)
    assert [end for _, end in ranges[:-1]] == [first for first, _ in ranges[1:]]
    assert split_ranges([("", "m"), ("m", None)]) == [("", "m"), ("m", None)]
