"""WatchlistHook: the schedule of every tracked video, and the short-lived metadata of new ones, in PostgreSQL."""

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, Self

from airflow.sdk import BaseHook, Connection
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_exponential

from ghost_tracking import settings
from ghost_tracking.core.absence import GONE_AFTER_MISSES, Absence
from ghost_tracking.core.batches import LATENESS_BORDERS
from ghost_tracking.core.discovery import Gap
from ghost_tracking.core.roster import Chunk
from ghost_tracking.core.schedule import WatchlistEntry
from ghost_tracking.core.sync import SyncToken
from ghost_tracking.core.tiers import Queue, Tier, as_utc, next_slot
from ghost_tracking.core.video_ids import is_video_id, parse_brought_video, parse_video_reference
from ghost_tracking.core.videos import Video
from ghost_tracking.core.windows import Window
from ghost_tracking.errors import BadInputError, ConfigurationError, DatabaseUnavailableError
from ghost_tracking.postgres.database import Database, Row
from ghost_tracking.postgres.let_go import LetGo
from ghost_tracking.postgres.quota import QuotaLedger
from ghost_tracking.postgres.refused import Refused
from ghost_tracking.postgres.roster import Roster

_FIRST_TIME = datetime(1970, 1, 1, tzinfo=UTC)

MARGIN_AFTER_DEADLINE = timedelta(seconds=60)
"""What staging and writing back may take after a batch's API calls, before PostgreSQL ends the claim."""


@dataclass
class Claim:
    """Rows that this transaction has locked, and what will be written back when it ends."""

    entries: list[WatchlistEntry] = field(default_factory=list)
    _outcomes: list[tuple[WatchlistEntry, WatchlistEntry]] = field(default_factory=list)

    def reschedule(self, outcomes: Iterable[WatchlistEntry]) -> None:
        """Note what the claim's videos have become; written in one statement when the claim ends.

        Videos that are not named stay as they were, and due.
        """
        claimed = {entry.video_id: entry for entry in self.entries}
        self._outcomes += [(claimed[outcome.video_id], outcome) for outcome in outcomes]

    @property
    def is_settled(self) -> bool:
        """Whether there is anything to write back."""
        return bool(self._outcomes)


@dataclass
class ChunkClaim:
    """Chunks of the roster that this transaction has locked, and what will be written back when it ends."""

    chunks: list[Chunk] = field(default_factory=list)
    _changes: list[tuple[Chunk, Chunk]] = field(default_factory=list)
    _entries: list[WatchlistEntry] = field(default_factory=list)
    _gone: list[str] = field(default_factory=list)

    def reschedule(
        self, chunks: Iterable[Chunk], entries: Iterable[WatchlistEntry] = (), gone: Iterable[str] = ()
    ) -> None:
        """Note what chunks have become, and the videos that have left them for the watchlist.

        `gone` are those that left for a row that is there already, to be marked so (`mark_gone`). Chunks that are not
        named stay as they were, and due.
        """
        claimed = {chunk.name: chunk for chunk in self.chunks}
        self._changes += [(claimed[chunk.name], chunk) for chunk in chunks]
        self._entries += entries
        self._gone += gone

    @property
    def is_settled(self) -> bool:
        """Whether there is anything to write back."""
        return bool(self._changes)


@dataclass(frozen=True)
class JanitorReport:
    """What the janitor deleted from `videos`, or would have.

    `unwatched`: videos that came without a place on the schedule and have none on the watchlist. `changed`: rows that
    were due and stayed, since somebody changed them between their archiving and their deletion; they are due again in
    the next run.
    """

    deleted: int
    unwatched: int
    oldest: datetime | None
    kept: int
    dry_run: bool
    changed: int = 0


@dataclass(frozen=True, slots=True)
class Adoption:
    """How many videos of an old tracker were put on the watchlist, and how many rows name none."""

    adopted: int = 0
    refused: int = 0


