"""A vault that is a folder of a file system."""

import errno
import fcntl
import itertools
import os
import stat
import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Final

from ghost_tracking.errors import ConfigurationError, FileChangedError, PartitionBusyError
from ghost_tracking.hooks.vault.storage.base import Blob, Version

_LOCK_POLL_SECONDS: Final = 0.05
_PROBE_BYTES: Final = 1 << 20
"""On a disk that is full a few bytes often still find room: a part of 5,000 points takes some 300 kB."""
_ATTEMPTS: Final = 20
_NO_LOCKS: Final = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP}
_NO_FOLDER_SYNC: Final = {errno.EINVAL, errno.EOPNOTSUPP, errno.EBADF}


class FolderStorage:
    """A folder of a file system with file locks and atomic renames; see `Storage`.

    Errors of the operating system come through as `OSError`.
    """

    def __init__(self, root: Path, scratch: str) -> None:
        """`scratch` is the key of the folder for unfinished files, on the same file system as all others."""
        self.root = root
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
        scratch = self.root / self._scratch
        scratch.mkdir(parents=True, exist_ok=True)
        if not os.access(scratch, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(scratch))

    def probe(self) -> None:
        """Really write something, as much as a part may have, and remove it; OSError when that fails."""
        self.prepare()
        self._write_scratch(bytes(_PROBE_BYTES)).unlink()

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

    def open(self, key: str) -> BinaryIO:
        """`key` for reading; a file that is replaced or deleted stays whole for who has it open."""
        try:
            return (self.root / key).open("rb")
        except NotADirectoryError as error:  # above it stands a file: an object store would not mind
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(self.root / key)) from error

    def version(self, key: str) -> Version | None:
        """The present version of `key`; None when it is not there."""
        try:
            return _version((self.root / key).stat())
        except (FileNotFoundError, NotADirectoryError):
            return None

    def children(self, folder: str) -> list[str]:
        """The names right below `folder`, sorted; none when it is not there."""
        try:
            return sorted(os.listdir(self.root / folder))  # noqa: PTH208 - a tenth of the time of iterdir
        except (FileNotFoundError, NotADirectoryError):
            return []

    def walk(self, folder: str) -> Iterator[tuple[str, int]]:
        """The key of every file below `folder` with its size; what goes while we walk is passed over."""
        for name in self.children(folder):
            key = f"{folder}/{name}" if folder else name
            with suppress(FileNotFoundError):
                status = (self.root / key).stat()
                if stat.S_ISDIR(status.st_mode):
                    yield from self.walk(key)
                else:
                    yield key, status.st_size

    def put(self, key: str, data: bytes) -> None:
        """Write `key` whole, at once and durably, whatever stood there."""
        self._install(self._write_scratch(data), key)

    def replace(self, key: str, data: bytes, *, expecting: Version | None) -> None:
        """`put`, if `key` still is the version `expecting` (None: is not there), else `FileChangedError`.

        On a folder the check and the write are two steps: the caller holds a lock as well.
        """
        scratch = self._write_scratch(data)
        if self.version(key) != expecting:
            scratch.unlink(missing_ok=True)
            raise FileChangedError(f"{key} was replaced by somebody else", key=key)
        self._install(scratch, key)

    def settle(self, key: str) -> None:
        """Make durable that `key` stands there, whoever wrote it and was perhaps killed on the way."""
        _sync_folder((self.root / key).parent)

    def move(self, key: str, to: str) -> None:
        """Rename `key`, durably."""
        self._install(self.root / key, to)
        self._prune([(self.root / key).parent])

    def delete(self, keys: Iterable[str]) -> None:
        """Remove `keys`, those that are there, and the folders that this leaves empty."""
        paths = [self.root / key for key in keys]
        for path in paths:
            path.unlink(missing_ok=True)
        self._prune({path.parent for path in paths})

    def prune(self, folders: Iterable[str]) -> None:
        """Remove those of `folders` that are there and empty, and the folders above that this leaves empty."""
        self._prune(self.root / folder for folder in folders)

    def discard(self, key: str, *, expecting: Version) -> None:
        """Remove `key` if it is the version `expecting`; on a folder, too, only a lock makes this one step."""
        if self.version(key) not in {expecting, None}:
            raise FileChangedError(f"{key} was replaced by somebody else", key=key)
        self.delete([key])

    def sweep_scratch(self, before: float) -> int:
        """Remove unfinished files last touched before the POSIX time `before`; how many there were."""
        swept = 0
        for name in self.children(self._scratch):
            path = self.root / self._scratch / name
            with suppress(FileNotFoundError):
                if path.stat().st_mtime < before:
                    path.unlink()
                    swept += 1
        return swept

    @contextmanager
    def lock(self, key: str, timeout: float) -> Iterator[None]:
        """Hold `key` alone among all processes; `PartitionBusyError` after `timeout` seconds.

        The operating system lets go when the holder ends, however it ends.
        """
        path = self.root / key
        self._make_folder(path.parent)
        descriptor = self._wait_for_lock(path, time.monotonic() + timeout)
        try:
            yield
        finally:
            # Before letting go: whoever waits for this file then sees that it is gone, and locks its successor.
            path.unlink(missing_ok=True)
            os.close(descriptor)

    def _wait_for_lock(self, path: Path, deadline: float) -> int:
        while True:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
            try:
                if _try_lock(descriptor, path) and _is_still(descriptor, path):
                    return descriptor
            except BaseException:
                os.close(descriptor)
                raise
            os.close(descriptor)
            if time.monotonic() >= deadline:
                raise PartitionBusyError(f"{path.name} is held by somebody else", key=path.name)
            time.sleep(_LOCK_POLL_SECONDS)

    def _write_scratch(self, data: bytes) -> Path:
        path = self.root / self._scratch / f"{os.getpid()}-{uuid.uuid4().hex}"
        self._make_folder(path.parent)
        try:
            with path.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        except OSError:
            path.unlink(missing_ok=True)  # a full disk is not made fuller
            raise
        return path

    def _install(self, source: Path, key: str) -> None:
        target = self.root / key
        changed = {target.parent}
        for attempt in range(_ATTEMPTS):
            changed |= self._make_folder(target.parent)
            try:
                source.replace(target)
                break
            except FileNotFoundError:
                # A folder that just became empty was removed: make it again.
                if attempt == _ATTEMPTS - 1 or not source.exists():
                    raise
        for folder in changed:
            with suppress(FileNotFoundError):  # somebody has published, verified and removed the part already
                _sync_folder(folder)

    def _make_folder(self, folder: Path) -> set[Path]:
        """Make `folder` and what is missing above it; the folders that have a new entry, to be synced."""
        if folder.is_dir():
            return set()
        changed = self._make_folder(folder.parent)
        with suppress(FileNotFoundError):  # its parent went meanwhile: the caller comes again
            folder.mkdir(exist_ok=True)
        return {*changed, folder.parent}

    def _prune(self, folders: Iterable[Path]) -> None:
        for folder in folders:
            # from itself up to the root, which stays
            for each in itertools.takewhile(self.root.__ne__, (folder, *folder.parents)):
                try:
                    each.rmdir()
                except OSError:
                    break


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


def _is_still(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _NO_FOLDER_SYNC:  # some network file systems do it by themselves and refuse
            raise
    finally:
        os.close(descriptor)
