"""The archive's manifest: which files hold the metadata, and which of them are due to become one."""

from collections.abc import Collection, Iterable, Sequence
from itertools import accumulate, groupby
from typing import Annotated, Final, Self

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict

from ghost_tracking.errors import UnreadableFileError
from ghost_tracking.vault import layout
from ghost_tracking.vault.kit.manifests import Count, Manifest
from ghost_tracking.vault.kit.names import named_at, require_file_name
from ghost_tracking.vault.storage import Storage, Version

LARGEST: Final = 64 * 2**20
"""Bytes of the largest file that merging makes; one of half the size is never merged again."""
_SMALLEST: Final = 256 * 1024
_FANOUT: Final = 4
"""So many files of one size class become one, which is then of a larger class: each row is written about five times
until its file is full, and there are at most three files a class beside the full ones."""


class ArchivedFile(BaseModel):
    """A file of the archive. `oldest`: the earliest discovery in it, or time of archiving where that is unknown."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, AfterValidator(require_file_name)]
    videos: Count
    bytes: Count
    oldest: AwareDatetime

    @property
    def key(self) -> str:
        """Where it stands in the vault."""
        return archived(self.name)


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

    def mergeable(self) -> tuple[ArchivedFile, ...]:
        """Files that are due to become one, of about the same size; none where all is well."""
        for _, group in groupby(sorted(self.files, key=_size_class), key=_size_class):
            files = list(group)
            if len(files) >= _FANOUT and files[0].bytes < LARGEST // 2:
                return tuple(_that_fit(files))
        return ()


def archived(name: str) -> str:
    """Where a file of the archive stands."""
    return f"{layout.VIDEOS}/{name}"


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
