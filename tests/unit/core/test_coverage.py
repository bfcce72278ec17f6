"""Which slot a reading serves and which were passed over: the rule against one that knows all slots of a video."""

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coverage_oracle import slots_of_points
from ghost_tracking.core.coverage import (
    OverdueSlots,
    SlotCounts,
    age_of_slot,
    count_chunk,
    count_first_readings,
    count_move,
    count_rows,
    pending_slot,
    slots_between,
)
from ghost_tracking.core.policies import EVERY_SLOT, Policy, ReadingPlan
from ghost_tracking.core.roster import (
    SETTLED_AFTER,
    Candidate,
    Chunk,
    apply_chunk_results,
    hour_of_week,
    plan_read,
    slot_at_or_after,
)
from ghost_tracking.core.schedule import (
    WatchlistEntry,
    after_miss,
    after_reading,
    after_refusal,
    deferred,
    entry_of_discovery,
    keeping_slot,
)
from ghost_tracking.core.tiers import Tier
from ghost_tracking.core.videos import Reading
from ghost_tracking.core.worth import ReadingRule, Sums
from ghost_tracking.page.curves import slots_by

BORN = datetime(2026, 1, 1, 0, 20, tzinfo=UTC)
SECOND, MINUTE, HOUR, DAY = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
WEEK = 7 * DAY

Slots = dict[tuple[datetime, Tier], tuple[int, int]]
"""Served and missed, by hour and tier."""


def reading(at: datetime, video_id: str = "v", published: datetime | None = BORN, **more: object) -> Reading:
    fields = {"views": 1, "likes": None, "comments": None, "published_at": published} | more
    return Reading(video_id=video_id, observed_at=at, **fields)


def slots(counts: SlotCounts) -> Slots:
    return {(row.hour, row.tier): (row.served, row.missed) for row in counts}


def counted(served: Iterable[tuple[Tier, datetime]], missed: Iterable[tuple[Tier, datetime]]) -> Slots:
    def hours(found: Iterable[tuple[Tier, datetime]]) -> Counter[tuple[datetime, Tier]]:
        return Counter((hour(tier, slot), tier) for tier, slot in found)

    with_, without = hours(served), hours(missed)
    return {key: (with_[key], without[key]) for key in with_ | without}


def hour(tier: Tier, slot: datetime) -> datetime:
    whole = slot.replace(minute=0, second=0, microsecond=0)
    return whole + HOUR if tier is Tier.WEEKLY and slot > whole else whole


def sums(counts: SlotCounts) -> tuple[int, int]:
    return sum(row.served for row in counts), sum(row.missed for row in counts)


def test_slots_are_numbered_as_the_schedule_has_them() -> None:
    ages = [slot - BORN for _, slot in slots_between(BORN, BORN, BORN + 90 * DAY)]
    assert ages == [age_of_slot(number) for number in range(1, len(ages) + 1)]
    seconds = np.array([age.total_seconds() for age in ages], dtype=np.int64)
    assert slots_by(seconds).tolist() == list(range(1, len(ages) + 1))
    assert slots_by(seconds - 1).tolist() == list(range(len(ages)))


@given(st.integers(0, 3599), st.integers(1, 60))
def test_a_move_and_the_chunk_after_it_count_each_slot_once(second: int, number: int) -> None:
    """A row that was due at a slot of any number goes to the chunk of its hour of the week."""
    anchor = BORN.replace(minute=0) + timedelta(seconds=second)
    due = anchor + age_of_slot(number)
    joins = slot_at_or_after(hour_of_week(anchor), due)
    lost = [anchor + age_of_slot(place) for place in range(number, 30)]
    assert slots(count_move(anchor, None, due, joins)) == counted([], ((tier_of(each - anchor), each) for each in lost))
    assert joins - max(due, anchor + WEEK) < HOUR


def tier_of(age: timedelta) -> Tier:
    return Tier.HOURLY if age <= DAY else Tier.DAILY


