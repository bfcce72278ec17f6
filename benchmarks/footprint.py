"""The room that the ghost database takes: ten simulated days, beside 20 million videos on the roster."""

import gc
import multiprocessing
import random
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
from more_itertools import chunked

from benchmarks.figures import Samples, figure, judged, timed
from benchmarks.parts import folder, postgres_server, random_ids
from benchmarks.screen import Screen, Tell
from connections import connection_of
from ghost_tracking.core.roster import CHUNK_SIZE, Chunk, slot_at_or_after
from ghost_tracking.core.schedule import apply_results, entry_of_discovery
from ghost_tracking.core.tiers import Queue, Tier
from ghost_tracking.core.videos import Reading, Video
from ghost_tracking.hooks.vault import ParquetVaultHook
from ghost_tracking.hooks.watchlist import WatchlistHook
from ghost_tracking.services.roster_moves import RosterMoves
from local_stack.postgres import Postgres

ON_ROSTER, MORE = 20_000_000, 1_000_000
NEW_A_DAY = 100_000
DAYS = 10
BATCH = 5_000
VIDEOS_A_TRANSACTION = 1_000
JANITOR_HOUR = 4
WORKERS = 2

MOST_BYTES = 500_000_000
MOST_GROWTH = 0.01

SETTINGS = {"autovacuum_naptime": "1s", "fsync": "off", "full_page_writes": "off", "max_wal_size": "4GB"}
"""A simulated hour takes seconds: autovacuum, which looks for work once a minute by default, would come once in hours.
Once a second is the most often that it can. The others save time and change nothing of the size."""

# Of 4,401 recorded videos, each twentieth of them
TITLE_BYTES = (4, 30, 37, 41, 44, 47, 50, 53, 56, 58, 61, 63, 66, 69, 72, 76, 81, 86, 93, 99, 113)
CHANNEL_BYTES = (3, 6, 7, 8, 8, 8, 9, 9, 10, 11, 12, 12, 12, 13, 14, 14, 15, 17, 18, 25, 38)
# Of recorded answers of videos.list: how many tags a video has, and their bytes together
TAGS = (
    *[(2, 25)] * 4, (2, 28), (2, 29), (2, 29), (2, 30), (2, 30), (2, 36), (2, 42), (3, 41), (3, 43), (3, 45), (3, 46),
    (3, 46), (3, 53), (3, 53), (9, 147), *[(12, 189)] * 6, (14, 231), (17, 238), (17, 309), (23, 366),
)  # fmt: skip

_START = datetime(2026, 1, 5, tzinfo=UTC)
_HOUR = timedelta(hours=1)


def bench(screen: Screen) -> None:
    """Live through ten days, and weigh the database."""
    with (
        folder() as place,
        screen.busy("PostgreSQL") as tell,
        postgres_server(place) as server,
        _World.of(server, place) as world,
    ):
        tell(f"writing the roster's chunks of {ON_ROSTER:,} videos")
        world.fill_roster(ON_ROSTER)
        days = [world.live_a_day(number, tell) for number in range(DAYS)]
        weighed = world.weigh()
        parts = world.parts()
        counting = timed(world.count, 3)
        tiers = timed(world.by_tier, 3)
        tell(f"another {MORE:,} videos for the roster")
        world.fill_roster(MORE)
        grown = world.weigh() / weighed - 1
    screen.table(
        ["day", "bytes at its end", "before the janitor", "cleaning, moving to the roster", "all"],
        [[str(day.number + 1), f"{day.after:,}", f"{day.before:,}", *day.times] for day in days],
    )
    screen.table(
        ["table", "rows", "dead", "bytes", "heap", "toast", "indexes", "bytes a row"],
        [[str(cell) if isinstance(cell, str) else f"{cell:,}" for cell in part] for part in parts],
    )
    screen.table(
        ["", "measured", "bound", ""],
        [
            judged("SQL after ten days", f"{weighed:,} bytes", f"{MOST_BYTES:,}", weighed < MOST_BYTES),
            judged(f"more with {MORE:,} more videos on the roster", f"{grown:.3%}", "1 %", grown < MOST_GROWTH),
            ["SELECT count(*) FROM tracked_videos", counting.text("s"), "", ""],
            ["tracked_by_tier", tiers.text("ms", scale=1000), "", ""],
        ],
    )


