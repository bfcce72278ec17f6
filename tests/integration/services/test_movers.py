"""Movers that runs prepare: the figures that a look at every point gives, and what they may lack is told."""

import random
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pandas as pd
import psycopg
import pytest

from ghost_tracking.core.absence import AvailabilityEvent
from ghost_tracking.core.gains import GRACE, WINDOWS, Interval
from ghost_tracking.core.points import MetricPoint
from ghost_tracking.core.schedule import WatchlistEntry, after_reading, interval_of
from ghost_tracking.core.tiers import Tier, next_slot
from ghost_tracking.core.videos import Reading
from ghost_tracking.hooks.vault import ParquetVaultHook
from ghost_tracking.hooks.watchlist import WatchlistHook
from ghost_tracking.services import movers
from ghost_tracking.services.movers import MoversPreparation, prepare
from ghost_tracking.vault.prepared import gains
from ghost_tracking.vault.prepared.figures import PreparedMovers

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
NOW = datetime(2026, 3, 5, 12, 30, tzinfo=UTC)


@pytest.fixture
def there(vault: ParquetVaultHook) -> ParquetVaultHook:
    vault.identity(create=True)
    return vault


def world(seed: int, videos: int = 24) -> dict[str, list[Reading]]:
    """Readings of videos of all ages at the slots of their tiers, some late or missed, some counts hidden or lower."""
    dice = random.Random(seed)
    found: dict[str, list[Reading]] = {}
    for number in range(videos):
        name = f"v{seed:03d}x{number:06d}0"
        born = NOW - dice.choice([DAY, 6 * DAY, 30 * DAY]) * dice.uniform(0.05, 1)
        speed, views = dice.lognormvariate(3, 2), 0.0
        readings, at = [], born + timedelta(minutes=20)
        while at < NOW:
            if at > NOW - 20 * DAY and dice.random() > 0.05:
                count = max(0, int(views) - dice.choice([0] * 9 + [50]))
                hidden = dice.random() < 0.03
                readings.append(Reading(name, at.replace(microsecond=0), None if hidden else count, 1, None, born))
            after = next_slot(born, at)[1] + timedelta(seconds=dice.randint(0, 400))
            views += speed * dice.uniform(0.2, 2) * ((after - at) / HOUR)
            at = after
        found[name] = readings
    return found


def truth(readings: dict[str, list[Reading]], length: timedelta) -> list[tuple[str, int]]:
    """The gain of every video by the definition, the fastest first."""
    begin, found = NOW - length, []
    for name, each in readings.items():
        counts = [(r.observed_at, r.views) for r in each if r.views is not None and r.observed_at <= NOW + GRACE]
        counts = [(at, views) for at, views in counts if at >= begin - length - GRACE]
        before = [pair for pair in counts if pair[0] <= begin]
        first = before[-1] if before else counts[0] if counts else None
        if first is None or counts[-1][0] <= begin or first[0] >= counts[-1][0]:
            continue
        gain = (counts[-1][1] - first[1]) * (length / max(length, counts[-1][0] - first[0]))
        found += [(name, round(gain))] if gain > 0 else []
    return sorted(found, key=lambda pair: -pair[1])


def batches(readings: dict[str, list[Reading]], of_one: int) -> Iterator[list[tuple[WatchlistEntry, Reading]]]:
    """The readings as batches of a tracker: in time, each with the row that it had."""
    rows = {name: WatchlistEntry(name) for name in readings}
    together = sorted((each for some in readings.values() for each in some), key=lambda each: each.observed_at)
    for start in range(0, len(together), of_one):
        batch = []
        for reading in together[start : start + of_one]:
            batch.append((rows[reading.video_id], reading))
            rows[reading.video_id] = after_reading(rows[reading.video_id], reading)
        yield batch


def tracked(vault: ParquetVaultHook, readings: dict[str, list[Reading]], of_one: int = 150) -> None:
    """What a tracker leaves in the vault that has read them."""
    for batch in batches(readings, of_one):
        vault.stage([reading.point for _, reading in batch])
        vault.prepared.stage_gains([each for row, reading in batch if (each := interval_of(row, reading)) is not None])
    vault.publish()
    assert vault.prepared.publish_gains(NOW).problems == ()