EVERY = list(slots_between(BORN, BORN, BORN + 900 * DAY))
EVERY_AT = [slot for _, slot in EVERY]
WAITS = st.lists(
    st.tuples(
        st.sampled_from(["read", "read", "read", "refused", "failed", "by hand", "fault", "slow clock"]),
        st.one_of(st.integers(0, 10), st.integers(0, 300), st.integers(0, 20_000)),
    ),
    max_size=40,
)


def happened(
    event: str,
    wait: timedelta,
    entry: WatchlistEntry,
    present: datetime,
    plan: ReadingPlan = EVERY_SLOT,
    views: int = 1,
) -> tuple[datetime, WatchlistEntry]:
    """When a row met this event, and what became of it."""
    assert entry.next_track_at is not None
    at = max(entry.next_track_at, present) + wait
    early = entry.next_track_at - 3 * SECOND
    if event == "by hand":
        at = present + wait / 10 + SECOND
        return at, keeping_slot(entry, after_reading(entry, reading(at, views=views), plan), at)
    if event == "slow clock" and entry.absence is None and early > present:
        return early, after_reading(entry, reading(early, views=views), plan)
    becomes = {
        "refused": after_refusal,
        "failed": deferred,
        "fault": lambda row, moment: after_miss(row, moment, counted=False),
    }
    return at, becomes.get(event, lambda row, moment: after_reading(row, reading(moment, views=views), plan))(entry, at)


@given(WAITS, st.integers(0, 30 * 24 * 60))
def test_each_slot_since_the_discovery_is_served_or_missed_once(events: list[tuple[str, int]], found: int) -> None:
    """The rule knows two rows at a time; here a video's whole story is known."""
    entry = entry_of_discovery(reading(BORN + found * MINUTE))
    counts = count_first_readings([entry])
    every = EVERY
    first = settled = bisect_right(EVERY_AT, BORN + found * MINUTE)
    served, present = every[max(first - 1, 0) : first], BORN + found * MINUTE
    for event, minutes in events:
        assert entry.next_track_at is not None
        due = entry.next_track_at
        at, after = happened(event, minutes * MINUTE, entry, present)
        is_read = after.last_tracked_at != entry.last_tracked_at
        behind = at if entry.absence else max(at, due)
        if event == "by hand" and at < due and entry.absence is None:
            behind = due - SECOND
        number = bisect_right(EVERY_AT, behind)
        if is_read and number > settled:
            served.append(every[number - 1])
        # a refusal after a miss that did not count is like it: what comes after it decides
        if is_read or (event == "refused" and entry.absence is None):
            settled = max(settled, number)
        elif event == "fault" and entry.absence is None:
            settled = max(settled, number - 1)
        counts.add(count_rows([(entry, after)]))
        entry, present = after, at
    missed = [slot for slot in every[first:settled] if slot not in served]
    assert slots(counts) == counted(served, missed)


FIRST_WEEK = st.lists(
    st.tuples(
        st.sampled_from(["read", "read", "read", "read", "refused", "failed", "by hand", "fault", "slow clock"]),
        st.one_of(st.integers(0, 10), st.integers(0, 300), st.integers(0, 6_000)),
        st.sampled_from([0, 0, 1, 50, 10_000]),
        st.sampled_from([0.0, 0.0, 0.01, 0.9, 30.0]),
    ),
    max_size=60,
)


