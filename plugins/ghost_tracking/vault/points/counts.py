"""What the published files of recent hours hold, kept beside them: `prepared/hours.json`.

Every publication notes the files that it has written. Who reads it has listed the files, and takes a note only where
the file has the size that was noted; of any other the footer is read. So the notes save requests, 24 a day of hours
that are not compacted, and are never wrong: a publisher that is killed before it notes costs a request.
"""

import logging
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final, NamedTuple, Self

from pydantic import AfterValidator, Field

from ghost_tracking.core.partitions import Partition
from ghost_tracking.errors import FileChangedError, ForeignFileError, UnreadableFileError
from ghost_tracking.vault import layout
from ghost_tracking.vault.kit.digests import Digest, digest_of
from ghost_tracking.vault.kit.manifests import Count, Manifest, retry_overtaken
from ghost_tracking.vault.points.files import Footer
from ghost_tracking.vault.storage import Storage, Version

log = logging.getLogger(__name__)

MOST_HOURS: Final = 240
"""Ten days of hours, some 20 kB: of those that were written before them the footers tell."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_FIRST: Final = (datetime.min.replace(tzinfo=UTC) - _EPOCH) // _MICROSECOND
_LAST: Final = (datetime.max.replace(tzinfo=UTC) - _EPOCH) // _MICROSECOND
"""What a datetime can be: whoever may write in the vault could note any number."""


def _hour(path: str) -> str:
    Partition.parse(path)
    return path


class HourCount(NamedTuple):
    """What a published file of so many bytes holds: its points, the newest of them (microseconds since 1970, None:
    unknown), whether it is sealed, and a digest of the names of the parts that were merged into it.
    """

    bytes: Count
    rows: Count
    newest: Annotated[int, Field(ge=_FIRST, le=_LAST)] | None
    sealed: bool
    parts: Digest

    @classmethod
    def of(cls, footer: Footer, size: int) -> Self:
        """That of a file of this size with this footer."""
        newest = None if footer.newest is None else (footer.newest - _EPOCH) // _MICROSECOND
        return cls(size, footer.rows, newest, footer.sealed, digest_of_names(footer.parts))

    @property
    def newest_at(self) -> datetime | None:
        """When the newest point was read, UTC; None where that is unknown."""
        return None if self.newest is None else _EPOCH + self.newest * _MICROSECOND

    def has_merged(self, names: Iterable[str]) -> bool:
        """Whether these are the parts that were merged into it; False also where it has them and others."""
        return self.parts == digest_of_names(names)


class HourCounts(Manifest):
    """The hours that were written last, by their paths, in the order in which they were written."""

    hours: dict[Annotated[str, AfterValidator(_hour)], HourCount] = Field(default_factory=dict)

    @classmethod
    def of(cls, storage: Storage) -> tuple[Self, Version | None]:
        """The present ones and their version; none of a file that cannot be read: the next publication replaces it."""
        try:
            return cls.load(storage, layout.HOUR_COUNTS)
        except (UnreadableFileError, OSError) as error:
            log.warning("%s cannot be used, footers are read instead: %s", layout.HOUR_COUNTS, error)
            return cls(), storage.version(layout.HOUR_COUNTS)

    def with_hours(self, written: Mapping[Partition, HourCount]) -> Self:
        """The same with these hours as the last ones, and no more than `MOST_HOURS` in all."""
        paths = {hour.path: count for hour, count in written.items()}
        together = {path: count for path, count in self.hours.items() if path not in paths} | paths
        return self.model_copy(update={"hours": dict(list(together.items())[-MOST_HOURS:])})

    def count(self, hour: Partition, size: int) -> HourCount | None:
        """What the hour's file holds, which has this size now; None where nobody has noted that."""
        found = self.hours.get(hour.path)
        return found if found is not None and found.bytes == size else None


def note_counts(storage: Storage, written: Mapping[Partition, HourCount]) -> None:
    """Note what the files of these hours hold that have just been written.

    One read and one write. What fails is logged and raises nothing: the points are published.
    """
    if not written:
        return

    def edit() -> None:
        counts, version = HourCounts.of(storage)
        counts.with_hours(written).replace(storage, layout.HOUR_COUNTS, expecting=version)

    try:
        retry_overtaken(edit)
    except (OSError, FileChangedError, ForeignFileError) as error:
        log.warning("What was published could not be noted in %s: %s", layout.HOUR_COUNTS, error)


def digest_of_names(names: Iterable[str]) -> str:
    """16 hexadecimal digits for these names, in whatever order."""
    return digest_of("\n".join(sorted(names)).encode())
