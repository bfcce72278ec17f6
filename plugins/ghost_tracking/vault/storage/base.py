"""The operations that the vault is made of, in the words of an object store: keys, versions, a conditional replace."""

from collections.abc import Hashable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import BinaryIO, Protocol

from ghost_tracking.errors import BadInputError

Version = Hashable
"""What tells one content of a key from the next. Versions are compared, and nothing else."""


@dataclass(frozen=True, slots=True)
class Blob:
    """What was read of a key: all of it or its end, the size of the whole in bytes, and which version that was."""

    data: bytes
    size: int
    version: Version


def parts_of(key: str) -> list[str]:
    """The parts of a key; none of "", the root. BadInputError for one that would leave the root, or that no vault has.

    This is the one door through which every verb of every storage takes its keys: what a manifest, a database or a
    caller names lies below the root, or is refused.
    """
    if key and not is_key(key):
        raise BadInputError(f"{key[:200]!r} is no key of a file in the vault: it would lead elsewhere")
    return key.split("/") if key else []


def is_key(name: str) -> bool:
    """Whether this is a relative path of names that can be shown, without a way up or a backslash in it."""
    return name.isprintable() and "\\" not in name and {"", ".", ".."}.isdisjoint(name.split("/"))


class Storage(Protocol):
    """A place for files.

    Keys are relative paths with forward slashes, as `parts_of` takes them. What `put` and `replace` return from
    survives a power cut. Any verb raises `OSError`, always with its `errno`, for what may pass, `ConfigurationError`
    for what somebody has to mend, `BadInputError` for a key that leaves the root, and `ForeignFileError` where a
    symbolic link or anything else but a file or a folder stands in the way: links below the root are never followed,
    listed, replaced or removed.
    """

    @property
    def place(self) -> str:
        """The root as text, for messages."""

    @property
    def keeps_others_out(self) -> bool:
        """Whether `lock` does."""

    def prepare(self) -> None:
        """Make the root if it is missing and can be made; raises when that, or writing into it, is not allowed."""

    def probe(self) -> None:
        """Really write something, enough to meet a full disk, and remove it; raises when that fails."""

    def exists(self) -> bool:
        """Whether the root can be seen from here."""

    def read(self, key: str, *, last: int | None = None) -> Blob:
        """One version of `key`, whole or its `last` bytes; FileNotFoundError when it is not there."""

    def read_span(self, key: str, start: int, length: int) -> bytes:
        """`length` bytes of `key` from `start` on, or what there is of them; FileNotFoundError when it is not there.

        For files that are never replaced, such as those that a manifest names: two spans may be of two versions. One
        request, and nothing stays open.
        """

    def open(self, key: str) -> BinaryIO:
        """`key` for reading here and there; FileNotFoundError when it is not there.

        All that is read through it is of one version. When that is gone before all is read, `FileChangedError` says
        so, in storages that do not keep it for who has it open. An `OSError` with an `errno` that comes of reading is
        the storage's fault, and tells nothing of the file.
        """

    def version(self, key: str) -> Version | None:
        """The present version of `key`; None when it is not there."""

    def children(self, folder: str) -> list[str]:
        """The names right below `folder`, sorted; none when it is not there."""

    def children_between(self, folder: str, spans: Sequence[tuple[str, str]]) -> list[str]:
        """Those of the `children` that lie in one of these spans, from the first name to the last one.

        Of an object store no more is listed than the spans have, with a request for each that begins no page before.
        """

    def walk(self, folder: str) -> Iterator[tuple[str, int]]:
        """The key of every file below `folder`, however deep, with its size in bytes; in no promised order."""

    def foreign(self) -> Iterator[str]:
        """What `children` and `walk` pass over: symbolic links, pipes, devices, and names that cannot be keys."""

    def put(self, key: str, data: bytes) -> None:
        """Write `key` whole, at once and durably, whatever stood there."""

    def replace(self, key: str, data: bytes, *, expecting: Version | None) -> None:
        """`put`, if `key` still is the version `expecting` (None: is not there), else `FileChangedError`.

        After an error nobody knows: a write whose answer got lost may have gone through, and somebody may have built
        on it. So what was written for `data` to name is deleted only when it is old, and not named then.
        """

    def sync(self, key: str) -> None:
        """Make durable that `key` stands there, whoever wrote it and was perhaps killed on the way."""

    def move(self, key: str, to: str) -> None:
        """Rename `key`, durably; FileNotFoundError when it is not there."""

    def delete(self, keys: Iterable[str]) -> None:
        """Remove `keys`, those that are there, and the folders that this leaves empty."""

    def prune(self, folders: Iterable[str]) -> None:
        """Remove those of `folders` that are there and empty, and the folders above that this leaves empty."""

    def discard(self, key: str, *, expecting: Version) -> None:
        """Remove `key` if it is the version `expecting`, else `FileChangedError`; nothing when it is not there."""

    def sweep_scratch(self, before: float) -> int:
        """Remove unfinished files last touched before the POSIX time `before`; how many there were."""

    def lock(self, key: str, timeout: float) -> AbstractContextManager[None]:
        """Keep others who ask for `key` out, where the storage can; `PartitionBusyError` after `timeout` seconds.

        Where it cannot, `replace` alone keeps two writers from undoing each other's work: whoever changes a file
        that others change uses `replace`, under a lock or not, and deletes what the file no longer needs only after
        that went through.
        """