@pytest.mark.parametrize("policy", Policy)
@given(FIRST_WEEK, st.integers(0, 7 * 24 * 60), st.integers(0, 24 * 60), st.sampled_from([0.01, 0.3, 2.0, 100.0]))
def test_whatever_the_policy_each_slot_until_the_roster_is_counted_once(
    policy: Policy, events: list[tuple[str, int, int, float]], found: int, later: int, rate: float
) -> None:
    """Read at its times, late or by hand, put off or with YouTube at fault, and then moved by the nightly janitor."""
    rule = ReadingRule(Sums(100, 80.0, 3.0), rate)
    entry = entry_of_discovery(reading(BORN + found * MINUTE))
    counts, readings, views = count_first_readings([entry]), 1, 1
    present, moved_at = BORN + found * MINUTE, BORN + SETTLED_AFTER + later * MINUTE
    for event, minutes, gained, cut in [*events, ("read", 0, 0, 0.0)]:
        plan, views = ReadingPlan(policy, rule, cut), views + gained
        at, after = happened(event, minutes * MINUTE, entry, present, plan, views)
        if at >= moved_at and (entry.absence is None or event != "read"):
            continue
        if event == "fault" and at > BORN + WEEK:  # a slot of the roster's may be asked for twice, that hour
            continue
        counts.add(count_rows([(entry, after)], plan))
        readings += after.last_tracked_at != entry.last_tracked_at
        entry, present = after, at
    if entry.absence is not None:  # who is missing is not moved
        return
    assert entry.next_track_at is not None
    now = max(moved_at, present + SECOND)
    candidate = Candidate("v", entry.next_track_at, anchor_at=BORN, last_tracked_at=entry.last_tracked_at).joining(now)
    joins = slot_at_or_after(hour_of_week(BORN), candidate.next_track_at)
    counts.add(count_move(BORN, entry.last_tracked_at, candidate.next_track_at, joins))
    first = max(bisect_right(EVERY_AT, BORN + found * MINUTE) - 1, 0)
    expected = Counter((hour(tier, slot), tier) for tier, slot in EVERY[first:] if slot <= joins - HOUR)
    assert {(row.hour, row.tier): row.served + row.missed + row.skipped for row in counts} == expected
    assert sum(row.served for row in counts) <= readings
    if policy is Policy.TIERS and all(cut == 0 for *_, cut in events):
        assert sum(row.skipped for row in counts) == 0


def test_slots_that_thrifty_leaves_out_are_skipped_when_it_does_so_and_those_that_it_lost_are_missed() -> None:
    plan = ReadingPlan(Policy.THRIFTY, ReadingRule(Sums(100, 80.0, 3.0), 20.0))
    before = WatchlistEntry("v", Tier.HOURLY, BORN + HOUR, BORN + 2 * HOUR, anchor_at=BORN, views=100, gain_per_hour=0)
    after = after_reading(before, reading(BORN + 2 * HOUR, views=100), plan)
    assert after.next_track_at is not None
    left_out = [each for each in EVERY if BORN + 2 * HOUR < each[1] < after.next_track_at]
    assert len(left_out) > 2
    done = count_rows([(before, after)], plan)
    assert slots(done) == counted([(Tier.HOURLY, BORN + 2 * HOUR)], []) | dict.fromkeys(
        ((hour(*each), each[0]) for each in left_out), (0, 0)
    )
    assert [(row.hour, row.skipped) for row in done][1:] == [(hour(*each), 1) for each in left_out]
    # what it had promised and did not hold is a hole
    number = EVERY_AT.index(after.next_track_at)
    late = after_reading(after, reading(EVERY_AT[number + 2] + MINUTE, views=10**6), plan)
    lost = count_rows([(after, late)], plan)
    assert [(row.hour, row.missed) for row in lost if row.missed] == [
        (hour(*EVERY[place]), 1) for place in (number, number + 1)
    ]
    assert [(row.hour, row.served) for row in lost if row.served] == [(hour(*EVERY[number + 2]), 1)]


def test_a_video_that_somebody_named_is_promised_its_slots_from_then_on() -> None:
    named = WatchlistEntry("v", next_track_at=BORN + 10.5 * HOUR, created_at=BORN + 10.5 * HOUR)
    soon = after_reading(named, reading(BORN + 10.6 * HOUR))
    assert slots(count_rows([(named, soon)])) == counted([(Tier.HOURLY, BORN + 10 * HOUR)], [])
    late = after_reading(named, reading(BORN + 13.1 * HOUR))
    missed = [(Tier.HOURLY, BORN + hours * HOUR) for hours in (11, 12)]
    assert slots(count_rows([(named, late)])) == counted([(Tier.HOURLY, BORN + 13 * HOUR)], missed)


