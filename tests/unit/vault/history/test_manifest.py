"""The manifest of the history: what it answers, and that it answers from indexes."""

import datetime as dt
import json
import random
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ghost_tracking.core.partitions import Partition, Period
from ghost_tracking.vault.history.days import CompactedDay, HourFile
from ghost_tracking.vault.history.manifest import HistoryFile, HistoryManifest
from ghost_tracking.vault.kit.digests import NO_DIGEST, digest_of
from ghost_tracking.vault.points.tables import Checksum

FIRST = dt.date(2025, 11, 28)
DAY = dt.timedelta(days=1)
HOUR = dt.timedelta(hours=1)


def file_of(period: Period, number: int = 0) -> HistoryFile:
    return HistoryFile(
        path=f"history/{period.path}/20260101T000000-0123456789ab-{number:03d}.parquet",
        period=period.name,
        points=1,
        bytes=1,
        first="ace"[number],
        last="bdf"[number],
    )


def manifest_of(dates: Iterable[dt.date], months: Iterable[dt.date], stale: Iterable[Partition]) -> HistoryManifest:
    """Days of 3 hours with points each; those of `months` are in the files of their month, if any of it is there."""
    days = {date: {Partition(date, hour): Checksum(hour + 1, date.day) for hour in (3, 4, 23)} for date in dates}
    whole = {Period.month(month) for month in months} & {Period.month(date) for date in days}
    periods = whole | {Period.day(date) for date in days if Period.month(date) not in whole}
    return HistoryManifest(
        files=tuple(
            file_of(period, number) for period in sorted(periods, key=lambda each: each.name) for number in (0, 1)
        ),
        days={date.isoformat(): CompactedDay.of(date, hours) for date, hours in sorted(days.items())},
        stale=tuple(hour.path for hour in stale),
    )


dates = st.integers(0, 70).map(lambda days: FIRST + days * DAY)
partitions = st.builds(Partition, dates, st.integers(0, 23))
manifests = st.builds(
    manifest_of, st.sets(dates, max_size=30), st.lists(dates, max_size=2), st.lists(partitions, max_size=6)
)
moments = st.none() | st.integers(-30, 71 * 24).map(
    lambda hours: dt.datetime.combine(FIRST, dt.time(0, 30 * (hours % 2)), dt.UTC) + hours * HOUR
)


@given(manifests, dates, partitions)
def test_lookups_are_what_a_look_at_every_file_tells(made: HistoryManifest, date: dt.date, hour: Partition) -> None:
    own = {Period.parse(each.period) for each in made.files}
    periods = sorted(each for each in own if each.is_month or Period.month(each.first) not in own)
    assert list(made.periods) == periods
    assert made.period_of(date) == next((each for each in periods if Period.day(date) in each), None)
    for period in (Period.day(date), Period.month(date)):
        assert list(made.files_of(period)) == [each for each in made.files if Period.parse(each.period) in period]
        assert list(made.stale_hours(period)) == sorted(
            {stale for stale in map(Partition.parse, made.stale) if stale in period}
        )
    covering = [each for period in periods if Period.day(date) in period for each in made.files_of(period)]
    assert list(made.files_of_date(date)) == covering
    assert made.is_stale(hour) == (hour.path in made.stale)
    assert made.holds(date) == (date.isoformat() in made.days)


@given(manifests, moments, moments)
def test_spans_are_what_meets_them(made: HistoryManifest, start: dt.datetime | None, end: dt.datetime | None) -> None:
    if start is not None and end is not None and end < start:
        start, end = end, start
    assert list(made.periods_between(start, end)) == [each for each in made.periods if each.meets(start, end)]
    assert list(made.dates_between(start, end)) == [each for each in made.dates if Period.day(each).meets(start, end)]
    every = {hour: each for period in made.periods for hour, each in made.checksums(period).items()}
    assert dict(made.hours_between(start, end)) == {
        hour: each.rows for hour, each in every.items() if hour.meets(start, end)
    }
    if end is not None:
        assert made.last_hour(end) == max((hour for hour in every if hour.starts_at <= end), default=None)


