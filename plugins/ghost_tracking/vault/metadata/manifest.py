"""The archive's manifest: which files hold the metadata, and which of them are due to become one."""

from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime
from itertools import accumulate, groupby
from typing import Annotated, Final, Self

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field

from ghost_tracking.errors import UnreadableFileError
from ghost_tracking.vault import layout
from ghost_tracking.vault.kit.digests import Digest
from ghost_tracking.vault.kit.manifests import Count, Manifest
from ghost_tracking.vault.kit.names import named_at, require_file_name
from ghost_tracking.vault.storage import Storage, Version

LARGEST: Final = 64 * 2**20
"""Bytes of the largest file that merging makes; one of half the size is never merged again."""
_SMALLEST: Final = 256 * 1024
_FANOUT: Final = 4
"""So many files of one size class become one, which is then of a larger class: each row is written about five times
until its file is full, and there are at most three files a class beside the full ones."""


_MOST_AT_A_TIME: Final = 64
"""Files that become one; so many are open together."""
_FIRST_YEAR: Final = 2005
"""That of YouTube's first video, from which months are counted."""


class IndexFile(BaseModel):
    """The index of the words of an archived file's titles, which has the file's name: see `words`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    bytes: Count
    hash: Digest


class ArchivedFile(BaseModel):
    """A file of the archive.

    `oldest` and `newest`: the earliest and the latest discovery in it, or time of archiving where that is unknown.
    `published`: the least and the greatest publish time, None where no video has one; `undated`: how many have none;
    `months`: those in which any was published, by `month_bit`. `words`: its index, where there is one. What is None
    as a whole is not known: the file was written before it was noted.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, AfterValidator(require_file_name)]
    videos: Count
    bytes: Count
    oldest: AwareDatetime
    newest: AwareDatetime | None = None
    hash: Digest | None = None
    published: tuple[AwareDatetime | None, AwareDatetime | None] | None = None
    undated: Count = 0
    months: Annotated[str, Field(pattern="^[0-9a-f]{1,300}$")] | None = None
    words: IndexFile | None = None

    @property
    def key(self) -> str:
        """Where it stands in the vault."""
        return archived(self.name)

    @property
    def keys(self) -> tuple[str, str]:
        """Where its index stands, if there is one, and where it stands itself: to be deleted in this order."""
        return words_of(self.name), self.key

    def may_hold(self, published_at: datetime | None) -> bool:
        """Whether it may have a video of this publish time (aware; None: unknown), give or take a month.

        YouTube tells another one after a premiere, or when a private video becomes public.
        """
        if published_at is None or self.months is None or self.undated:
            return True
        bit = month_bit(published_at)
        return bool(int(self.months, 16) & (bit | bit << 1 | bit >> 1))


class ArchiveManifest(Manifest):
    """Every file that the archive consists of, in the order in which they came."""

    files: tuple[ArchivedFile, ...] = ()

    @classmethod
    def of(cls, storage: Storage) -> tuple[Self, Version | None]:
        """The present one and its version; UnreadableFileError when it is damaged, or gone from beside its files."""
        manifest, version = cls.load(storage, layout.VIDEOS_MANIFEST)
        if version is None and any(named_at(name) for name in storage.children(layout.VIDEOS)):
            raise UnreadableFileError(
                f"{layout.VIDEOS_MANIFEST} is missing, and the files beside it are nobody's without it: "
                "restore it from a backup",
                key=layout.VIDEOS_MANIFEST,
            )
        return manifest, version

    def with_files(self, added: Iterable[ArchivedFile], without: Collection[str]) -> Self:
        """One that names the files `added`, and no longer those whose names are in `without`."""
        kept = [file for file in self.files if file.name not in without]
        return self.model_copy(update={"files": (*kept, *added)})

    def with_described(self, file: ArchivedFile) -> Self:
        """One that says this of the file of that name, in its place; the same where it does not name it."""
        return self.model_copy(update={"files": tuple(file if each.name == file.name else each for each in self.files)})

    @property
    def keys(self) -> set[str]:
        """Where everything stands that it names."""
        return {key for file in self.files for key in (file.keys if file.words else (file.key,))}

    def mergeable(self) -> tuple[ArchivedFile, ...]:
        """Files that are due to become one, of about the same size; none where all is well."""
        for _, group in groupby(sorted(self.files, key=_size_class), key=_size_class):
            files = list(group)
            if len(files) >= _FANOUT and files[0].bytes < LARGEST // 2:
                return tuple(_that_fit(files[:_MOST_AT_A_TIME]))
        return ()


def archived(name: str) -> str:
    """Where a file of the archive stands."""
    return f"{layout.VIDEOS}/{name}"


def words_of(name: str) -> str:
    """Where the index of a file of the archive stands."""
    return f"{layout.WORDS}/{name}"


def is_words(key: str) -> bool:
    """Whether an index stands there."""
    return key.startswith(f"{layout.WORDS}/")


def month_bit(moment: datetime) -> int:
    """The bit of a month of UTC, one more each month from that of January 2005 on; earlier ones have this one's."""
    there = moment.astimezone(UTC)
    return 1 << min(max(0, (there.year - _FIRST_YEAR) * 12 + there.month - 1), 1199)


def missing_file(error: Exception) -> UnreadableFileError:
    """What to raise where the present manifest, loaded again, still names a file that cannot be found."""
    return UnreadableFileError(
        f"{layout.VIDEOS_MANIFEST} names a file that is not there ({error}): restore it from a backup",
        key=layout.VIDEOS_MANIFEST,
    )


def _size_class(file: ArchivedFile) -> int:
    """0 below 256 KiB, then one more each time the size is four times as large; the full ones are the last class."""
    if file.bytes >= LARGEST // 2:
        return LARGEST
    return max(0, (file.bytes // _SMALLEST).bit_length() + 1) // 2


def _that_fit(files: Sequence[ArchivedFile]) -> list[ArchivedFile]:
    """The first of them that make no more than the largest file; at least two, since each is below half of it."""
    sums = accumulate(file.bytes for file in files)
    return [file for file, total in zip(files, sums, strict=True) if total <= LARGEST]
