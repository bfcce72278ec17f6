"""What becomes of a row after its batch was asked for, and when missing is gone."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ghost_tracking.core.absence import GONE_INTERVAL, Absence
from ghost_tracking.core.schedule import WatchlistEntry, after_miss, after_reading, apply_results, entry_of_discovery
from ghost_tracking.core.tiers import Tier
from ghost_tracking.core.videos import Reading

BORN = datetime(2026, 1, 1, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def reading(age: timedelta, video_id: str = "v", **more: object) -> Reading:
    fields = {"views": 1, "likes": None, "comments": None, "published_at": BORN} | more
    return Reading(video_id=video_id, observed_at=BORN + age, **fields)


def test_the_reading_of_the_discovery_stands_for_slots_that_have_passed() -> None:
    entry = entry_of_discovery(reading(2.5 * HOUR))
    assert (entry.tracking_tier, entry.last_tracked_at) == (Tier.HOURLY, BORN + 2.5 * HOUR)
    assert (entry.next_track_at, entry.anchor_at) == (BORN + 3 * HOUR, BORN)


def test_a_video_that_fell_behind_goes_on_at_its_next_future_slot() -> None:
    entry = WatchlistEntry("v", next_track_at=BORN + HOUR, anchor_at=BORN)
    assert after_reading(entry, reading(5.2 * HOUR)).next_track_at == BORN + 6 * HOUR


def test_a_slow_clock_serves_no_slot_twice() -> None:
    entry = WatchlistEntry("v", next_track_at=BORN + 3 * HOUR, anchor_at=BORN)
    after = after_reading(entry, reading(3 * HOUR - timedelta(seconds=2)))
    assert after.next_track_at == BORN + 4 * HOUR


def test_without_any_publish_time_the_schedule_goes_by_when_it_was_added() -> None:
    entry = WatchlistEntry("v", next_track_at=BORN, created_at=BORN)
    after = after_reading(entry, reading(2 * DAY + HOUR, published_at=None))
    assert (after.tracking_tier, after.next_track_at, after.anchor_at) == (Tier.DAILY, BORN + 3 * DAY, None)


def test_a_known_anchor_is_kept() -> None:
    entry = WatchlistEntry("v", next_track_at=BORN + HOUR, anchor_at=BORN)
    assert after_reading(entry, reading(HOUR, published_at=BORN + 30 * DAY)).anchor_at == BORN


def test_a_premiere_is_anchored_to_its_actual_start() -> None:
    upcoming = entry_of_discovery(reading(HOUR, starts_at=BORN + 50 * HOUR, awaits_start=True))
    assert upcoming.awaits_start
    assert upcoming.next_track_at == BORN + 25 * HOUR  # looked at within a day: its start may be moved
    started = after_reading(upcoming, reading(52 * HOUR, starts_at=BORN + 51.5 * HOUR))
    assert not started.awaits_start
    assert (started.anchor_at, started.next_track_at) == (BORN + 51.5 * HOUR, BORN + 52.5 * HOUR)
    again = after_reading(started, reading(53 * HOUR))  # batchGetStats does not tell when it started
    assert again.anchor_at == BORN + 51.5 * HOUR


def test_an_anchor_in_the_future_keeps_no_video_waiting_for_ever() -> None:
    entry = WatchlistEntry("v", next_track_at=BORN, anchor_at=BORN + 3000 * DAY)
    assert after_reading(entry, reading(HOUR)).next_track_at == BORN + HOUR + 7 * DAY


def test_misses_that_do_not_count_wait_longer_as_well() -> None:
    entry, at, waits = WatchlistEntry("v", next_track_at=BORN, anchor_at=BORN), BORN, []
    for _ in range(4):
        entry = after_miss(entry, at, counted=False)
        waits.append(entry.next_track_at - at)
        at = entry.next_track_at
    assert waits == [HOUR, 6 * HOUR, 24 * HOUR, 24 * HOUR]


def test_missing_once_is_not_gone_and_three_times_over_a_day_is() -> None:
    entry = WatchlistEntry("v", last_tracked_at=BORN, next_track_at=BORN + HOUR, anchor_at=BORN)
    at, waits = BORN + HOUR, []
    for _ in range(4):
        entry = after_miss(entry, at, counted=True)
        waits.append(entry.next_track_at - at)
        at = entry.next_track_at
    assert waits == [HOUR, 6 * HOUR, DAY, 32 * HOUR]  # at last as long as it is old
    assert entry.is_gone
    assert entry.absence.first_missed_at == BORN + HOUR
    assert entry.last_tracked_at == BORN  # when it was last seen


def test_one_that_returns_is_tracked_as_if_nothing_had_been() -> None:
    gone = WatchlistEntry("v", anchor_at=BORN, next_track_at=BORN, absence=Absence(9, BORN, BORN + DAY))
    back = after_reading(gone, reading(30 * DAY))
    assert back.absence is None
    assert back.tracking_tier is Tier.WEEKLY


def entries(number: int, absence: Absence | None = None) -> dict[str, WatchlistEntry]:
    return {
        f"v{i}": WatchlistEntry(f"v{i}", next_track_at=BORN, anchor_at=BORN, absence=absence) for i in range(number)
    }


def test_a_fifth_missing_is_a_fault_and_counts_for_none() -> None:
    batch = entries(100)
    missing = list(batch)[:20]
    found = {video_id: reading(HOUR, video_id) for video_id in list(batch)[20:]}
    outcome = apply_results(batch, found, missing, [], BORN + HOUR)
    assert outcome.is_fault
    assert len(outcome.entries) == 100
    missed = [entry for entry in outcome.entries if entry.absence]
    assert [entry.absence.missed_count for entry in missed] == [0] * 20
    assert all(entry.next_track_at > BORN + HOUR for entry in outcome.entries)


def test_a_batch_of_videos_that_really_are_gone_is_no_fault_for_ever() -> None:
    batch, at = entries(50), BORN + 30 * DAY
    for _ in range(30):
        outcome = apply_results(batch, {}, list(batch), [], at)
        batch = {entry.video_id: entry for entry in outcome.entries}
        at = max(entry.next_track_at for entry in outcome.entries)
        if all(entry.is_gone for entry in batch.values()):
            break
    assert all(entry.is_gone for entry in batch.values())
    assert timedelta(days=1) <= at - GONE_INTERVAL - (BORN + 30 * DAY) <= timedelta(days=4)


@pytest.mark.parametrize(
    ("anchor", "wait"),
    [
        (BORN + 98 * DAY, 2 * DAY),
        (BORN + 100 * DAY - HOUR, DAY),
        (BORN + 120 * DAY, DAY),
        (BORN + 89 * DAY, 11 * DAY),
        (BORN, GONE_INTERVAL),
        (None, 5 * DAY),
    ],
)
def test_a_gone_video_is_looked_at_again_after_as_long_as_it_is_old(anchor: datetime | None, wait: timedelta) -> None:
    at = BORN + 100 * DAY
    gone = WatchlistEntry("v", anchor_at=anchor, absence=Absence(3, at - 5 * DAY, at - 3 * DAY))
    assert after_miss(gone, at, counted=True).next_track_at == at + wait


def test_a_miss_that_does_not_count_makes_nothing_gone() -> None:
    entry = WatchlistEntry("v", anchor_at=BORN, absence=Absence(3, BORN, None))
    assert not after_miss(entry, BORN + 2 * DAY, counted=False).is_gone
    assert after_miss(entry, BORN + 2 * DAY, counted=True).is_gone


def test_what_could_not_be_told_backs_off_and_what_failed_stays_due_behind_the_others() -> None:
    batch = entries(3, Absence(2, BORN, None))
    outcome = apply_results(batch, {}, [], [], BORN + 30 * HOUR, doubtful=["v0"], failed=["v1"])
    by_id = {entry.video_id: entry for entry in outcome.entries}
    assert by_id.keys() == {"v0", "v1"}
    assert by_id["v0"].absence == Absence(2, BORN, None)
    assert by_id["v0"].next_track_at == BORN + 54 * HOUR
    assert by_id["v1"] == replace(batch["v1"], deferred_until=BORN + 30 * HOUR + timedelta(minutes=4))
    assert not outcome.events


@given(st.lists(st.sampled_from("fmr"), max_size=60), st.integers(0, 400 * 24))
def test_every_answered_video_is_rescheduled_into_the_future(kinds: list[str], hours: int) -> None:
    batch, at = entries(len(kinds)), BORN + hours * HOUR
    by = {kind: [video_id for video_id, k in zip(batch, kinds, strict=True) if k == kind] for kind in "fmr"}
    found = {video_id: reading(hours * HOUR, video_id) for video_id in by["f"]}
    outcome = apply_results(batch, found, by["m"], by["r"], at)
    assert {entry.video_id for entry in outcome.entries} == set(batch)
    assert all(entry.next_track_at > at for entry in outcome.entries)