@dataclass(frozen=True, slots=True)
class OwnVault:
    """The vault that a database belongs to: its `identity`, and the `root` at which it was seen last."""

    identity: str
    root: str


class WatchlistHook(BaseHook):
    """The tables `videos`, `watchlist` and `roster`, the quota ledger and the hunter's watermarks.

    What counts or reports answers over the watchlist and the roster, where a row stands for thousands of videos whose
    ids are in the vault: which ids those are, only the vault can tell.

    `WatchlistHook()` uses Airflow's connection `ghost_postgres` (type Postgres; extra: libpq's parameters, such as
    sslmode); `WatchlistHook(connection=Connection(…))` works outside of Airflow too. As a context manager it keeps
    one database connection for all calls and closes it at the end; otherwise call `close`.
    All times are aware and come back in UTC. Raises ConfigurationError where the connection is missing, and
    DatabaseUnavailableError where it leads nowhere.
    """

    conn_name_attr = "watchlist_conn_id"
    default_conn_name = settings.POSTGRES_CONNECTION
    conn_type = "postgres"
    hook_name = "Ghost Tracking watchlist"

    _VIDEO_FIELDS: ClassVar = {"id", "title", "published_at", "tags", "channel_id", "channel_title", "category_id"} | {
        "duration_seconds",
        "default_language",
    }

    def __init__(
        self,
        watchlist_conn_id: str = default_conn_name,
        *,
        connection: Connection | None = None,
        budgets: Mapping[str, int] | None = None,
        statement_limit: timedelta | None = None,
    ) -> None:
        super().__init__()
        self.database = Database(watchlist_conn_id, connection, statement_limit)
        self.quota = QuotaLedger(self.database, budgets or settings.Settings().quota)
        self.roster = Roster(self.database)
        self.refused = Refused(self.database)
        self.let_go = LetGo(self.database)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the database connection."""
        self.database.close()

    def migrate(self) -> str:
        """Bring the schema up to date; see `Database.migrate`."""
        return self.database.migrate()

    def now(self) -> datetime:
        """The present by the database's clock, in UTC: the one that decides."""
        moment: datetime = self.database.value("database_now")
        return moment

    @contextmanager
    def transaction(self, within: timedelta | None = None) -> Iterator[None]:
        """Make what is done inside one transaction, which PostgreSQL ends when it takes longer than `within`."""
        with self.database.transaction():
            if within is not None:
                self._limit(within)
            yield

    # Discovery

    def ingest_video_metadata(
        self,
        videos: Video | Mapping[str, Any] | Iterable[Video | Mapping[str, Any]],
        *,
        now: datetime | None = None,
        scheduled: bool = False,
    ) -> list[str]:
        """Write the metadata of one or many newly found videos; returns the ids that were new.

        A mapping has `id` and any of title, published_at, tags, channel_id, channel_title, category_id,
        duration_seconds and default_language. A video that is there already keeps its row and its discovery time.
        New ones are discovered at `now`; None: by the database's clock.
        Every video belongs on the watchlist as well (`add_to_watchlist`), best in one `transaction()`; with `scheduled`
        the rows say so already, which saves `add_to_watchlist` to change them.
        Raises BadInputError for an impossible id, an unknown field or a time without a zone.
        """
        many = [videos] if isinstance(videos, Video | Mapping) else list(videos)
        rows = [_video_row(video) if isinstance(video, Video) else self._checked_video(video) for video in many]
        names = sorted(self._VIDEO_FIELDS)
        columns = {name: [row.get(name) for row in rows] for name in names}
        columns["tags"] = [json.dumps(list(tags or [])) for tags in columns["tags"]]
        return [row["id"] for row in self.database.run("insert_videos", now=now, scheduled=scheduled, **columns)]

    def add_to_watchlist(
        self, videos: str | WatchlistEntry | Iterable[str | WatchlistEntry], tier: str = Tier.HOURLY
    ) -> list[str]:
        """Put one or many videos on the watchlist; returns the ids that were new. Known ones stay as they are.

        Those that somebody has paused, stopped or forgotten stay off, see `let_go`.
        A plain id is due at once, in `tier`, and learns its publish time from the first answer. One that is on the
        roster gets a row as well, which takes its place there with the chunk's next visit.
        Raises BadInputError for an impossible id or an unknown tier.
        """
        many = [videos] if isinstance(videos, str | WatchlistEntry) else list(videos)
        default = _tier(tier)
        entries = [entry if isinstance(entry, WatchlistEntry) else WatchlistEntry(entry, default) for entry in many]
        for entry in entries:
            _check_id(entry.video_id)
        return [row["video_id"] for row in self.database.run("insert_watchlist", **_columns(entries))]

    def discovery_time(self) -> datetime:
        """When videos are discovered that `ingest_video_metadata` writes in the transaction under way."""
        moment: datetime = self.database.value("discovery_time")
        return moment

    def known(self, video_ids: Sequence[str]) -> set[str]:
        """Which of these videos are on the watchlist."""
        return {row["video_id"] for row in self.database.run("known", video_ids=list(video_ids))}

    def seen(self, video_ids: Sequence[str]) -> dict[str, datetime | None]:
        """Which of these videos are on the watchlist, and since when if they were found there; None for the others."""
        return {row["video_id"]: row["seen_at"] for row in self.database.run("seen", video_ids=list(video_ids))}

    def mark_gone(self, video_ids: Sequence[str], *, now: datetime | None = None) -> set[str]:
        """Note that these videos are gone, where they are on the watchlist and were not found yet; which are so now.

        Their first reading is then a return. Rows that others hold are passed over.
        """
        if not video_ids:
            return set()
        rows = self.database.run("mark_gone", video_ids=list(video_ids), misses=GONE_AFTER_MISSES, now=now)
        return {row["video_id"] for row in rows}

    # Tracking

    @contextmanager
    def claim(
        self, tier: Tier, limit: int, *, deadline: timedelta = timedelta(seconds=120), now: datetime | None = None
    ) -> Iterator[Claim]:
        """Claim up to `limit` due videos of a tier, the longest overdue first, for as long as the block runs.

        The lease is the row lock of one transaction: rows that another claim holds are passed over, as are those whose
        call has just failed (`core.schedule.deferred`), and a worker that dies frees its own at once. What `reschedule`
        was given is written back when the block ends, in the same transaction; an exception leaves everything due.
        PostgreSQL ends a claim that stays idle longer than `deadline` and a margin. Where the connection is lost before
        the end, the outcome is written over a new one, to the rows that nobody else has tracked meanwhile.
        """
        claim = Claim()
        with self._lease(claim, deadline, lambda: self._write_back(claim)):
            claim.entries = [_entry(row) for row in self._fetch(limit, tier, now)]
            yield claim

    @contextmanager
    def claim_videos(
        self, video_ids: Sequence[str], *, deadline: timedelta = timedelta(seconds=120)
    ) -> Iterator[Claim]:
        """Claim those of these videos that are on the watchlist, due or not; as `claim`. Others hold none of them."""
        claim = Claim()
        with self._lease(claim, deadline, lambda: self._write_back(claim)):
            claim.entries = [_entry(row) for row in self.database.run("these_videos", video_ids=list(video_ids))]
            yield claim

    @contextmanager
    def claim_chunks(
        self, queue: Queue, videos: int, *, deadline: timedelta = timedelta(seconds=120), now: datetime | None = None
    ) -> Iterator[ChunkClaim]:
        """Claim due chunks of the roster with so many videos together, for as long as the block runs; as `claim`.

        The last chunk may have more videos than are wanted. `reschedule` takes what the chunks have become, and the
        videos that leave them, whose rows are added in the same transaction.
        """
        claim = ChunkClaim()
        with self._lease(claim, deadline, lambda: self._write_back_chunks(claim)):
            claim.chunks = self.roster.fetch_due(queue, videos, now)
            yield claim

    @contextmanager
    def _lease(self, claim: Claim | ChunkClaim, deadline: timedelta, write_back: Callable[[], None]) -> Iterator[None]:
        """A transaction that ends with `write_back`, which is tried over a new connection where this one is lost."""
        try:
            with self.database.transaction():
                self._limit(deadline + MARGIN_AFTER_DEADLINE)
                yield
                write_back()
        except DatabaseUnavailableError:
            if not claim.is_settled:
                raise
            self.log.warning("The database connection was lost in the middle of a claim; writing over a new one")
            retrying = Retrying(
                retry=retry_if_exception_type(DatabaseUnavailableError),
                wait=wait_exponential(0.5, max=5),
                stop=stop_after_delay(30),
                reraise=True,
            )
            for attempt in retrying:
                with attempt, self.database.transaction():
                    write_back()

    def fetch_tracking_batch(
        self, batch_size: int = 50, tier: str | None = None, *, now: datetime | None = None
    ) -> list[Row]:
        """Due videos, the longest overdue first, of one tier or of all: dicts with the columns of `watchlist`.

        Locks the rows that it returns against other claims until the transaction ends: inside `transaction()` that
        is its end, otherwise at once. Rows that are locked by others are passed over.
        """
        return self._fetch(batch_size, _tier(tier) if tier else None, now)

    @staticmethod
    def calculate_next_track_time(published_at: datetime, now: datetime | None = None) -> tuple[Tier, datetime]:
        """The tier of a video at `now` (default: the present) and its next slot after that, in UTC.

        Slots lie at the same ages for every video; see `core.tiers.next_slot`. A naive time is a ValueError.
        """
        return next_slot(published_at, now or datetime.now(UTC))

    def update_watchlist_schedule(self, updates: Sequence[Mapping[str, Any]]) -> int:
        """Set `tracking_tier`, `last_tracked_at` and `next_track_at` of many videos in one statement.

        Each update is a mapping with these and `video_id`. Returns how many rows were changed; a video that is not
        on the watchlist changes none. Locks the rows until the transaction ends. Raises BadInputError, naming the
        update and the reason, before anything is written.
        """
        rows = [_checked_update(number, update) for number, update in enumerate(updates)]
        names = ("video_id", "tracking_tier", "last_tracked_at", "next_track_at")
        return self.database.change("update_schedule", **{name: [row[name] for row in rows] for name in names})

    def due(self, now: datetime | None = None) -> dict[Queue, list[int]]:
        """How many videos are due, by queue and class of relative lateness (see `batches.LATENESS_BORDERS`)."""
        counts = {queue: [0] * len(LATENESS_BORDERS) for queue in Queue}
        rows = self.database.run(
            "due_by_lateness",
            now=now,
            borders=list(LATENESS_BORDERS),
            queues=list(Queue),
            seconds=[queue.interval.total_seconds() for queue in Queue],
        )
        for row in rows:
            counts[Queue(row["queue"])][max(0, row["lateness"])] += row["due"]
        return counts

    # Status

    def count(self) -> int:
        """Total videos tracked; those that are gone do not count."""
        return int(self.database.value("total"))

    def queues(self) -> dict[Queue, int]:
        """Videos by where they wait, due or not."""
        return dict.fromkeys(Queue, 0) | {Queue(row["queue"]): row["videos"] for row in self.database.run("queues")}

    def tiers(self) -> dict[str, int]:
        """Videos by tier."""
        return {row["tracking_tier"]: row["videos"] for row in self.database.run("tiers")}

    def backlog(self, now: datetime | None = None) -> int:
        """Videos that are overdue by more than an hour."""
        return int(self.database.value("backlog", now=now, tiers=list(Tier)))

    def next_ten(self, now: datetime | None = None) -> list[Row]:
        """The next ten to track within the hour: video_id, tracking_tier, next_track_at, and chunk.

        A chunk of the roster is one of them; it has no video_id, but the name of its file as `chunk`.
        """
        return self.database.run("next_ten", now=now, tiers=list(Tier))

    def next_due_at(self) -> datetime | None:
        """When the next video is due; None on an empty watchlist."""
        moment: datetime | None = self.database.value("next_due_at", tiers=list(Tier))
        return moment

    def database_bytes(self) -> int:
        """The size of the whole database on disk."""
        return int(self.database.value("database_bytes"))

    # Cleaning up

    def run_janitor(
        self,
        retention_days: int = 7,
        *,
        dry_run: bool = False,
        batch_size: int = 10_000,
        now: datetime | None = None,
        archive: Callable[[list[Row]], object] | None = None,
    ) -> JanitorReport:
        """Delete the metadata of videos discovered more than `retention_days` ago; the watchlist is not touched.

        Age counts from discovery, not from publication: a video that is years old when it is found (a list, a
        backfill) would otherwise lose its title within the day. `archive` takes each batch of rows, as
        `ParquetVaultHook.archive_videos` wants them, before it is deleted, and returns once they are durable; what it
        raises ends the run, and the batch stays. Rows that were changed meanwhile stay too. Without `archive`
        **nothing is archived**: what is deleted is gone. A dry run calls it for no row; see `due_for_deletion`.
        Raises BadInputError for an impossible number of days, and ConfigurationError where other tables refer to
        `videos`.
        """
        before = self._deletion_before(retention_days, now)
        (found,) = self.database.run("janitor_due", before=before)
        deleted = read = 0
        if not dry_run:
            for batch in self._batches_due(before, batch_size):
                read += len(batch)
                deleted += self._delete(batch, archive)
                self.log.info("Deleted %s rows of `videos`", deleted)
        kept = int(self.database.value("count_videos")) - (found["videos"] if dry_run else 0)
        done = found["videos"] if dry_run else deleted
        return JanitorReport(done, found["unwatched"], found["oldest"], kept, dry_run, changed=read - deleted)

    def due_for_deletion(
        self, retention_days: int = 7, *, batch_size: int = 10_000, now: datetime | None = None
    ) -> Iterator[list[Row]]:
        """The rows that `run_janitor` would archive and delete, in batches, as `archive_videos` wants them."""
        for batch in self._batches_due(self._deletion_before(retention_days, now), batch_size):
            yield [_without_version(row) for row in batch]

    def _deletion_before(self, retention_days: int, now: datetime | None) -> datetime:
        if retention_days < 1:
            raise BadInputError(f"retention_days is {retention_days}; it must be at least 1")
        for reference in self.database.run("references_to_videos"):
            raise ConfigurationError(
                f"table {reference['table_name']} refers to `videos` ({reference['constraint_name']}), so deleting a "
                "video would delete or block its rows there: drop that constraint first; nothing was deleted"
            )
        return (now or self.now()) - timedelta(days=retention_days)

    def _batches_due(self, before: datetime, batch_size: int) -> Iterator[list[Row]]:
        """Rows to delete, by id: each is read once a run, whether it can be deleted or not."""
        last = None
        while batch := self.database.run("janitor_batch", before=before, after=last, batch_size=batch_size):
            yield batch
            last = batch[-1]["video_id"]

    def _delete(self, batch: list[Row], archive: Callable[[list[Row]], object] | None) -> int:
        if archive is not None:
            archive([_without_version(row) for row in batch])
        versions = {row["video_id"]: row["row_version"] for row in batch}
        return self.database.change("janitor_delete", ids=list(versions), versions=list(versions.values()))

    def forget_old_quota(self, *, now: datetime | None = None) -> int:
        """Drop ledger lines, and notes of what could not be had of sources, older than 90 days; how many lines."""
        self.database.change("forget_old_gaps")
        return self.database.change("quota_forget", now=now)

    def adopt_old_videos(self, *, batch_size: int = 10_000) -> Adoption:
        """Put every video of an old tracker's `videos` table on the watchlist, in batches; run twice, it adds nothing.

        Takes over `last_updated_at` as `last_tracked_at` where it is a time that has passed, a naive one being UTC;
        each is due at once. Blanks around an id do not count, and of a URL its video does. What names no video goes
        onto the list of what was refused.
        """
        if not self.database.value("old_tracker_has_last_updated"):
            raise BadInputError(
                "the table `videos` has no column last_updated_at, so it does not come from an old tracker"
            )
        adoption, present, last = Adoption(), self.now(), None
        while rows := self.database.run("old_videos", after=last, batch_size=batch_size):
            last = rows[-1]["id"]
            entries, reasons = _of_old_tracker(rows, present)
            with self.database.transaction():
                adopted = self.add_to_watchlist(entries.values())
                self.database.change("note_scheduled", ids=list(entries))
                self.refused.note("old tracker", reasons)
            adoption = Adoption(adoption.adopted + len(adopted), adoption.refused + len(reasons))
        return adoption

    def retry_refused(self, items: Collection[str] | None = None) -> tuple[list[str], dict[str, str]]:
        """Put what was refused (None: all of it) on the watchlist, where it does name a video after all.

        Returns the ids of these, whose items leave the list, and why the others stay, by item.
        """
        ids, reasons = dict[str, str](), dict[str, str]()
        for item in [each.item for each in self.refused.newest(self.refused.count())] if items is None else items:
            try:
                ids[item] = parse_brought_video(item)
            except ValueError as error:
                reasons[item] = str(error)
        with self.database.transaction():
            self.add_to_watchlist(ids.values())
            self.refused.drop(ids)
        return list(ids.values()), reasons

    # The vault that this database belongs to

    def own_vault(self) -> OwnVault | None:
        """The vault that this database belongs to; None before the first time."""
        rows = self.database.run("own_vault")
        return OwnVault(rows[0]["vault_id"], rows[0]["root"]) if rows else None

    def remember_vault(self, identity: str, root: str) -> OwnVault:
        """Note which vault this database belongs to, or where it is now, and return what holds then.

        One that is known already stays: see `adopt_vault`.
        """
        (row,) = self.database.run("remember_vault", vault_id=identity, root=root)
        return OwnVault(row["vault_id"], row["root"])

    def adopt_vault(self, identity: str, root: str) -> None:
        """Belong to this vault from now on, whichever it was before."""
        self.database.change("adopt_vault", vault_id=identity, root=root)

    # The mark that database and vault share

    def mark(self) -> SyncToken | None:
        """What this database says; None before the first time."""
        rows = self.database.run("mark")
        return SyncToken(rows[0]["token"], rows[0]["marked_at"]) if rows else None

    def set_mark(self, mark: SyncToken) -> None:
        """Share a new mark with the vault, which has it already."""
        self.database.change("set_mark", token=mark.token, marked_at=mark.at)

    # Alerts

    def alert_due(self, kind: str, cooldown: timedelta, *, now: datetime | None = None) -> bool:
        """Whether to tell of an alert of this kind: not within the cooldown after the last one. Then it is noted."""
        return bool(self.database.run("alert_due", kind=kind, cooldown=cooldown, now=now))

    def alerts_over(self, kinds: Iterable[str]) -> None:
        """Note that all is well again with these: the next alert of such a kind is told at once."""
        self.database.change("alert_over", kinds=list(kinds))

    # Watermarks

    def watermarks(self, sources: Sequence[str]) -> dict[str, datetime]:
        """How far each of these sources has been hunted; one whose hunt has not begun is absent."""
        return {row["source"]: row["hunted_until"] for row in self.database.run("watermarks", sources=list(sources))}

    def asked_until(self, sources: Sequence[str]) -> dict[str, datetime]:
        """Up to when each of these sources was asked; more than its watermark where the answers had no video."""
        return {row["source"]: row["asked_until"] for row in self.database.run("watermarks", sources=list(sources))}

    def never_hunted(self, sources: Sequence[str]) -> set[str]:
        """Those of these sources that have never been hunted to an end: what they have had before is their past."""
        hunted = {row["source"] for row in self.database.run("watermarks", sources=list(sources)) if not row["is_new"]}
        return set(sources) - hunted

    def begin_watermarks(self, sources: Sequence[str], start: datetime) -> None:
        """Note where the hunt of new sources begins; those that have begun, but not later, keep their watermarks."""
        self.database.change("begin_watermarks", sources=list(sources), start=start)

    def advance_watermarks(
        self,
        until: Mapping[str, datetime],
        since: Mapping[str, datetime] | None = None,
        asked: Mapping[str, datetime] | None = None,
    ) -> None:
        """Note how far sources have been hunted, from when on (`since`; without it, from anywhere on), and up to when
        they were `asked`, where that is more.

        A watermark never goes back, and never leaps over what has not been hunted.
        """
        begun, looked = since or {}, asked or {}
        self.database.change(
            "advance_watermarks",
            sources=list(until),
            until=list(until.values()),
            since=[begun.get(source) for source in until],
            asked=[looked.get(source) for source in until],
        )

    def note_gap(self, gap: Gap) -> None:
        """Note that a window of a source could not be had whole; kept for 90 days."""
        self.database.change(
            "note_gap",
            source=gap.source,
            label=gap.label,
            starts_at=gap.window.start,
            ends_at=gap.window.end,
            reason=gap.reason,
        )

    def gaps(self, within: timedelta = timedelta(days=30), limit: int = 100) -> list[Gap]:
        """What could not be had of sources, as noted in the last time, the latest first."""
        rows = self.database.run("gaps", within=within, limit=limit)
        return [
            Gap(row["source"], row["label"], Window(row["starts_at"], row["ends_at"]), row["reason"]) for row in rows
        ]

    def _limit(self, time: timedelta) -> None:
        """Bound how long this transaction may idle, and each of its statements take."""
        self.database.run("claim_limits", milliseconds=int(time.total_seconds() * 1000))

    def _fetch(self, batch_size: int, tier: Tier | None, now: datetime | None) -> list[Row]:
        if tier is None:
            return self._fetch_of_all(batch_size, now)
        return self.database.run("due_of_tier", batch_size=batch_size, tier=tier, now=now)

    def _fetch_of_all(self, batch_size: int, now: datetime | None) -> list[Row]:
        rows: list[Row] = []
        tried: set[str] = set()
        wanted = batch_size
        with self.database.transaction():
            while True:
                heads = [
                    row["video_id"] for row in self.database.run("due_heads", tiers=list(Tier), heads=wanted, now=now)
                ]
                left = batch_size - len(rows)
                new = [video_id for video_id in heads if video_id not in tried]
                rows += self.database.run("due_among", video_ids=new, batch_size=left, now=now)
                if len(rows) >= batch_size or len(heads) < wanted:
                    return rows
                # others hold some of them: look further down
                tried.update(new)
                wanted *= 4

    def _write_back(self, claim: Claim) -> None:
        if claim._outcomes:
            self.database.change(
                "reschedule",
                **_columns([after for _, after in claim._outcomes]),
                claimed_last=[before.last_tracked_at for before, _ in claim._outcomes],
                claimed_next=[before.next_track_at for before, _ in claim._outcomes],
            )

    def _write_back_chunks(self, claim: ChunkClaim) -> None:
        # the rows first: a chunk that no longer has a video finds it on the watchlist
        self.add_to_watchlist(claim._entries)
        self.mark_gone(claim._gone)  # once more, where the transaction that did it was lost
        if claim._changes:
            self.roster.reschedule(claim._changes)

    def _checked_video(self, video: Mapping[str, Any]) -> Row:
        unknown = set(video) - self._VIDEO_FIELDS
        if unknown:
            raise BadInputError(f"video {video.get('id')!r} has unknown fields: {', '.join(sorted(unknown))}")
        _check_id(video.get("id"))
        return dict(video) | {"published_at": _instant(video.get("published_at"), f"video {video['id']}: published_at")}