def test_without_a_publish_time_no_slot_is_known() -> None:
    named = WatchlistEntry("v", next_track_at=BORN, created_at=BORN)
    assert sums(count_rows([(named, after_reading(named, reading(BORN + DAY, published=None)))])) == (0, 0)


def test_a_premiere_has_the_slots_of_its_start() -> None:
    start = BORN + 50 * HOUR
    found = entry_of_discovery(reading(BORN + HOUR, starts_at=start, awaits_start=True))
    looked = after_reading(found, reading(BORN + 25 * HOUR, starts_at=start - 5 * HOUR, awaits_start=True))
    assert sums(count_first_readings([found])) == sums(count_rows([(found, looked)])) == (0, 0)
    actual = start - 5 * HOUR + 4 * MINUTE
    at = actual + 3 * HOUR + MINUTE
    started = after_reading(looked, reading(at, starts_at=actual))
    missed = [(Tier.HOURLY, actual + hours * HOUR) for hours in (1, 2)]
    assert slots(count_rows([(looked, started)])) == counted([(Tier.HOURLY, actual + 3 * HOUR)], missed)
    again = after_reading(started, reading(at + HOUR))
    assert slots(count_rows([(started, again)])) == counted([(Tier.HOURLY, actual + 4 * HOUR)], [])


def test_a_start_that_turns_out_to_be_another_counts_from_it() -> None:
    """A broadcast's actual start came with a later answer."""
    entry = after_reading(WatchlistEntry("v"), reading(BORN + 5.2 * HOUR))
    moved = after_reading(entry, reading(BORN + 6.1 * HOUR, starts_at=BORN + 30 * MINUTE))
    assert slots(count_rows([(entry, moved)])) == counted([(Tier.HOURLY, BORN + 5.5 * HOUR)], [])


def test_a_video_that_is_missing_has_no_slots_until_it_is_back() -> None:
    entry = after_reading(WatchlistEntry("v"), reading(BORN + 2.1 * HOUR))
    missed = after_miss(entry, BORN + 5.1 * HOUR, counted=True)
    # asked at the slot at five hours, and not there; at three and four nobody had asked
    lost = [(Tier.HOURLY, BORN + hours * HOUR) for hours in (3, 4)]
    assert slots(count_rows([(entry, missed)])) == counted([], lost)
    again = after_miss(missed, BORN + 9.2 * HOUR, counted=True)
    assert sums(count_rows([(missed, again)])) == (0, 0)
    back = after_reading(again, reading(BORN + 15.2 * HOUR))
    assert slots(count_rows([(again, back)])) == counted([(Tier.HOURLY, BORN + 15 * HOUR)], [])


def test_youtubes_own_fault_is_a_hole() -> None:
    entry = after_reading(WatchlistEntry("v"), reading(BORN + 2.1 * HOUR))
    put_off = after_miss(entry, BORN + 3.1 * HOUR, counted=False)
    assert sums(count_rows([(entry, put_off)])) == (0, 0)
    read = after_reading(put_off, reading(BORN + 5.3 * HOUR))
    lost = [(Tier.HOURLY, BORN + hours * HOUR) for hours in (3, 4)]
    assert slots(count_rows([(put_off, read)])) == counted([(Tier.HOURLY, BORN + 5 * HOUR)], lost)


def test_a_promoted_video_has_daily_slots() -> None:
    until = BORN + 45 * DAY
    entry = after_reading(WatchlistEntry("v", promoted_until=until), reading(BORN + 40 * DAY + HOUR))
    late = after_reading(entry, reading(BORN + 43 * DAY + HOUR))
    missed = [(Tier.DAILY, BORN + days * DAY) for days in (41, 42)]
    assert slots(count_rows([(entry, late)])) == counted([(Tier.DAILY, BORN + 43 * DAY)], missed)
    after = after_reading(late, reading(BORN + 50 * DAY))
    lost = [(Tier.DAILY, BORN + days * DAY) for days in (44, 45)]
    assert slots(count_rows([(late, after)])) == counted([(Tier.WEEKLY, BORN + 49 * DAY)], lost)


