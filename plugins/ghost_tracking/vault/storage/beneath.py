"""Files below a folder, reached part by part, so that no symbolic link is followed on the way there.

Each part is opened relative to the one before it, and never through a link: whoever may write into the folder can put
links there, and can swap a folder for a link at any moment, so that looking first and opening a path later would not
do. The folder itself may be reached through links, as mounts often are.
"""

import errno
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from ghost_tracking.errors import ForeignFileError

_ON_THE_WAY: Final = os.O_DIRECTORY | os.O_CLOEXEC | getattr(os, "O_PATH", os.O_RDONLY)
"""With O_PATH, a folder that may be entered but not listed will do, as it does in a path."""
_READING: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
"""Opening a pipe would else wait for somebody to write into it."""


def open_folder(root: str, parts: Sequence[str]) -> int:
    """A descriptor of the folder of these parts, to be closed by the caller and good for reaching what is in it.

    FileNotFoundError and NotADirectoryError as usual, `ForeignFileError` where a part is a link.
    """
    folder = os.open(root, _ON_THE_WAY)
    for number, part in enumerate(parts, start=1):
        try:
            inner = os.open(part, _ON_THE_WAY | os.O_NOFOLLOW, dir_fd=folder)
        except OSError as error:
            raise _explained(error, folder, part, "/".join(parts[:number]), root) from error
        finally:
            os.close(folder)
        folder = inner
    return folder


@contextmanager
def folder_of(root: str, parts: Sequence[str]) -> Iterator[tuple[int, str]]:
    """The folder that the file of these parts stands in, open as from `open_folder`, and the file's name."""
    folder = open_folder(root, parts[:-1])
    try:
        yield folder, parts[-1]
    finally:
        os.close(folder)


def open_file(root: str, parts: Sequence[str]) -> int:
    """A descriptor of a regular file for reading; raises as `open_folder`, and IsADirectoryError."""
    folder = open_folder(root, parts[:-1])
    try:
        descriptor = os.open(parts[-1], _READING, dir_fd=folder)
    except OSError as error:
        raise _explained(error, folder, parts[-1], "/".join(parts), root) from error
    finally:
        os.close(folder)
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), f"{root}/{'/'.join(parts)}")
        raise foreign("/".join(parts), mode)
    return descriptor


def status(folder: int, name: str) -> os.stat_result | None:
    """What stands in a folder under this name, a link as itself; None where nothing does."""
    try:
        return os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return None


def require_own(folder: int, name: str, key: str) -> os.stat_result | None:
    """As `status`; `ForeignFileError` for what is neither a file nor a folder."""
    found = status(folder, name)
    if found is not None and is_foreign(found.st_mode):
        raise foreign(key, found.st_mode)
    return found


def is_foreign(mode: int) -> bool:
    """Whether this is neither a file nor a folder."""
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def foreign(key: str, mode: int) -> ForeignFileError:
    """What to raise of a link, a pipe or a device."""
    what = "a symbolic link" if stat.S_ISLNK(mode) else "no regular file"
    return ForeignFileError(
        f"{key} is {what}, which the vault neither follows nor changes: remove it, or put what belongs there in its "
        "place",
        key=key,
    )


def _explained(error: OSError, folder: int, name: str, key: str, root: str) -> Exception:
    """An error of opening with the whole path, or the link that it comes of."""
    if error.errno in {errno.ELOOP, errno.ENOTDIR, errno.EMLINK, errno.ENXIO}:  # BSD says EMLINK of a link
        found = status(folder, name)
        if found is not None and is_foreign(found.st_mode):
            return foreign(key, found.st_mode)
    return OSError(error.errno, error.strerror, f"{root}/{key}")
