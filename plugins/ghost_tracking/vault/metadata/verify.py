"""Checking the archive: what it holds, by its manifest and footers, and whether all of it is as it should be."""

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ghost_tracking.errors import UnreadableFileError
from ghost_tracking.vault import layout
from ghost_tracking.vault.kit.manifests import size_problem
from ghost_tracking.vault.metadata import files
from ghost_tracking.vault.metadata.manifest import ArchivedFile, ArchiveManifest
from ghost_tracking.vault.metadata.writing import staged_parts
from ghost_tracking.vault.storage import Storage

_SHOWN: Final = 3


def survey(storage: Storage) -> dict[str, Any]:
    """What the manifest tells: `videos`, `files`, `bytes`; `staged_parts`; `unreadable` files with the reason.

    No file is opened: the one listing tells which are there, and how large they are.
    """
    staged = len(staged_parts(storage).listed())
    try:
        manifest, _ = ArchiveManifest.of(storage)
    except UnreadableFileError as error:
        return {"videos": 0, "files": 0, "bytes": 0, "staged_parts": staged, "unreadable": [error.message]}
    there = dict(storage.walk(layout.VIDEOS)) if manifest.files else {}
    problems = (size_problem(file.key, file.bytes, there.get(file.key)) for file in manifest.files)
    return {
        "videos": sum(file.videos for file in manifest.files),
        "files": len(manifest.files),
        "bytes": sum(file.bytes for file in manifest.files),
        "staged_parts": staged,
        "unreadable": [problem for problem in problems if problem],
    }


def verify(storage: Storage) -> list[str]:
    """What is wrong with the archive, in sentences that name the file; reads all of it, a row group at a time.

    Each file is whole, sorted and has as many videos as the manifest says, and no video is in two. Raises OSError when
    the storage fails. While an archive is written, its retired files may be reported missing: verify again.
    """
    try:
        manifest, _ = ArchiveManifest.of(storage)
    except UnreadableFileError as error:
        return [error.message]
    problems = {file.key: problem_of(storage, file) for file in manifest.files}
    sound = [file for file in manifest.files if not problems[file.key]]
    return [problem for problem in problems.values() if problem] + list(_twice(storage, sound))


def problem_of(storage: Storage, file: ArchivedFile) -> str | None:
    """What is wrong with one file, told by all of it, a row group at a time; raises OSError."""
    try:
        with files.opened(storage, file.key) as opened:
            found = opened.metadata.num_rows
            if found != file.videos:
                return f"{file.key} has {found:,} videos where the manifest says {file.videos:,}"
            if not _is_sorted(files.groups(opened)):
                return f"{file.key} is not sorted by video_id, or has a video twice"
    except UnreadableFileError as error:
        return error.message
    except FileNotFoundError:
        return f"{file.key} is missing, though the manifest names it"
    return None


def _is_sorted(groups: Iterator[pa.Table]) -> bool:
    """Whether ids go up, within each group and from each to the next."""
    last = pa.array([], pa.string())
    for group in groups:
        ids = pa.concat_arrays([last, *group["video_id"].chunks])
        if len(ids) > 1 and not pc.all(pc.less(ids.slice(0, len(ids) - 1), ids.slice(1))).as_py():
            return False
        last = ids.slice(len(ids) - 1)
    return True


def _twice(storage: Storage, sound: list[ArchivedFile]) -> Iterator[str]:
    """The videos that are in more than one file."""
    with ExitStack() as stack:
        streams = []
        for file in sound:
            opened = stack.enter_context(files.opened(storage, file.key))
            streams.append(_ids_of(opened, file.key))
        again = 0
        for rows in files.merged(streams):
            ids = rows["video_id"].combine_chunks()
            for number in pc.indices_nonzero(pc.equal(ids.slice(1), ids.slice(0, len(ids) - 1))).to_pylist():
                again += 1
                if again <= _SHOWN:
                    yield f"{rows['file'][number + 1]} has video {ids[number]}, which is in {rows['file'][number]} too"
        if again > _SHOWN:
            yield f"{again - _SHOWN:,} more videos are in two files of the archive"


def _ids_of(file: pq.ParquetFile, key: str) -> Iterator[pa.Table]:
    for rows in files.groups(file, ["video_id"]):
        yield rows.append_column("file", pa.array([key] * rows.num_rows, pa.string()))