# It agrees with what was counted from the readings before


@given(
    st.lists(st.tuples(st.integers(0, 9 * 24 * 60), st.lists(st.integers(0, 500), max_size=60)), min_size=1, max_size=5)
)
def test_it_agrees_with_what_the_points_tell(videos: list[tuple[int, list[int]]]) -> None:
    counts = SlotCounts()
    points: list[tuple[str, datetime, datetime]] = []
    for number, (found, waits) in enumerate(videos):
        published = BORN + number * 17 * MINUTE
        entry = entry_of_discovery(reading(published + found * MINUTE, published=published))
        counts.add(count_first_readings([entry]))
        points.append((str(number), published + found * MINUTE, published))
        for minutes in waits:
            assert entry.next_track_at is not None
            at = entry.next_track_at + minutes * MINUTE
            after = after_reading(entry, reading(at, published=published))
            counts.add(count_rows([(entry, after)]))
            points.append((str(number), at, published))
            entry = after
    assert slots(counts) == {key: both for key, both in slots_of_points(points).items() if any(both)}


# Chunks


def members(number: int) -> list[str]:
    return [f"v{place:04}" for place in range(number)]


def chunk_of(number: int, due: datetime) -> Chunk:
    return Chunk("c", 0, gone=False, ids=number, next_track_at=due)


THURSDAY = datetime(2026, 1, 1, tzinfo=UTC)
ANSWERS = st.sampled_from(["found", "found", "found", "found", "missing", "refused", "nothing"])


@given(st.data(), st.integers(1, 30))
def test_each_weekly_slot_of_a_chunk_is_served_missed_or_skipped_once(data: st.DataObject, number: int) -> None:
    """Read in pieces, late by weeks, with misses, refusals and faults; each id's slots are followed one by one.

    At each visit some are not worth a reading: they are never asked for, and never missed.
    """
    ids, chunk, counts = members(number), chunk_of(number, THURSDAY), SlotCounts()
    settled = dict.fromkeys(ids, 0)  # how many weekly slots of each are counted
    served: list[int] = []
    missed: list[int] = []
    skipped: list[int] = []
    at = THURSDAY
    for _ in range(data.draw(st.integers(1, 8))):
        at = max(at + MINUTE, chunk.next_track_at) + data.draw(st.integers(0, 30 * 24)) * HOUR
        left_out = data.draw(st.just(set()) | st.sets(st.integers(0, number - 1)))
        read = plan_read(chunk, ids, {}, data.draw(st.integers(0, number)), left_out=left_out)
        assert left_out.isdisjoint(read.positions)
        answers = {id_: data.draw(ANSWERS) for id_ in read.wanted}
        found = {id_: reading(at, id_) for id_, answer in answers.items() if answer == "found"}
        missing = {id_ for id_, answer in answers.items() if answer == "missing"}
        refused = {id_ for id_, answer in answers.items() if answer == "refused"}
        promoted = {
            id_: WatchlistEntry(id_, Tier.WEEKLY, promoted_until=at + DAY)
            for id_ in found
            if data.draw(st.integers(0, 9)) == 0
        }
        outcome = apply_chunk_results([read], found, missing, refused, promoted, at)
        (after,) = outcome.chunks
        counts.add(count_chunk(read, after, found, missing))
        left = {entry.video_id for entry in outcome.entries}
        slot = (max(at, pending_slot(chunk)) - THURSDAY) // WEEK + 1  # how many have passed
        is_fault = outcome.is_fault and bool(missing)
        completed = not is_fault and after.next_track_at > chunk.next_track_at
        stop = number if completed else 0 if is_fault else after.cursor
        for position, id_ in enumerate(ids):
            if id_ not in settled:
                continue
            if (position < stop and position in read.positions) or id_ in left:
                asked = id_ in found or id_ in missing or id_ in refused
                if id_ in left and not asked:  # its row has it now
                    del settled[id_]
                    continue
                missed += range(settled[id_], slot - 1)
                (served if id_ in found else missed if id_ in refused else []).append(slot - 1)
                settled[id_] = slot
            lost = skipped if position in left_out else missed
            if id_ in left:
                del settled[id_]
            elif position in left_out and chunk.cursor <= position < stop:
                skipped += range(settled[id_], slot)
                settled[id_] = slot
            elif position < chunk.cursor and after.last_tracked_at == at:
                lost += range(settled[id_], slot)
                settled[id_] = slot
            elif is_fault and chunk.outage_since is None and position >= chunk.cursor:
                lost += range(settled[id_], slot - 1)
                settled[id_] = max(settled[id_], slot - 1)
        chunk = after
    weekly = counted(
        [(Tier.WEEKLY, THURSDAY + place * WEEK) for place in served],
        [(Tier.WEEKLY, THURSDAY + place * WEEK) for place in missed],
    )
    left_out_of = Counter((hour(Tier.WEEKLY, THURSDAY + place * WEEK), Tier.WEEKLY) for place in skipped)
    assert {(row.hour, row.tier): row.skipped for row in counts if row.skipped} == left_out_of
    assert slots(counts) == dict.fromkeys(left_out_of, (0, 0)) | weekly


