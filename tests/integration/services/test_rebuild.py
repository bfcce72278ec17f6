"""A schedule that is rebuilt from the vault: nobody is lost, whatever was there before, and wherever it was stopped."""

import random
import string
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pyarrow as pa
import pytest

from ghost_tracking.core.absence import AvailabilityEvent
from ghost_tracking.core.let_go import Change, State
from ghost_tracking.core.points import MetricPoint
from ghost_tracking.core.roster import CHUNK_SIZE, hour_of_week
from ghost_tracking.core.schedule import WatchlistEntry
from ghost_tracking.core.sync import SyncToken
from ghost_tracking.core.tiers import next_slot
from ghost_tracking.errors import RosterMoveError
from ghost_tracking.hooks.vault import ParquetVaultHook
from ghost_tracking.hooks.watchlist import WatchlistHook
from ghost_tracking.services import known_places, rebuild, recovery
from ghost_tracking.services.recovery import ScheduleReconciler
from ghost_tracking.services.roster_moves import RosterMoves
from ghost_tracking.vault.roster_files import ChunkFiles

NOW = datetime(2026, 5, 20, 12, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
LETTERS = string.ascii_letters + string.digits + "-_"


@pytest.fixture
def vault(vault: ParquetVaultHook) -> ParquetVaultHook:
    vault.identity(create=True)
    vault.set_sync_token(SyncToken("another", NOW))
    return vault


@pytest.fixture
def in_ranges(monkeypatch: pytest.MonkeyPatch) -> None:
    """However few the ids are: a range for each first character."""
    monkeypatch.setattr(rebuild, "_SMALL", -1)


def new_ids(dice: random.Random, number: int) -> list[str]:
    return ["".join(dice.choices(LETTERS, k=10)) + dice.choice("AEIMQUYcgkosw048") for _ in range(number)]


def point(video_id: str, at: datetime, published: datetime | None) -> MetricPoint:
    return MetricPoint(video_id, at, 1, None, None, published)


def places(watchlist: WatchlistHook, vault: ParquetVaultHook, sql: psycopg.Connection) -> Counter[str]:
    """How often each video is on the schedule."""
    found = Counter(video_id for (video_id,) in sql.execute("SELECT video_id FROM watchlist"))
    for chunk in watchlist.roster.all():
        ids = vault.roster.read(chunk.name)
        found.update(id_ for place, id_ in enumerate(ids) if place not in chunk.removed_positions)
    return found


def reconcile(watchlist: WatchlistHook, vault: ParquetVaultHook) -> rebuild.RebuildReport:
    return ScheduleReconciler(watchlist, vault, NOW).reconcile()


class World:
    """Videos in a vault, some of which are on the schedule, in lists, or let go."""

    HOURS = (NOW - 70 * DAY, NOW - 9 * DAY, NOW - DAY)
    """When they were read: in a month that is compacted, in a day that is, and in hours that are not."""

    def __init__(self, watchlist: WatchlistHook, vault: ParquetVaultHook, seed: int) -> None:
        dice = random.Random(seed)
        self.seen = new_ids(dice, 300)
        points = list(self._points(dice))
        unread = {*self.seen} - {each.video_id for each in points}
        vault.stage([*points, *(point(id_, NOW - HOUR, NOW - 2 * HOUR) for id_ in unread)])
        vault.publish()
        vault.compact(NOW)
        self.listed = [*new_ids(dice, 20), *self.seen[:5]]
        vault.import_queue.submit(iter(f"{id_}\n" for id_ in self.listed), "list", None)
        vault.import_queue.mark_imported("list", len(self.listed))
        self.let_go = self.seen[20:30]
        watchlist.let_go.note([Change(id_, State.STOPPED, NOW) for id_ in self.let_go])
        entries = []
        for id_ in self.seen[30:130]:
            published = NOW - timedelta(hours=dice.randrange(24 * 60))
            tier, due = next_slot(published, NOW - HOUR)
            entries.append(WatchlistEntry(id_, tier, NOW - HOUR, due, anchor_at=published))
        watchlist.entries.add(entries)
        RosterMoves(watchlist, vault, NOW).move_settled()

    @property
    def population(self) -> set[str]:
        return {*self.seen, *self.listed} - set(self.let_go)

    def _points(self, dice: random.Random) -> Iterator[MetricPoint]:
        for id_ in self.seen:
            published = NOW - timedelta(minutes=dice.randrange(1, 60 * 24 * 100))
            kind = dice.random()
            for moment in [NOW - timedelta(minutes=1), *self.HOURS]:
                if moment > published and dice.random() < 0.5:
                    yield point(id_, moment, None if kind < 0.2 else published)


@pytest.mark.parametrize("seed", range(2))
def test_nobody_is_lost_and_nobody_is_twice(
    watchlist: WatchlistHook, vault: ParquetVaultHook, sql: psycopg.Connection, in_ranges: None, seed: int
) -> None:
    world = World(watchlist, vault, seed)
    before = places(watchlist, vault, sql)
    report = reconcile(watchlist, vault)
    assert places(watchlist, vault, sql) == dict.fromkeys(world.population, 1)
    assert report.restored == len(world.population) - len(before)
    assert report.compared == 300
    assert reconcile(watchlist, vault).restored == 0
    assert watchlist.vault_link.rebuild_progress() is None
    assert ScheduleReconciler(watchlist, vault, NOW).in_sync()


def test_only_what_was_seen_since_the_backup_is_looked_at(
    watchlist: WatchlistHook, vault: ParquetVaultHook, sql: psycopg.Connection
) -> None:
    """What somebody has deleted before stays deleted."""
    watchlist.vault_link.set_sync_token(SyncToken("old", NOW - 10 * DAY))
    vault.stage([point("before", NOW - 11 * DAY, NOW - 12 * DAY), point("since", NOW - 9 * DAY, NOW - 10 * DAY)])
    assert reconcile(watchlist, vault).restored == 1
    assert places(watchlist, vault, sql) == {"since": 1}


class StoppedError(Exception):
    """The process ends here."""


def stop_after(monkeypatch: pytest.MonkeyPatch, ranges: int) -> None:
    done = iter(range(ranges))
    note = rebuild.Rebuild._note

    def noting(self: rebuild.Rebuild, *arguments: Any) -> None:
        note(self, *arguments)
        if next(done, None) is None:
            raise StoppedError

    monkeypatch.setattr(rebuild.Rebuild, "_note", noting)


def counting(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str | None]]:
    """The ranges that are read."""
    asked: list[tuple[str, str | None]] = []
    read: Callable[..., Any] = ParquetVaultHook.read_latest_batches

    def reading(self: ParquetVaultHook, *, first: str, end: str | None, columns: list[str]) -> Iterator[pa.RecordBatch]:
        asked.append((first, end))
        return read(self, first=first, end=end, columns=columns)

    monkeypatch.setattr(ParquetVaultHook, "read_latest_batches", reading)
    return asked