def _columns(entries: Sequence[WatchlistEntry]) -> dict[str, list[Any]]:
    """Rows of the watchlist as columns, to be bound."""
    names = ("video_id", "tracking_tier", "last_tracked_at", "next_track_at", "anchor_at", "awaits_start")
    absences = [entry.absence for entry in entries]
    return {
        name: [getattr(entry, name) for entry in entries] for name in (*names, "heated_until", "deferred_until")
    } | {
        "missed_count": [absence and absence.missed_count for absence in absences],
        "first_missed_at": [absence and absence.first_missed_at for absence in absences],
        "gone_at": [absence and absence.gone_at for absence in absences],
    }


def _video_row(video: Video) -> Row:
    seconds = int(video.duration.total_seconds()) if video.duration is not None else None
    row = {name: getattr(video, name) for name in WatchlistHook._VIDEO_FIELDS - {"duration_seconds"}}
    return row | {"duration_seconds": seconds}


def _of_old_tracker(rows: Sequence[Row], present: datetime) -> tuple[dict[str, WatchlistEntry], dict[str, str]]:
    """Rows of an old tracker by their ids as they stand there: places on the watchlist, or why there is none."""
    entries: dict[str, WatchlistEntry] = {}
    reasons: dict[str, str] = {}
    for row in rows:
        try:
            video_id = parse_video_reference(row["id"])
        except ValueError as error:
            reasons[row["id"]] = str(error)
            continue
        entries[row["id"]] = WatchlistEntry(
            video_id, Tier.DAILY, last_tracked_at=_past_time(row["last_updated_at"], present)
        )
    return entries, reasons