def test_what_is_gone_has_no_slots() -> None:
    chunk = replace(chunk_of(3, THURSDAY), gone=True)
    read = plan_read(chunk, members(3), {}, 3)
    found = {id_: reading(THURSDAY, id_) for id_ in members(3)}
    (after,) = apply_chunk_results([read], found, (), (), {}, THURSDAY).chunks
    assert sums(count_chunk(read, after, found, ())) == (0, 0)


def test_what_a_chunk_has_passed_over_counts_on_the_watchlist() -> None:
    """One call of many failed: its video left for a row that is due, and its slot is that of the chunk."""
    chunk = Chunk("c", 0, gone=False, ids=3, next_track_at=THURSDAY + WEEK, last_tracked_at=THURSDAY)
    at = THURSDAY + WEEK + 5 * MINUTE
    read = plan_read(chunk, members(3), {}, 3)
    found = {id_: reading(at, id_) for id_ in ("v0000", "v0002")}
    outcome = apply_chunk_results([read], found, (), (), {}, at)
    (after,), (row,) = outcome.chunks, outcome.entries
    assert row.video_id == "v0001"
    assert sums(count_chunk(read, after, found, ())) == (2, 0)
    published = THURSDAY - 5 * WEEK - 20 * MINUTE
    done = after_reading(row, reading(at + HOUR, "v0001", published=published))
    assert slots(count_rows([(row, done)])) == {(THURSDAY + WEEK, Tier.WEEKLY): (1, 0)}


# What nobody has served yet


@given(st.integers(0, 59), st.integers(1, 35), st.integers(0, 5))
def test_a_group_of_overdue_videos_tells_each_slot(minute: int, first: int, more: int) -> None:
    anchor = BORN.replace(minute=minute)
    every = list(slots_between(anchor, anchor, anchor + 100 * DAY))[first - 1 : first + more]
    begin = hour(Tier.WEEKLY if first > 30 else Tier.HOURLY, every[0][1])
    group = OverdueSlots(begin, None, first, first + more, on_the_hour=minute == 0 or first > 30, videos=1)
    assert list(group.slots()) == [(tier, hour(tier, slot)) for tier, slot in every]


def test_of_others_each_slot_lies_an_interval_after_the_one_before() -> None:
    group = OverdueSlots(THURSDAY, Tier.WEEKLY, 1, 3, on_the_hour=True, videos=5)
    assert list(group.slots()) == [(Tier.WEEKLY, THURSDAY + weeks * WEEK) for weeks in range(3)]