def gained(found: PreparedMovers) -> list[tuple[str, int]]:
    return [(each.video_id, each.gain) for each in found.movers]


def prepared(watchlist: WatchlistHook, vault: ParquetVaultHook, now: datetime = NOW) -> dict[str, PreparedMovers]:
    report = MoversPreparation(watchlist, vault, now).prepare_due()
    assert report.problems == []
    return {window: vault.prepared.movers(window) for window in WINDOWS}


def assert_same(found: Sequence[tuple[str, int]], wanted: Sequence[tuple[str, int]]) -> None:
    """The same gains; videos with the same gain may change places."""
    assert [gain for _, gain in found] == [gain for _, gain in wanted[: len(found)]]
    assert set(found) <= set(wanted)


@pytest.mark.parametrize("seed", range(2))
def test_movers_are_what_a_look_at_every_point_gives(
    watchlist: WatchlistHook, there: ParquetVaultHook, seed: int
) -> None:
    readings = world(seed)
    tracked(there, readings)
    there.prepared._writing.complete_since(NOW - 8 * DAY)
    for window, found in prepared(watchlist, there).items():
        wanted = truth(readings, WINDOWS[window])
        assert len(found.movers) == min(len(wanted), 50)
        assert_same(gained(found), wanted)
        assert (found.as_of, found.since) == (NOW, None)
        assert found.at_most is not None