def test_what_is_made_of_a_manifest_has_indexes_of_its_own() -> None:
    month = Period.month(FIRST)
    before = manifest_of([FIRST, FIRST + DAY], [], [])
    hour = Partition(FIRST, 3)
    assert (len(before.periods), before.is_stale(hour), len(before.files_of(month))) == (2, False, 4)
    after = before.with_stale([hour])
    assert after.is_stale(hour)
    assert not before.is_stale(hour)
    compacted = after.with_period(month, [file_of(month)], before.checksums(month), [hour])
    assert (list(compacted.periods), compacted.files_of(month)) == ([month], [file_of(month)])
    assert compacted.files_of_date(FIRST + DAY) == [file_of(month)]
    assert not compacted.is_stale(hour)
    assert compacted.checksums(month) == before.checksums(month)


def test_files_of_hours_are_kept_until_their_hours_are_compacted_again() -> None:
    month, hour, other = Period.month(FIRST), Partition(FIRST, 3), Partition(FIRST, 4)
    files = {hour: HourFile(100, digest_of(b"x")), other: HourFile(2**40, digest_of(b"y"))}
    empty = manifest_of([], [], [])
    day = Period.day(FIRST)
    checksums = {hour: Checksum(1, 1), other: Checksum(2, 2)}
    made = empty.with_period(day, [file_of(day)], checksums, [], files).with_compacted_only([other])
    assert (made.file_of(hour), made.file_of(other), made.file_of(Partition(FIRST, 5))) == (*files.values(), None)
    assert made.file_of(Partition(FIRST + DAY, 3)) is None
    # a month of days: nothing is read of metrics/, and nothing forgotten
    compacted = made.with_period(month, [file_of(month)], checksums, [])
    assert compacted.file_of(hour) == files[hour]
    assert compacted.is_compacted_only(other)
    # an hour that came late has a new file, and a repaired one none that is known
    newer = HourFile(200, digest_of(b"z"))
    again = compacted.with_period(month, [file_of(month)], checksums, [], {hour: newer, other: None})
    assert (again.file_of(hour), again.file_of(other)) == (newer, None)
    assert again.days[FIRST.isoformat()].bytes[4] == 0
    assert HistoryManifest.model_validate_json(again.encoded()) == again


def test_digests_of_a_day_are_read_as_a_list_too() -> None:
    day = CompactedDay.of(FIRST, {Partition(FIRST, 3): Checksum(5, 255)})
    content: dict[str, Any] = json.loads(day.model_dump_json(exclude_defaults=True))
    assert set(content) == {"rows", "hash"}
    content["hash"] = ["00000000000000ff" if hour == 3 else "" for hour in range(24)]
    assert CompactedDay.model_validate_json(json.dumps(content)) == day
    assert day.checksum(3) == Checksum(5, 255)
    assert day.checksum(4) == Checksum(0, 0)
    assert day.file_hash == NO_DIGEST * 24
    for damaged in (["0" * 17] * 24, ["0" * 16] * 23, "0" * 383, None, [None] * 24):
        with pytest.raises(ValueError, match="validation error"):
            CompactedDay.model_validate_json(json.dumps(content | {"hash": damaged}))


def test_a_lookup_goes_through_no_other_days(monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted in days that are looked at: as many in a year as in a month."""
    dice = random.Random(3)
    looked = 0
    original = CompactedDay.checksum

    def counted(day: CompactedDay, hour: int) -> Checksum:
        nonlocal looked
        looked += 1
        return original(day, hour)

    monkeypatch.setattr(CompactedDay, "checksum", counted)
    found = set()
    for length in (30, 365):
        made = manifest_of([FIRST + number * DAY for number in range(length)], [], [])
        date = FIRST + dice.randrange(20, 30) * DAY
        looked = 0
        made.checksum(Partition(date, 3))
        made.is_whole(Partition(date, 3), 1)
        assert made.files_of_date(date)
        assert len(dict(made.hours_between(*(moment(date, hour) for hour in (3, 5))))) == 2
        found.add(looked)
    assert found == {2}


def moment(date: dt.date, hour: int) -> dt.datetime:
    return dt.datetime.combine(date, dt.time(hour), dt.UTC)
