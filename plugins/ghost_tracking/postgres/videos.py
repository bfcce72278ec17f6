"""The metadata of newly found videos, for the days until the janitor has archived it."""

import json
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from ghost_tracking.core.videos import Video
from ghost_tracking.errors import BadInputError, ConfigurationError
from ghost_tracking.postgres.checks import instant, require_id
from ghost_tracking.postgres.database import Database, Row

log = logging.getLogger(__name__)

_FIELDS: Final = (
    *("id", "title", "published_at", "tags", "channel_id", "channel_title", "category_id", "duration_seconds"),
    "default_language",
)


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


class Videos:
    """The table `videos`. `now` (aware) may be None: the database's clock."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def ingest(
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
        Every video belongs on the watchlist as well (`Watchlist.add`), best in one transaction; with `scheduled` the
        rows say so already, which saves `add` to change them.
        Raises BadInputError for an impossible id, an unknown field or a time without a zone.
        """
        many = [videos] if isinstance(videos, Video | Mapping) else list(videos)
        rows = [_row(video) if isinstance(video, Video) else _checked(video) for video in many]
        columns = {name: [row.get(name) for row in rows] for name in _FIELDS}
        columns["tags"] = [json.dumps(list(tags or [])) for tags in columns["tags"]]
        return [row["id"] for row in self._database.run("insert_videos", now=now, scheduled=scheduled, **columns)]

    def discovery_time(self) -> datetime:
        """When videos are discovered that `ingest` writes in the transaction under way."""
        moment: datetime = self._database.value("discovery_time")
        return moment

    def delete_old(
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
        `Vault.archive_videos` wants them, before it is deleted, and returns once they are durable; what it raises ends
        the run, and the batch stays. Rows that were changed meanwhile stay too. Without `archive` **nothing is
        archived**: what is deleted is gone. A dry run calls it for no row; see `due_for_deletion`.
        Raises BadInputError for an impossible number of days, and ConfigurationError where other tables refer to
        `videos`.
        """
        before = self._deletion_before(retention_days, now)
        (found,) = self._database.run("janitor_due", before=before)
        deleted = read = 0
        if not dry_run:
            for batch in self._batches_due(before, batch_size):
                read += len(batch)
                deleted += self._delete(batch, archive)
                log.info("Deleted %s rows of `videos`", deleted)
        kept = int(self._database.value("count_videos")) - (found["videos"] if dry_run else 0)
        done = found["videos"] if dry_run else deleted
        return JanitorReport(done, found["unwatched"], found["oldest"], kept, dry_run, changed=read - deleted)

    def due_for_deletion(
        self, retention_days: int = 7, *, batch_size: int = 10_000, now: datetime | None = None
    ) -> Iterator[list[Row]]:
        """The rows that `delete_old` would archive and delete, in batches, as `archive_videos` wants them."""
        for batch in self._batches_due(self._deletion_before(retention_days, now), batch_size):
            yield [_without_version(row) for row in batch]

    def _deletion_before(self, retention_days: int, now: datetime | None) -> datetime:
        if retention_days < 1:
            raise BadInputError(f"retention_days is {retention_days}; it must be at least 1")
        for reference in self._database.run("references_to_videos"):
            raise ConfigurationError(
                f"table {reference['table_name']} refers to `videos` ({reference['constraint_name']}), so deleting a "
                "video would delete or block its rows there: drop that constraint first; nothing was deleted"
            )
        present: datetime = now or self._database.value("database_now")
        return present - timedelta(days=retention_days)

    def _batches_due(self, before: datetime, batch_size: int) -> Iterator[list[Row]]:
        """Rows to delete, by id: each is read once a run, whether it can be deleted or not."""
        last = None
        while batch := self._database.run("janitor_batch", before=before, after=last, batch_size=batch_size):
            yield batch
            last = batch[-1]["video_id"]

    def _delete(self, batch: list[Row], archive: Callable[[list[Row]], object] | None) -> int:
        if archive is not None:
            archive([_without_version(row) for row in batch])
        versions = {row["video_id"]: row["row_version"] for row in batch}
        return self._database.change("janitor_delete", ids=list(versions), versions=list(versions.values()))


def _checked(video: Mapping[str, Any]) -> Row:
    unknown = set(video) - set(_FIELDS)
    if unknown:
        raise BadInputError(f"video {video.get('id')!r} has unknown fields: {', '.join(sorted(unknown))}")
    require_id(video.get("id"))
    return dict(video) | {"published_at": instant(video.get("published_at"), f"video {video['id']}: published_at")}


def _row(video: Video) -> Row:
    seconds = int(video.duration.total_seconds()) if video.duration is not None else None
    row = {name: getattr(video, name) for name in _FIELDS if name != "duration_seconds"}
    return row | {"duration_seconds": seconds}


def _without_version(row: Row) -> Row:
    return {name: value for name, value in row.items() if name != "row_version"}