@pytest.mark.parametrize("seed", range(4, 6))
def test_what_is_missing_gained_no_more_than_is_told(
    watchlist: WatchlistHook, there: ParquetVaultHook, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    monkeypatch.setattr(gains, "MOST_STAGED", 3)
    monkeypatch.setattr(gains, "MOST_KEPT", 6)
    monkeypatch.setattr(movers, "CANDIDATES", 8)
    readings = world(seed)
    tracked(there, readings)
    there.prepared._writing.complete_since(NOW - 8 * DAY)
    missing = 0
    for window, found in prepared(watchlist, there).items():
        wanted = dict(truth(readings, WINDOWS[window]))
        shown = dict(gained(found))
        assert shown.items() <= wanted.items()  # each figure is exact all the same
        assert found.at_most is not None
        assert all(gain <= found.at_most for name, gain in wanted.items() if name not in shown)
        missing += len(wanted) - len(shown)
    assert missing


@pytest.mark.parametrize("compacts", [False, True])
def test_a_vault_from_before_gets_its_gains_from_its_points(
    watchlist: WatchlistHook, there: ParquetVaultHook, compacts: bool
) -> None:
    readings = world(9)
    there.stage([each.point for some in readings.values() for each in some])
    there.publish()
    if compacts:
        assert there.seal(NOW).complete
        there.compact(NOW)
        there.stage([MetricPoint("late", NOW - 3 * DAY, 5, None, None, None)])  # into a compacted day
        there.publish()
    assert there.prepared.gains_begin_late(NOW)
    told: list[int] = []
    points = there.prepared.rebuild_gains(NOW, told.append)
    assert told[-1] == points > 0
    assert not there.prepared.gains_begin_late(NOW)
    for window, found in prepared(watchlist, there).items():
        assert_same(gained(found), truth(readings, WINDOWS[window]))
        assert (found.since, found.at_most) == (None, 0)


def test_what_was_made_of_points_is_what_batches_would_have_staged(there: ParquetVaultHook, tmp_path: Any) -> None:
    readings = world(10)
    visible = {name: [each for each in some if each.views is not None] for name, some in readings.items()}
    tracked(there, visible)
    there.prepared._writing.complete_since(NOW - 8 * DAY)
    before = {window: there.prepared.gains(window, NOW) for window in WINDOWS.values()}
    there.prepared.rebuild_gains(NOW)  # over what is there: nothing counts twice
    other = ParquetVaultHook(root=tmp_path / "other")
    other.identity(create=True)
    other.stage([each.point for some in visible.values() for each in some])
    other.publish()
    other.prepared.rebuild_gains(NOW)
    for window, wanted in before.items():
        for found in (there.prepared.gains(window, NOW), other.prepared.gains(window, NOW)):
            sums = dict(zip(found.ids.to_pylist(), found.sums.tolist(), strict=True))
            assert sums == pytest.approx(dict(zip(wanted.ids.to_pylist(), wanted.sums.tolist(), strict=True)))


def test_hours_that_have_not_ended_keep_their_gains_when_those_before_are_made_again(there: ParquetVaultHook) -> None:
    tracked(there, world(10))
    later = NOW + HOUR
    there.prepared.stage_gains([Interval("later", NOW, later, 10, 30), Interval("other", NOW, later, 10, 20)])
    there.prepared.publish_gains(later)
    before = there.prepared.gains(HOUR, later)
    assert before.readings >= 2
    there.prepared.rebuild_gains(NOW)  # whose points are read for a while
    found = there.prepared.gains(HOUR, later)
    assert (found.readings, found.ids.to_pylist()) == (before.readings, before.ids.to_pylist())
    there.prepared.rebuild_gains(later)  # their own hour has not ended
    assert there.prepared.gains(HOUR, later).readings == before.readings
    there.prepared.rebuild_gains(later + HOUR)
    assert there.prepared.gains(HOUR, later).readings == before.readings - 2  # no point tells of them


# What is prepared again, and what is kept


def archived(vault: ParquetVaultHook, names: Sequence[str], **row: Any) -> None:
    vault.archive_videos([{"video_id": name, "discovered_at": NOW - DAY, **row} for name in names])


def test_a_day_is_prepared_once_an_hour_and_an_hour_by_every_run(
    watchlist: WatchlistHook, there: ParquetVaultHook
) -> None:
    tracked(there, world(1))
    prepared(watchlist, there)
    for later, of_day in ((5, NOW), (59, NOW), (60, NOW + HOUR), (65, NOW + HOUR)):
        now = NOW + timedelta(minutes=later)
        found = prepared(watchlist, there, now)
        assert (found["hour"].as_of, found["day"].as_of, found["week"].as_of) == (now, of_day, of_day)
    back = prepared(watchlist, there, NOW)  # a clock that went back
    assert {each.as_of for each in back.values()} == {NOW}


def test_titles_and_comparisons_are_looked_for_once(
    watchlist: WatchlistHook, there: ParquetVaultHook, monkeypatch: pytest.MonkeyPatch
) -> None:
    readings = world(2, 12)
    tracked(there, readings)
    archived(there, list(readings)[:6], title="A title", channel_id="UC1")
    asked: list[Any] = []
    titles = type(there.stats).titles
    monkeypatch.setattr(type(there.stats), "titles", lambda self, ids: (asked.append(set(ids)), titles(self, ids))[1])
    first = prepared(watchlist, there)
    looked_for = set().union(*asked)
    assert looked_for == {each.video_id for found in first.values() for each in found.movers}
    titled = {each.video_id for each in first["week"].movers if each.title == "A title"}
    assert titled == set(list(readings)[:6]) & {each.video_id for each in first["week"].movers}
    asked.clear()
    again = prepared(watchlist, there, NOW + timedelta(minutes=5))
    assert [set(ids) for ids in asked if ids] == []
    titles_of = {each.video_id: each.title for found in first.values() for each in found.movers}
    assert again["hour"].movers
    assert {each.video_id: each.title for each in again["hour"].movers}.items() <= titles_of.items()
    assert "A title" in {each.title for each in again["hour"].movers}
    prepared(watchlist, there, NOW + 7 * HOUR)  # those without a title may have one by now
    assert set().union(*asked) <= looked_for - titled


def test_only_some_movers_are_compared_in_a_run_and_the_others_in_the_next(
    watchlist: WatchlistHook, there: ParquetVaultHook
) -> None:
    readings = world(3, 40)
    tracked(there, readings)
    archived(there, list(readings), channel_id="UC1", published_at=NOW - 20 * DAY)
    hurried = MoversPreparation(watchlist, there, NOW, dict.fromkeys(WINDOWS, 0.0))
    before = PreparedMovers()
    looked_at = []
    for _ in range(5):
        before = hurried.movers("week", before)
        looked_at.append(sum(each.channel is not None for each in before.movers))
    assert looked_at[:2] == [10, 20]
    assert looked_at[-1] == min(len(before.movers), movers.COMPARED)
    assert any(each.comparison is not None for each in before.movers), before


def test_what_fails_leaves_what_was_prepared_and_is_told(
    watchlist: WatchlistHook, there: ParquetVaultHook, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracked(there, world(1))
    before = prepared(watchlist, there)

    def broken(*_: Any) -> None:
        raise OSError(5, "no disk")

    with monkeypatch.context() as patch:
        patch.setattr(ParquetVaultHook, "read_table", broken)
        report = MoversPreparation(watchlist, there, NOW + 2 * HOUR).prepare_due()
    assert report.prepared == ["movers of the hour", "who came back or vanished"]  # in this hour nothing was read
    assert len(report.problems) == 2
    assert all(there.prepared.movers(window) == before[window] for window in ("day", "week"))


def test_broken_figures_are_made_again(watchlist: WatchlistHook, there: ParquetVaultHook) -> None:
    tracked(there, world(1))
    before = prepared(watchlist, there)
    for key in ("prepared/movers-day.json", "prepared/changes.json"):
        there._storage.put(key, b'{"movers": 1}')
    assert gained(prepared(watchlist, there)["day"]) == gained(before["day"])
    assert there.prepared.changes().as_of == NOW


def test_who_vanished_is_told_with_the_last_count_and_events_are_published(
    watchlist: WatchlistHook, there: ParquetVaultHook, sql: psycopg.Connection
) -> None:
    there.append_metrics([{"video_id": "old", "timestamp": NOW - 3 * DAY, "views": 77}])
    there.stage_availability([AvailabilityEvent("old", NOW - 2 * DAY, NOW - DAY)])
    prepared(watchlist, there)
    (event,) = there.prepared.changes().vanished
    assert (event.video_id, event.state, event.views) == ("old", "gone", 77)
    assert there.health_check()["staged_availability"] == 0
    there.stage_availability([AvailabilityEvent("old", NOW - 2 * DAY, NOW - DAY, NOW - HOUR)])
    prepared(watchlist, there, NOW + timedelta(minutes=5))
    assert len(there.prepared.changes().vanished) == 1
    prepared(watchlist, there, NOW + HOUR)
    assert [each.state for each in there.prepared.changes().vanished] == ["returned", "gone"]


def test_a_count_that_was_not_known_is_looked_up_again(watchlist: WatchlistHook, there: ParquetVaultHook) -> None:
    there.stage_availability([AvailabilityEvent("old", NOW - 2 * DAY, NOW - DAY)])
    prepared(watchlist, there)
    assert [each.views for each in there.prepared.changes().vanished] == [None]
    there.append_metrics([{"video_id": "old", "timestamp": NOW - 3 * DAY, "views": 77}])  # was still staged
    prepared(watchlist, there, NOW + HOUR)
    assert [each.views for each in there.prepared.changes().vanished] == [77]


def test_broken_events_are_told_of_and_stop_no_other(watchlist: WatchlistHook, there: ParquetVaultHook) -> None:
    there._storage.put("_staging/availability/20260101T000000000000-0123456789ab.part", b"broken")
    there.stage_availability([AvailabilityEvent("old", NOW - 2 * DAY, NOW - DAY)])
    report = MoversPreparation(watchlist, there, NOW).prepare_due()
    (problem,), (aside,) = report.problems, report.quarantined
    assert problem.endswith(f"it was set aside as {aside}")
    assert there._storage.read(aside).data == b"broken"
    assert "who came back or vanished" in report.prepared
    assert [each.video_id for each in there.prepared.changes().vanished] == ["old"]
    assert report.as_dict() == {"prepared": report.prepared, "problems": [problem]}
    again = MoversPreparation(watchlist, there, NOW + HOUR).prepare_due()
    assert (again.problems, again.quarantined) == ([], [])


def test_a_run_prepares_all_of_it_and_fails_nothing(watchlist: WatchlistHook, there: ParquetVaultHook) -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    there.append_metrics(
        pd.DataFrame({"video_id": "a", "timestamp": [now - HOUR, now - timedelta(minutes=1)], "views": [1, 900]})
    )
    watchlist.entries.add(WatchlistEntry("a", Tier.HOURLY, promoted_until=now + DAY))
    report = prepare(watchlist, there)
    assert report.as_dict() == {
        "prepared": ["movers of the hour", "movers of the day", "movers of the week", "who came back or vanished"],
        "problems": [],
    }
    assert [each.gain for each in there.prepared.movers("day").movers] == [899]
    assert [each.video_id for each in there.prepared.changes().promoted] == ["a"]
