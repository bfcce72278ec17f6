"""A schedule at risk: its database, vault and YouTube, the videos on it, and what must hold whatever happened."""

import json
import shutil
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
import psycopg
from airflow.sdk import Connection

from connections import connection_to, eventually, youtube_at
from faults import schedule_children
from faults.schedule_children import MAKE_DUE, Where
from fork_server import Child, Children
from ghost_tracking.core.schedule import WatchlistEntry
from ghost_tracking.core.tiers import Tier
from ghost_tracking.hooks.vault import ParquetVaultHook
from ghost_tracking.hooks.watchlist import WatchlistHook
from local_stack.postgres import Postgres
from youtube_simulator import ServedReading, SimulatorServer

DAY, WEEK = timedelta(days=1), timedelta(days=7)
DATABASE = "schedule"
TABLES = (
    "watchlist, videos, roster, retired_chunks, quota_ledger, hunter_watermarks, sync_token, vault_identity, let_go, "
    "refused, discovery_gaps, coverage, rebuild_progress, policy_state, audits"
)

Tables = dict[str, bytes]


class Schedule:
    """One that a test damages; empty at first. `population`: the ids that must be on it from now on."""

    program: Any = schedule_children
    """What its processes do."""
    database = DATABASE

    def __init__(self, postgres: Postgres, server: SimulatorServer, children: Children, folder: Path) -> None:
        self.postgres = postgres
        self.server = server
        self.children = children
        self.population: set[str] = set()
        self.began_at = datetime.now(UTC).replace(microsecond=0)
        self.vault = ParquetVaultHook(root=str(folder / "vault"))
        self._diary = folder / "diary"
        self.idle_seconds = 60.0
        self.chunk_size = 20
        self.host = str(postgres.socket_folder)
        """Where children find PostgreSQL."""
        self._settings: dict[str, Any] = {
            "tracker_batch_seconds": 20,
            "youtube_timeout_seconds": 10,
            "youtube_threads": 2,
            "roster_keep_days": 1,
        }
        with self.sql() as sql:
            sql.execute(f"TRUNCATE {TABLES}")
        self._first_reading = server.simulator.journal.readings_total
        self._calls_before = self._all_calls()

    # Kept, and had again

    def save(self, folder: Path) -> "Saved":
        """Keep all of it as it is now, the vault in a folder that is not there yet."""
        self.vault.identity(create=True)
        shutil.copytree(self.vault.get_conn().path, folder)
        return Saved(self, folder, self.save_tables())

    def load(self, saved: "Saved") -> None:
        """Be as another one was."""
        other = saved.of
        shutil.copytree(saved.vault, self.vault.get_conn().path)
        if other._diary.exists():
            shutil.copy(other._diary, self._diary)
        self.load_tables(saved.tables)
        self.population, self.began_at = set(other.population), other.began_at
        # what it had asked for counts as asked for by this one
        self._first_reading = other._first_reading
        self._calls_before = self._all_calls() - saved.calls

    def save_tables(self) -> Tables:
        """What the database holds."""
        saved = {}
        with self.sql() as sql:
            for table in TABLES.split(", "):
                columns = ", ".join(
                    name
                    for (name,) in sql.execute(
                        "SELECT column_name FROM information_schema.columns"
                        " WHERE table_schema = 'public' AND table_name = %s AND is_generated = 'NEVER'",
                        [table],
                    )
                )
                with sql.cursor().copy(f"COPY {table} ({columns}) TO STDOUT") as rows:
                    saved[f"{table} ({columns})"] = b"".join(rows)
        return saved

    def load_tables(self, saved: Tables) -> None:
        """Hold that again, and nothing else, as a restored database does."""
        with self.sql() as sql, sql.transaction():
            sql.execute(f"TRUNCATE {TABLES}")
            for columns, rows in saved.items():
                with sql.cursor().copy(f"COPY {columns} FROM STDIN") as into:
                    into.write(rows)

    # Parts

    def configure(self, **settings: Any) -> None:
        """Change settings of the deployment."""
        self._settings |= settings

    @property
    def connection(self) -> Connection:
        return connection_to(str(self.postgres.socket_folder), self.database)

    @contextmanager
    def sql(self) -> Iterator[psycopg.Connection]:
        """A session of the test's own."""
        with psycopg.connect(self.postgres.dsn(self.database), autocommit=True) as session:
            yield session

    @contextmanager
    def watchlist(self) -> Iterator[WatchlistHook]:
        with WatchlistHook(connection=self.connection) as watchlist:
            yield watchlist

    @property
    def environment(self) -> dict[str, str]:
        """The environment variables of its processes."""
        connections = {
            "GHOST_POSTGRES": connection_to(self.host, self.database),
            "YOUTUBE_DEFAULT": youtube_at(self.server),
        }
        fields = ("conn_type", "host", "login", "password", "schema", "port")
        environment = {
            f"AIRFLOW_CONN_{name}": json.dumps({field: getattr(each, field) for field in fields})
            for name, each in connections.items()
        }
        folder = {"conn_type": "fs", "extra": {"path": self.vault.get_conn().path}}
        environment["AIRFLOW_CONN_GHOST_VAULT"] = json.dumps(folder)
        environment["AIRFLOW_VAR_GHOST_SETTINGS"] = json.dumps(self._settings)
        return environment

    @property
    def where(self) -> Where:
        """For children."""
        return {
            "environment": self.environment,
            "diary": str(self._diary),
            "vault": self.vault.identity(create=True),
            "dsn": self.postgres.dsn(self.database),
            "batch_seconds": self._settings["tracker_batch_seconds"],
            "idle_seconds": self.idle_seconds,
            "chunk_size": self.chunk_size,
        }

    # Videos

    def alive(self, number: int, age: timedelta, skip: int = 0) -> list[str]:
        """Ids of videos that YouTube has, from this age on: the youngest, but for those skipped.

        The first forty of them were published in the same hour.
        """
        world, now = self.server.simulator.world, self.server.simulator.clock.now()
        found = (
            video.id
            for video in world.newest((now - age).replace(minute=0, second=0, microsecond=0))
            if world.available(video, now) and video.broadcast(world.origin) is None
        )
        return [video_id for place, video_id in zip(range(skip + number), found, strict=False) if place >= skip]

    def put_on_watchlist(self, ids: Iterable[str], anchor: datetime | None = None) -> None:
        """Rows as they are after a day without a run: read once before, and due.

        `anchor`: of all of them, instead of when each was published.
        """
        world, now = self.server.simulator.world, datetime.now(UTC).replace(microsecond=0)
        entries = []
        for video_id in ids:
            video = world.find(video_id)
            start = anchor or (world.published_at(video) if video else now - 9 * DAY)
            tier = Tier.WEEKLY if now - start >= WEEK else Tier.DAILY
            due = start + WEEK if tier is Tier.WEEKLY else now - timedelta(minutes=1)
            read_at = min(self.began_at, due) - DAY
            entries.append(WatchlistEntry(video_id, tier, read_at, due, anchor_at=start))
        with self.watchlist() as watchlist:
            watchlist.add_to_watchlist(entries)
        self.population.update(entry.video_id for entry in entries)

    def settle(self, ids: Iterable[str], anchor: datetime | None = None) -> None:
        """Put settled videos onto the roster, in due chunks."""
        self.put_on_watchlist(ids, anchor)
        assert "error" not in self.do("move_to_roster")
        self.make_due()

    def make_due(self) -> None:
        with self.sql() as sql:
            for statement in MAKE_DUE:
                sql.execute(statement)

    # Processes

    def start(self, work: str, **arguments: Any) -> Child:
        return self.children.start(getattr(self.program, work), where=self.where, **arguments)

    def do(self, work: str, **arguments: Any) -> Any:
        """Have it done by a process that nobody disturbs."""
        return self.start(work, **arguments).result(60)

    def stopped(self, work: str, at: str, **arguments: Any) -> Child:
        """One that has stopped itself right before this step."""
        child = self.start(work, at=at, sent="SIGSTOP", **arguments)
        eventually(lambda: child.is_gone() or _is_stopped(child), every=0.01)
        assert not child.is_gone(), child.result()
        return child

    def restart_postgres(self, down_for: float = 0.0, meanwhile: Callable[[], object] = list) -> None:
        """End the server as it stands, and start it again after so many seconds."""
        self.postgres.component.signal(signal.SIGQUIT)
        assert self.postgres.component.wait(20)
        meanwhile()
        time.sleep(down_for)
        self.postgres.start()

    # What is where

    def one(self, query: str, *parameters: Any) -> tuple[Any, ...]:
        with self.sql() as sql:
            row = sql.execute(query, parameters).fetchone()
        assert row is not None
        return row

    def members(self, *, gone: bool | None = None) -> dict[str, list[str]]:
        """The ids that are in each chunk, of those that are `gone` (None: of all)."""
        with self.watchlist() as watchlist:
            return {
                chunk.name: [
                    video_id
                    for position, video_id in enumerate(self.vault.roster.read(chunk.name))
                    if position not in chunk.removed_positions
                ]
                for chunk in watchlist.roster.all()
                if gone in (None, chunk.gone)
            }

    def rows(self) -> set[str]:
        with self.sql() as sql:
            return {video_id for (video_id,) in sql.execute("SELECT video_id FROM watchlist")}

    def places(self) -> Counter[str]:
        """How often each video is on the schedule."""
        places = Counter(self.rows())
        for ids in self.members().values():
            places.update(ids)
        return places

    def still_locked(self) -> int:
        """Rows and chunks that a transaction holds."""
        return sum(
            self.one(
                f"SELECT (SELECT count(*) FROM {table})"
                f" - (SELECT count(*) FROM (SELECT 1 FROM {table} FOR UPDATE SKIP LOCKED) AS free)"
            )[0]
            for table in ("watchlist", "roster")
        )

    def await_unlocked(self, within: float = 2) -> None:
        eventually(lambda: self.still_locked() == 0, within=within, every=0.01)

    def still_due(self) -> int:
        """Videos that are due."""
        return self.one(
            "SELECT (SELECT count(*) FROM watchlist WHERE next_track_at <= now())"
            " + (SELECT coalesce(sum(ids - cursor - away), 0) FROM roster, LATERAL ("
            "    SELECT count(*) AS away FROM unnest(removed_positions) AS place WHERE place >= cursor) AS left_since"
            "    WHERE next_track_at <= now())"
        )[0]

    def diary(self) -> list[dict[str, Any]]:
        if not self._diary.exists():
            return []
        return [json.loads(line) for line in self._diary.read_text().splitlines()]

    def staged(self) -> set[tuple[str, datetime]]:
        """The points whose staging was acknowledged."""
        points = (point for line in self.diary() for point in line.get("staged", []))
        return {(video_id, datetime.fromisoformat(moment)) for video_id, moment in points}

    def published(self) -> set[tuple[str, datetime]]:
        """The points that the vault has; each is one that YouTube served, and there once."""
        points = self.vault.read_table().to_pylist()
        served = {(each.video_id, each.views, each.likes, each.comments) for each in self.readings()}
        assert {tuple(each[name] for name in ("video_id", "views", "likes", "comments")) for each in points} <= served
        found = [(each["video_id"], each["timestamp"]) for each in points]
        assert len(found) == len(set(found)), "a point twice"
        return set(found)

    def readings(self) -> list[ServedReading]:
        """What YouTube has served since this schedule began."""
        return self.server.simulator.journal.readings_since(self._first_reading, 100_000)[1]

    def _all_calls(self) -> Counter[str]:
        return Counter(self.server.simulator.journal.counts()["bucket"])

    # What must hold

    def check_places(self) -> None:
        """Nobody has been forgotten, nobody is there more than twice, but for a place among those that are gone."""
        places, gone = self.places(), Counter(id_ for ids in self.members(gone=True).values() for id_ in ids)
        assert places.keys() >= self.population, "forgotten"
        assert max(gone.values(), default=0) <= 1, "gone more than once"
        assert max((places - gone).values(), default=0) <= 2, "more than twice"

    def check_points(self) -> None:
        """The vault has all that was staged, and of every row the reading that its schedule tells of."""
        published = self.published()
        lost = sorted(self.staged() - published)
        assert not lost, f"{len(lost)} staged points are not published: {lost[:3]}"
        # a slot is counted as served with its reading, or not at all; two readings of one second are one point
        served = self.one("SELECT coalesce(sum(served), 0) FROM coverage")[0]
        assert served <= len(self.readings()), "served without a reading"
        with self.sql() as sql:
            # one that comes from a chunk has the time of the chunk's read, until it is read itself
            tracked = sql.execute(
                "SELECT video_id, last_tracked_at FROM watchlist"
                " WHERE last_tracked_at >= %s AND last_tracked_at = date_trunc('second', last_tracked_at)",
                [self.began_at],
            ).fetchall()
        assert {(video_id, moment.astimezone(UTC)) for video_id, moment in tracked} <= published

    def check_ledger(self) -> None:
        """It holds what YouTube has seen, and no more than that and what is not given back.

        That is what tasks had reserved that were killed, and of a bucket that YouTube called empty; and what was paid
        for requests over connections that the server had closed while their process was frozen.
        """
        seen = self._all_calls() - self._calls_before
        with self.sql() as sql:
            # shortly before midnight the next day's line has reservations as well
            query = """
                SELECT bucket, sum(spent)::int FROM quota_ledger
                WHERE pacific_day <= (clock_timestamp() AT TIME ZONE 'America/Los_Angeles')::date GROUP BY bucket
            """
            ledger = dict(sql.execute(query).fetchall())
        open_now: dict[int, Counter[str]] = {}  # by process, which may have one budget after the other
        lost: Counter[str] = Counter()
        for line in self.diary():
            reserved = open_now.setdefault(line["pid"], Counter())
            if "reserving" in line:
                reserved[line["reserving"]] += line["calls"]
            elif "released" in line:
                lost.update({bucket: reserved[bucket] for bucket in line["emptied"]})
                reserved.clear()
        lost.update(sum(open_now.values(), Counter()))
        stale = sum(line.get("stale", 0) for line in self.diary())
        for bucket in seen.keys() | ledger.keys():
            spent = ledger.get(bucket, 0)
            told = f"{bucket}: {seen[bucket]} seen, {spent} in the ledger, {lost[bucket]} not given back, {stale} stale"
            assert seen[bucket] <= spent <= seen[bucket] + lost[bucket] + stale, told

    def check_healed(self) -> dict[str, Any]:
        """After one more run of everything each video has one place, and nothing is due or lost."""
        self.check_places()
        with self.sql() as sql:  # as if four minutes had passed
            for table in ("watchlist", "roster"):
                sql.execute(f"UPDATE {table} SET deferred_until = NULL WHERE deferred_until > now()")
        done: dict[str, Any] = self.do("run_everything")
        places = self.places()
        assert places.keys() >= self.population, "forgotten"
        assert {video_id: number for video_id, number in places.items() if number > 1} == {}
        assert self.still_locked() == 0
        assert self.still_due() == 0
        self.check_points()
        self.check_ledger()
        return done


class Saved:
    """A schedule as it was at a moment."""

    def __init__(self, of: Schedule, vault: Path, tables: Tables) -> None:
        self.of = of
        self.vault = vault
        self.tables = tables
        self.calls = of._all_calls() - of._calls_before


def _is_stopped(child: Child) -> bool:
    with suppress(psutil.NoSuchProcess):
        return psutil.Process(child.pid).status() == psutil.STATUS_STOPPED
    return False