def test_a_rebuild_that_was_stopped_goes_on_where_it_was(
    watchlist: WatchlistHook,
    vault: ParquetVaultHook,
    sql: psycopg.Connection,
    in_ranges: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World(watchlist, vault, 7)
    with monkeypatch.context() as patched:
        stop_after(patched, 19)
        with pytest.raises(StoppedError):
            reconcile(watchlist, vault)
    halfway = watchlist.vault_link.rebuild_progress()
    assert halfway is not None
    assert halfway.done_before == "J"
    assert 0 < halfway.restored < halfway.compared < 300
    assert not ScheduleReconciler(watchlist, vault, NOW).in_sync()
    # found since it began, among ids that it is through with, and lost with another backup
    vault.stage(
        [point("9999999999A", NOW - timedelta(minutes=5), NOW - HOUR), point("0ldbutthere", NOW - DAY, NOW - 9 * DAY)]
    )
    asked = counting(monkeypatch)
    report = reconcile(watchlist, vault)
    assert asked[0] == ("J", "K")
    assert len([each for each in asked if each[0] >= "J"]) == 44
    # and once more through the ids before, by what was seen since it began
    assert asked[44][0] == ""
    assert len(asked) == 64
    population = world.population | {"9999999999A"}
    assert places(watchlist, vault, sql) == dict.fromkeys(population, 1)
    assert report.compared >= 300
    assert watchlist.vault_link.rebuild_progress() is None


def test_what_a_rebuild_of_another_time_has_done_does_not_count(
    watchlist: WatchlistHook,
    vault: ParquetVaultHook,
    sql: psycopg.Connection,
    in_ranges: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World(watchlist, vault, 8)
    with monkeypatch.context() as patched:
        stop_after(patched, 30)
        with pytest.raises(StoppedError):
            reconcile(watchlist, vault)
    sql.execute("TRUNCATE watchlist, roster")
    vault.set_sync_token(SyncToken("a third", NOW))
    asked = counting(monkeypatch)
    reconcile(watchlist, vault)
    assert asked[0][0] == ""
    assert places(watchlist, vault, sql) == dict.fromkeys(world.population, 1)


def test_an_hour_that_cannot_be_written_stops_no_other_and_is_done_again(
    watchlist: WatchlistHook,
    vault: ParquetVaultHook,
    sql: psycopg.Connection,
    in_ranges: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World(watchlist, vault, 9)
    add = RosterMoves._add_unknown

    def failing(self: RosterMoves, hour_gone: tuple[int, bool], *arguments: Any) -> None:
        if hour_gone[0] % 10 == 3:
            raise OSError(5, "Input/output error")
        add(self, hour_gone, *arguments)

    with monkeypatch.context() as patched:
        patched.setattr(RosterMoves, "_add_unknown", failing)
        with pytest.raises(RosterMoveError, match="could not be repacked: OSError"):
            reconcile(watchlist, vault)
    assert len(places(watchlist, vault, sql)) > 200
    assert reconcile(watchlist, vault).restored > 0
    assert places(watchlist, vault, sql) == dict.fromkeys(world.population, 1)


def test_what_it_holds_and_reads_is_bounded(
    watchlist: WatchlistHook, vault: ParquetVaultHook, sql: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Settled videos are held up to a number, chunks are full, and none is read to add another."""
    monkeypatch.setattr(rebuild, "_MOST_SETTLED", 5_000)
    monkeypatch.setattr(known_places, "MOST_HELD", 100)
    dice = random.Random(5)
    published = NOW - 30 * DAY
    ids = new_ids(dice, 12_000)
    # last read in many different weeks
    vault.stage([point(id_, published + timedelta(days=dice.randrange(1, 30)), published) for id_ in ids])
    vault.publish()
    read, flushed = [], []
    chunk_of, by_hour = ChunkFiles.read, rebuild._by_hour
    monkeypatch.setattr(ChunkFiles, "read", lambda self, name: read.append(name) or chunk_of(self, name))
    monkeypatch.setattr(rebuild, "_by_hour", lambda *columns: flushed.append(len(columns[0])) or by_hour(*columns))
    assert reconcile(watchlist, vault).restored == 12_000
    assert max(flushed) <= 5_000 + 128 * 1024
    assert len(read) == len(set(read)) == len(watchlist.roster.all())
    assert {chunk.hour_of_week for chunk in watchlist.roster.all()} == {hour_of_week(published)}
    assert len(watchlist.roster.all()) <= 2 * (12_000 // CHUNK_SIZE + 1) + len(flushed)
    read.clear()
    assert reconcile(watchlist, vault).restored == 0
    assert len(read) == len(watchlist.roster.all())  # each once, however many ranges there are


def test_who_was_gone_is_among_the_gone_again(
    watchlist: WatchlistHook, vault: ParquetVaultHook, sql: psycopg.Connection
) -> None:
    """Else all of them would be asked for at once, and be rows of the watchlist for a day."""
    ids = new_ids(random.Random(2), 40)
    gone, returned, there = ids[:30], ids[30:35], ids[35:]
    published = NOW - 90 * DAY
    vault.stage([point(id_, NOW - 50 * DAY, published) for id_ in [*gone, *returned]])
    vault.stage([point(id_, NOW - 2 * DAY, published) for id_ in [*returned, *there]])
    vault.publish()
    for number, id_ in enumerate([*gone, *returned]):
        confirmed = NOW - 40 * DAY + number * DAY
        vault.stage_availability([AvailabilityEvent(id_, confirmed - DAY, confirmed)])
    vault.publish_availability()
    assert reconcile(watchlist, vault).restored == 40
    chunks = watchlist.roster.all()
    by_kind = {
        kind: sorted(id_ for chunk in chunks if chunk.gone == kind for id_ in vault.roster.read(chunk.name))
        for kind in (True, False)
    }
    assert by_kind == {True: sorted(gone), False: sorted([*returned, *there])}
    # looked for within four weeks, not all at once
    due = {chunk.next_track_at for chunk in chunks if chunk.gone}
    assert len(due) == 4
    assert NOW < min(due) < max(due) <= NOW + 28 * DAY
    assert reconcile(watchlist, vault).restored == 0


def test_the_janitor_tells_how_much_it_has_compared(
    watchlist: WatchlistHook, vault: ParquetVaultHook, caplog: pytest.LogCaptureFixture, in_ranges: None
) -> None:
    World(watchlist, vault, 3)
    caplog.set_level("INFO", logger="ghost_tracking.services")
    reconcile(watchlist, vault)
    told = [record.getMessage() for record in caplog.records if record.name == rebuild.__name__]
    assert told[0].startswith("The roster has ")
    assert told[-1].startswith("Compared 64 of 64 ranges of ids with the schedule: 300 videos, ")
    assert recovery.__name__ not in {record.name for record in caplog.records}