def _past_time(text: str | None, present: datetime) -> datetime | None:
    """A time that an old tracker has written, a naive one being UTC; None for what is none, or not over yet."""
    try:
        moment = datetime.fromisoformat(text.strip()) if text else None
        moment = moment and as_utc(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
    except (ValueError, OverflowError):
        return None
    return moment if moment is not None and _FIRST_TIME <= moment <= present else None


def _without_version(row: Row) -> Row:
    return {name: value for name, value in row.items() if name != "row_version"}


def _entry(row: Row) -> WatchlistEntry:
    absence = None
    if row["first_missed_at"] is not None:
        absence = Absence(row["missed_count"] or 0, row["first_missed_at"], row["gone_at"])
    names = ("video_id", "last_tracked_at", "next_track_at", "created_at", "anchor_at", "awaits_start", "heated_until")
    return WatchlistEntry(
        **{name: row[name] for name in names}, tracking_tier=Tier(row["tracking_tier"]), absence=absence
    )


def _checked_update(number: int, update: Mapping[str, Any]) -> Row:
    where = f"update {number} ({update.get('video_id')!r})"
    _check_id(update.get("video_id"))
    due = _instant(update.get("next_track_at"), f"{where}: next_track_at")
    if due is None:
        raise BadInputError(f"{where}: next_track_at is missing")
    return {
        "video_id": update["video_id"],
        "tracking_tier": _tier(str(update.get("tracking_tier"))),
        "last_tracked_at": _instant(update.get("last_tracked_at"), f"{where}: last_tracked_at"),
        "next_track_at": due,
    }


def _check_id(video_id: object) -> None:
    if not is_video_id(video_id):
        raise BadInputError(f"{str(video_id)[:60]!r} cannot be the id of a video")


def _tier(tier: str) -> Tier:
    try:
        return Tier(tier)
    except ValueError:
        raise BadInputError(f"tier {tier!r} is none of {', '.join(Tier)}") from None


def _instant(value: Any, where: str) -> datetime | None:
    """An aware datetime, or ISO 8601 text of one, in UTC."""
    if value is None:
        return None
    try:
        return as_utc(datetime.fromisoformat(value) if isinstance(value, str) else value)
    except (TypeError, ValueError, AttributeError) as error:
        raise BadInputError(f"{where}: {error}") from None
