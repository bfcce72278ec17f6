"""A vault that is a folder of a file system.

Whoever may write into it may put anything there: nothing is reached but through `beneath`, so no symbolic link below
the root leads out of it.
"""

import errno
import fcntl
import os
import stat
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from enum import Enum
from operator import attrgetter
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple, TypeVar

from ghost_tracking.errors import ConfigurationError, FileChangedError, ForeignFileError, PartitionBusyError
from ghost_tracking.vault.storage import beneath
from ghost_tracking.vault.storage.base import Blob, Version, is_key, parts_of

_LOCK_POLL_SECONDS: Final = 0.05
_PROBE_BYTES: Final = 1 << 20
"""On a disk that is full a few bytes often still find room: a part of 5,000 points takes some 300 kB."""
_ATTEMPTS: Final = 20
_NO_LOCKS: Final = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP}
_NO_FOLDER_SYNC: Final = {errno.EINVAL, errno.EOPNOTSUPP, errno.EBADF}


Result = TypeVar("Result")


class _Kind(Enum):
    FOLDER = "folder"
    FILE = "file"
    FOREIGN = "foreign"


class _Entry(NamedTuple):
    """What stands in a folder; of a file its size, where that is asked for."""

    name: str
    kind: _Kind
    size: int = 0


class LocalStorage:
    """A folder of a file system with file locks and atomic renames; see `Storage`.

    Errors of the operating system come through as `OSError`.
    """

    def __init__(self, root: Path, scratch: str) -> None:
        """`scratch` is the key of the folder for unfinished files, on the same file system as all others."""
        self.root = root
        self._root = str(root)
        self._scratch = scratch

    @property
    def place(self) -> str:
        """The folder's path."""
        return str(self.root)

    @property
    def keeps_others_out(self) -> bool:
        """It does."""
        return True

    def prepare(self) -> None:
        """Make the folder if it is missing; OSError when that, or writing into it, is not allowed."""
        self.root.mkdir(parents=True, exist_ok=True)
        self._make_folder(parts_of(self._scratch))
        with beneath.folder_of(self._root, parts_of(self._scratch)) as (folder, name):
            if not os.access(name, os.W_OK | os.X_OK, dir_fd=folder):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), f"{self.root}/{self._scratch}")

    def probe(self) -> None:
        """Really write something, as much as a part may have, and remove it; OSError when that fails."""
        self.prepare()
        self._remove(self._key(self._write_scratch(bytes(_PROBE_BYTES))))

    def exists(self) -> bool:
        """Whether the folder is there, for this process's user."""
        return self.root.is_dir()

    def read(self, key: str, *, last: int | None = None) -> Blob:
        """One version of `key`, whole or its `last` bytes; FileNotFoundError when it is not there."""
        for _ in range(_ATTEMPTS - 1):
            try:
                return self._read(key, last)
            except OSError as error:
                if error.errno != errno.ESTALE:  # a network file system's word for: replaced while being read
                    raise
        return self._read(key, last)

    def _read(self, key: str, last: int | None) -> Blob:
        with self.open(key) as file:
            status = os.fstat(file.fileno())
            if last is not None and last < status.st_size:
                file.seek(-last, os.SEEK_END)
            return Blob(file.read(), status.st_size, _version(status))

    def read_span(self, key: str, start: int, length: int) -> bytes:
        """`length` bytes of `key` from `start` on, or what there is of them; FileNotFoundError when it is not there."""
        with self.open(key) as file:
            file.seek(start)
            return file.read(max(0, length))

    def open(self, key: str) -> BinaryIO:
        """`key` for reading; a file that is replaced or deleted stays whole for who has it open."""
        try:
            return os.fdopen(beneath.open_file(self._root, parts_of(key)), "rb")
        except NotADirectoryError as error:  # above it stands a file: an object store would not mind
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), f"{self.root}/{key}") from error

    def version(self, key: str) -> Version | None:
        """The present version of `key`; None when it is not there. What is no file has one, and cannot be read."""
        try:
            with beneath.folder_of(self._root, parts_of(key)) as (folder, name):
                found = beneath.status(folder, name)
        except (FileNotFoundError, NotADirectoryError, ForeignFileError):
            return None
        return None if found is None else _version(found)

    def children(self, folder: str) -> list[str]:
        """The names right below `folder`, sorted; none when it is not there."""
        return sorted(self._listed(folder, _name))

    def children_between(self, folder: str, spans: Sequence[tuple[str, str]]) -> list[str]:
        """Those of the `children` that lie in one of these spans. All names are read, and no more of the others."""

        def read(entry: "os.DirEntry[str]") -> str | None:
            return _name(entry) if any(first <= entry.name <= last for first, last in spans) else None

        return sorted(self._listed(folder, read))

    def walk(self, folder: str) -> Iterator[tuple[str, int]]:
        """The key of every file below `folder` with its size; what goes while we walk is passed over."""
        for entry in self._listed(folder, _sized):
            key = f"{folder}/{entry.name}" if folder else entry.name
            if entry.kind is _Kind.FOLDER:
                yield from self.walk(key)
            elif entry.kind is _Kind.FILE:
                yield key, entry.size

    def foreign(self) -> Iterator[str]:
        """The keys of what is neither file nor folder, or whose name cannot be a key: links, pipes, devices."""
        return self._foreign("")

    def _foreign(self, folder: str) -> Iterator[str]:
        for entry in sorted(self._listed(folder, _entry), key=attrgetter("name")):
            key = f"{folder}/{entry.name}" if folder else entry.name
            if entry.kind is _Kind.FOREIGN:
                yield key
            elif entry.kind is _Kind.FOLDER:
                yield from self._foreign(key)

    def _listed(self, folder: str, read: Callable[["os.DirEntry[str]"], Result | None]) -> list[Result]:
        """What is read of each entry of a folder, but None; nothing where it is not there, or no folder of ours."""
        try:
            descriptor = self._listable(parts_of(folder))
        except (FileNotFoundError, NotADirectoryError, ForeignFileError):
            return []
        found = []
        try:
            with os.scandir(descriptor) as entries:
                for entry in entries:
                    with suppress(FileNotFoundError):
                        found.append(read(entry))
        finally:
            os.close(descriptor)
        return [each for each in found if each is not None]

    def _listable(self, parts: Sequence[str]) -> int:
        """A descriptor of a folder that can be listed and synced."""
        on_the_way = beneath.open_folder(self._root, parts)
        try:
            return os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=on_the_way)
        finally:
            os.close(on_the_way)

    def put(self, key: str, data: bytes) -> None:
        """Write `key` whole, at once and durably, whatever stood there."""
        parts_of(key)
        self._install(self._write_scratch(data), key)

    def replace(self, key: str, data: bytes, *, expecting: Version | None) -> None:
        """`put`, if `key` still is the version `expecting` (None: is not there), else `FileChangedError`.

        On a folder the check and the write are two steps: the caller holds a lock as well.
        """
        parts_of(key)
        scratch = self._write_scratch(data)
        if self.version(key) != expecting:
            self._remove(self._key(scratch))
            raise FileChangedError(f"{key} was replaced by somebody else", key=key)
        self._install(scratch, key)

    def sync(self, key: str) -> None:
        """Make durable that `key` stands there, whoever wrote it and was perhaps killed on the way."""
        self._sync_folder(parts_of(key)[:-1])

    def move(self, key: str, to: str) -> None:
        """Rename `key`, durably."""
        parts_of(to)
        with beneath.folder_of(self._root, parts_of(key)) as (folder, name):
            beneath.require_own(folder, name, key)
        self._install(self.root / key, to)
        self._prune([parts_of(key)[:-1]])

    def delete(self, keys: Iterable[str]) -> None:
        """Remove `keys`, those that are there, and the folders that this leaves empty."""
        keys = list(keys)
        folders = {tuple(parts_of(key)[:-1]) for key in keys}
        for key in keys:
            self._remove(key)
        self._prune(folders)

    def _remove(self, key: str) -> bool:
        """Remove one file, and say whether it was there; what is foreign is none of ours."""
        try:
            with beneath.folder_of(self._root, parts_of(key)) as (folder, name):
                found = beneath.status(folder, name)
                if found is None or beneath.is_foreign(found.st_mode):
                    return False
                os.unlink(name, dir_fd=folder)
        except (FileNotFoundError, ForeignFileError):
            return False
        return True

    def prune(self, folders: Iterable[str]) -> None:
        """Remove those of `folders` that are there and empty, and the folders above that this leaves empty."""
        self._prune([parts_of(folder) for folder in folders])

    def discard(self, key: str, *, expecting: Version) -> None:
        """Remove `key` if it is the version `expecting`; on a folder, too, only a lock makes this one step."""
        if self.version(key) not in {expecting, None}:
            raise FileChangedError(f"{key} was replaced by somebody else", key=key)
        self.delete([key])

    def sweep_scratch(self, before: float) -> int:
        """Remove unfinished files last touched before the POSIX time `before`; how many there were."""
        swept = 0
        for each in self.children(self._scratch):
            key = f"{self._scratch}/{each}"
            with suppress(FileNotFoundError), beneath.folder_of(self._root, parts_of(key)) as (folder, name):
                found = beneath.status(folder, name)
                if found is not None and stat.S_ISREG(found.st_mode) and found.st_mtime < before:
                    swept += self._remove(key)
        return swept

    @contextmanager
    def lock(self, key: str, timeout: float) -> Iterator[None]:
        """Hold `key` alone among all processes; `PartitionBusyError` after `timeout` seconds.

        The operating system lets go when the holder ends, however it ends.
        """
        parts = parts_of(key)
        self._make_folder(parts[:-1])
        with beneath.folder_of(self._root, parts) as (folder, name):
            descriptor = self._wait_for_lock(folder, name, key, time.monotonic() + timeout)
            try:
                yield
            finally:
                # Before letting go: whoever waits for this file then sees that it is gone, and locks its successor.
                with suppress(FileNotFoundError):
                    os.unlink(name, dir_fd=folder)
                os.close(descriptor)

    def _wait_for_lock(self, folder: int, name: str, key: str, deadline: float) -> int:
        while True:
            beneath.require_own(folder, name, key)
            descriptor = os.open(
                name, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o666, dir_fd=folder
            )
            try:
                if _try_lock(descriptor, self.root / key) and _is_still(descriptor, folder, name):
                    return descriptor
            except BaseException:
                os.close(descriptor)
                raise
            os.close(descriptor)
            if time.monotonic() >= deadline:
                raise PartitionBusyError(f"{name} is held by somebody else", key=name)
            time.sleep(_LOCK_POLL_SECONDS)

    def _write_scratch(self, data: bytes) -> Path:
        key = f"{self._scratch}/{os.getpid()}-{uuid.uuid4().hex}"
        self._make_folder(parts_of(self._scratch))
        with beneath.folder_of(self._root, parts_of(key)) as (folder, name):
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            descriptor = os.open(name, flags, 0o666, dir_fd=folder)
            try:
                with os.fdopen(descriptor, "wb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
            except OSError:
                with suppress(FileNotFoundError):
                    os.unlink(name, dir_fd=folder)  # a full disk is not made fuller
                raise
        return self.root / key

    def _key(self, path: Path) -> str:
        return path.relative_to(self.root).as_posix()

    def _install(self, source: Path, key: str) -> None:
        target = parts_of(key)
        changed = {tuple(target[:-1])}
        for attempt in range(_ATTEMPTS):
            changed |= self._make_folder(target[:-1])
            try:
                self._rename(parts_of(self._key(source)), target)
                break
            except FileNotFoundError:
                # A folder that just became empty was removed: make it again.
                if attempt == _ATTEMPTS - 1 or self.version(self._key(source)) is None:
                    raise
        for folder in changed:
            with suppress(FileNotFoundError):  # somebody has published, verified and removed the part already
                self._sync_folder(folder)

    def _rename(self, source: Sequence[str], target: Sequence[str]) -> None:
        with (
            beneath.folder_of(self._root, source) as (source_folder, source_name),
            beneath.folder_of(self._root, target) as (folder, name),
        ):
            beneath.require_own(folder, name, "/".join(target))
            os.rename(source_name, name, src_dir_fd=source_folder, dst_dir_fd=folder)

    def _make_folder(self, parts: Sequence[str]) -> set[tuple[str, ...]]:
        """Make the folder and what is missing above it; the folders that have a new entry, to be synced."""
        try:
            os.close(beneath.open_folder(self._root, parts))
        except FileNotFoundError:
            pass
        else:
            return set()
        if not parts:
            self.root.mkdir(parents=True, exist_ok=True)
            return set()
        changed = self._make_folder(parts[:-1])
        above = parts[:-1]
        # its parent went meanwhile, and the caller comes again; or somebody else has made it
        with suppress(FileNotFoundError, FileExistsError), beneath.folder_of(self._root, parts) as (folder, name):
            os.mkdir(name, dir_fd=folder)
        return {*changed, tuple(above)}

    def _sync_folder(self, parts: Sequence[str]) -> None:
        _sync(self._listable(parts))

    def _prune(self, folders: Iterable[Sequence[str]]) -> None:
        for parts in folders:
            # from itself up to the root, which stays
            for depth in range(len(parts), 0, -1):
                try:
                    with beneath.folder_of(self._root, parts[:depth]) as (above, name):
                        os.rmdir(name, dir_fd=above)
                except (OSError, ForeignFileError):
                    break


def _name(entry: "os.DirEntry[str]") -> str | None:
    # its kind comes with the listing, on most file systems
    ours = entry.is_file(follow_symlinks=False) or entry.is_dir(follow_symlinks=False)
    return entry.name if ours and is_key(entry.name) else None


def _entry(entry: "os.DirEntry[str]") -> _Entry:
    if not is_key(entry.name):
        return _Entry(entry.name, _Kind.FOREIGN)
    if entry.is_dir(follow_symlinks=False):
        return _Entry(entry.name, _Kind.FOLDER)
    return _Entry(entry.name, _Kind.FILE if entry.is_file(follow_symlinks=False) else _Kind.FOREIGN)


def _sized(entry: "os.DirEntry[str]") -> _Entry:
    found = _entry(entry)
    return found._replace(size=entry.stat(follow_symlinks=False).st_size) if found.kind is _Kind.FILE else found


def _version(status: os.stat_result) -> tuple[int, int, int]:
    return status.st_ino, status.st_mtime_ns, status.st_size


def _try_lock(descriptor: int, path: Path) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno in _NO_LOCKS:
            raise ConfigurationError(
                f"The file system of {path.parent} has no file locks, which the vault needs", path=str(path)
            ) from error
        raise
    return True


def _is_still(descriptor: int, folder: int, name: str) -> bool:
    found = beneath.status(folder, name)
    return found is not None and os.path.samestat(os.fstat(descriptor), found)


def _sync(descriptor: int) -> None:
    """Make a folder's entries durable, and close it."""
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _NO_FOLDER_SYNC:  # some network file systems do it by themselves and refuse
            raise
    finally:
        os.close(descriptor)