@dataclass(frozen=True)
class _Day:
    """Bytes of the database just before the day's janitor and at the day's end; the seconds of janitor and day."""

    number: int
    before: int
    after: int
    janitor: Samples
    seconds: float

    @property
    def times(self) -> tuple[str, str]:
        """As they are printed."""
        return " s, ".join(figure(value) for value in self.janitor.values) + " s", f"{self.seconds:.0f} s"


class _World:
    """A database and a vault, and the work of hunter, tracker and janitor on them, an hour at a time."""

    def __init__(self, dsn: str, vault: Path, workers: ProcessPoolExecutor) -> None:
        self.dsn = dsn
        self.watchlist = WatchlistHook(connection=connection_of(dsn))
        self.vault = ParquetVaultHook(root=str(vault))
        self.session = psycopg.connect(dsn, autocommit=True)
        self._workers = workers
        self._dice = random.Random(1)
        self._letters = "".join(self._dice.choices("abcdefghijklmnopqrstuvwxyz     ", k=100_000))
        self.now = _START

    @classmethod
    @contextmanager
    def of(cls, server: Postgres, place: Path) -> Iterator["_World"]:
        """A new database, and processes that track."""
        server.ensure_database("ghost")
        dsn = server.dsn("ghost")
        spawning = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(WORKERS, mp_context=spawning, initializer=_begin, initargs=(dsn,)) as workers:
            world = cls(dsn, place / "vault", workers)
            with world.watchlist, world.session:
                world.watchlist.migrate()
                for setting, value in SETTINGS.items():
                    world.session.execute(f"ALTER SYSTEM SET {setting} = '{value}'")
                world.session.execute("SELECT pg_reload_conf()")
                yield world

    def fill_roster(self, videos: int) -> None:
        """Put so many videos into chunks, which are due all over the week."""
        for number in range(videos // CHUNK_SIZE):
            name = self.vault.roster.write(random_ids(CHUNK_SIZE), self.now.date())
            hour = number % 168
            self.watchlist.roster.insert(Chunk(name, hour, False, CHUNK_SIZE, slot_at_or_after(hour, self.now)))

    def live_a_day(self, number: int, tell: Tell) -> _Day:
        begin, before, janitor = time.perf_counter(), 0, Samples()
        for hour in range(24):
            self.now += _HOUR
            self._hunt(NEW_A_DAY * (hour + 1) // 24 - NEW_A_DAY * hour // 24)
            self._track()
            if hour + 1 == JANITOR_HOUR:
                before = self.weigh()
                with janitor.timed():
                    self.watchlist.run_janitor(now=self.now, archive=len)
                with janitor.timed():
                    RosterMoves(self.watchlist, self.vault, self.now).move_settled()
        day = _Day(number, before, self.weigh(), janitor, time.perf_counter() - begin)
        tell(
            f"day {number + 1} of {DAYS}: {day.after:,} bytes, {self.watchlist.status.count():,} tracked, "
            f"{day.seconds:.0f} s"
        )
        return day

    def _hunt(self, videos: int) -> None:
        for part in chunked([self._video() for _ in range(videos)], VIDEOS_A_TRANSACTION):
            with self.watchlist.transaction():
                self.watchlist.ingest_video_metadata(part, now=self.now)
                self.watchlist.add_to_watchlist(entry_of_discovery(video.reading) for video in part)

    def _video(self) -> Video:
        """A video of the last hour."""
        (video_id,) = random_ids(1)
        published_at = self.now - timedelta(seconds=self._dice.randrange(3600))
        count, size = self._dice.choice(TAGS)
        return Video(
            id=video_id,
            title=self._text(self._length(TITLE_BYTES)),
            published_at=published_at,
            tags=tuple(self._text(size * (tag + 1) // count - size * tag // count) for tag in range(count)),
            channel_id=self._text(24),
            channel_title=self._text(self._length(CHANNEL_BYTES)),
            category_id="28",
            duration=timedelta(seconds=self._dice.randrange(3600)),
            default_language="en",
            reading=Reading(video_id, self.now, 1, 1, 1, published_at),
        )

    def _length(self, quantiles: tuple[int, ...]) -> int:
        place = self._dice.random() * (len(quantiles) - 1)
        low = quantiles[int(place)]
        return round(low + (quantiles[int(place) + 1] - low) * (place % 1))

    def _text(self, length: int) -> str:
        start = self._dice.randrange(len(self._letters) - length)
        return self._letters[start : start + length]

    def _track(self) -> None:
        """Everything that is due: rows of the watchlist by the workers, chunks by this process."""
        tracking = [self._workers.submit(_track_rows, self.now) for _ in range(WORKERS)]
        self._visit(ON_ROSTER)
        for each in tracking:
            each.result()

    def _visit(self, videos: int) -> None:
        """Track due chunks of the roster with so many videos; without their files, since all are found."""
        with self.watchlist.roster.claim(Queue.ROSTER, videos, now=self.now) as claim:
            claim.reschedule(
                replace(chunk, last_tracked_at=self.now, next_track_at=chunk.next_slot(self.now))
                for chunk in claim.chunks
            )

    def count(self) -> int:
        return int(self._value("SELECT count(*) FROM tracked_videos"))

    def by_tier(self) -> list[tuple[Any, ...]]:
        return self.session.execute("SELECT * FROM tracked_by_tier").fetchall()

    def weigh(self) -> int:
        return int(self._value("SELECT pg_database_size(current_database())"))

    def _value(self, query: str) -> Any:
        row = self.session.execute(query).fetchone()
        assert row is not None
        return row[0]

    def parts(self) -> list[tuple[Any, ...]]:
        """Each table of ours, and each index: rows, dead rows, and bytes."""
        self.session.execute("SELECT pg_stat_clear_snapshot()")
        tables = self.session.execute("""
            SELECT pg_class.relname, n_live_tup, n_dead_tup, pg_total_relation_size(relid), pg_relation_size(relid),
                   coalesce(pg_total_relation_size(nullif(reltoastrelid, 0)), 0), pg_indexes_size(relid),
                   pg_total_relation_size(relid) / greatest(n_live_tup, 1)
            FROM pg_stat_user_tables JOIN pg_class ON pg_class.oid = relid
            ORDER BY 4 DESC LIMIT 4
        """).fetchall()
        indexes = self.session.execute("""
            SELECT '  ' || indexrelname, '', '', pg_relation_size(indexrelid), '', '', '', ''
            FROM pg_stat_user_indexes ORDER BY 4 DESC LIMIT 6
        """).fetchall()
        return [*tables, *indexes]


_hook: WatchlistHook


def _begin(dsn: str) -> None:
    """In each worker: a hook with a connection of its own."""
    global _hook
    _hook = WatchlistHook(connection=connection_of(dsn))
    gc.freeze()


def _track_rows(now: datetime) -> int:
    """Claim and reschedule what is due on the watchlist, all of it found; returns how many."""
    tracked = 0
    for tier in Tier:
        while True:
            with _hook.claim(tier, BATCH, now=now) as claim:
                entries = {entry.video_id: entry for entry in claim.entries}
                found = {each.video_id: Reading(each.video_id, now, 1, 1, 1, each.anchor_at) for each in claim.entries}
                claim.reschedule(apply_results(entries, found, (), (), now).entries)
            tracked += len(entries)
            if not entries:
                break
    return tracked
