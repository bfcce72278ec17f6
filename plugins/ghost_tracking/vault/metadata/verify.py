"""Checking the archive: what it holds, by its manifest and footers, and whether all of it is as it should be."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ghost_tracking.errors import FileChangedError, UnreadableFileError
from ghost_tracking.vault import layout
from ghost_tracking.vault.kit.digests import digest_of
from ghost_tracking.vault.kit.manifests import size_problem
from ghost_tracking.vault.metadata import files
from ghost_tracking.vault.metadata.manifest import ArchivedFile, ArchiveManifest, words_of
from ghost_tracking.vault.metadata.writing import Archive, staged_parts
from ghost_tracking.vault.storage import Storage

_SHOWN: Final = 3
_IDS_AT_A_TIME: Final = 8_000_000


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
    """What is wrong with the archive, in sentences that name the file.

    Each file and each index has the bytes that were written, or else is whole, sorted and has as many videos as the
    manifest says; no video is in two files. Raises OSError when the storage fails. While an archive is written, its
    retired files may be reported missing: verify again. Opens one file at a time, and holds it, 64 MB, or the ids of
    eight million videos, 250 MB.
    """
    try:
        manifest, _ = ArchiveManifest.of(storage)
    except UnreadableFileError as error:
        return [error.message]
    problems = {file.key: problem_of(storage, file) for file in manifest.files}
    sound = [file for file in manifest.files if not problems[file.key]]
    of_words = [problem for file in sound if (problem := verify_words(storage, file))]
    try:
        twice = duplicates(storage, sound)
    except UnreadableFileError as error:
        twice = [error.message]
    except (FileNotFoundError, FileChangedError) as error:
        twice = [f"the archive was rewritten while its ids were compared, verify again: {error}"]
    return [problem for problem in problems.values() if problem] + of_words + twice


def problem_of(storage: Storage, file: ArchivedFile) -> str | None:
    """What is wrong with one file; one that has the bytes that were written is proven without decoding; OSError."""
    try:
        if file.hash and digest_of(storage.read(file.key).data) == file.hash:
            return None
    except FileNotFoundError:
        return f"{file.key} is missing, though the manifest names it"
    return _problem_of_rows(storage, file)


def verify_words(storage: Storage, file: ArchivedFile) -> str | None:
    """What is wrong with a file's index, if it is to have one."""
    if file.words is None:
        return None
    key = words_of(file.name)
    repair = "titles are read without it, which takes longer: repair the vault to have it made again"
    try:
        is_written = digest_of(storage.read(key).data) == file.words.hash
    except FileNotFoundError:
        return f"{key} is missing, though the manifest names it; {repair}"
    return None if is_written else f"{key} is not as it was written; {repair}"


def mend_words(storage: Storage, lock_timeout: float) -> list[str]:
    """Make every index again that is missing or not as it was written; the keys of those. Holds a file at a time.

    Nothing where the manifest is damaged, or an archived file is: an index is made of these.
    """
    try:
        held = ArchiveManifest.of(storage)[0].files
    except UnreadableFileError:
        return []
    broken = [file.name for file in held if verify_words(storage, file)]
    if broken:
        Archive(storage, lock_timeout).index(0, also=broken)
    return [words_of(file.name) for file in held if file.name in broken and not verify_words(storage, file)]


def duplicates(storage: Storage, held: Sequence[ArchivedFile], part: int = 0, parts: int = 1) -> list[str]:
    """The videos that are in more than one of these files, which can be read, in sentences.

    Of all ids, or of one of `parts` shares of them, from 0. Opens one file at a time; holds the ids of eight million
    videos, 250 MB. FileNotFoundError or FileChangedError where an archiving has merged one of them meanwhile,
    UnreadableFileError for one that is broken after all.
    """
    found: list[tuple[str, str, str]] = []
    borders = _borders(storage, held, parts)
    share = range(len(borders) * part // parts, len(borders) * (part + 1) // parts)
    for number in share:
        found += _twice(storage, held, borders[number], borders[number + 1] if number + 1 < len(borders) else None)
    shown = [f"{second} has video {video_id}, which is in {first} too" for video_id, first, second in found[:_SHOWN]]
    more = len(found) - _SHOWN
    return [*shown, f"{more:,} more videos are in two files of the archive"] if more > 0 else shown


def _borders(storage: Storage, held: Sequence[ArchivedFile], parts: int) -> list[str]:
    """From which ids on each range goes that is looked through at a time, as the footers tell; of any share some."""
    firsts = {""}
    for file in held:
        with files.opened(storage, file.key) as opened:
            firsts.update(files.first_ids(opened))
    ordered = sorted(firsts)
    ranges = max(parts, -(-sum(file.videos for file in held) // _IDS_AT_A_TIME))
    return ordered[:: max(1, len(ordered) // ranges)]


def _twice(storage: Storage, held: Sequence[ArchivedFile], first: str, end: str | None) -> list[tuple[str, str, str]]:
    """The ids in [first, end) that are in two files, with the keys of these, in the order of the manifest."""
    ids, of_file = [pa.array([], pa.string())], [np.empty(0, dtype=np.int64)]
    for number, file in enumerate(held):
        with files.opened(storage, file.key) as opened:
            here = files.ids_between(opened, first, end)
        ids += here.chunks
        of_file.append(np.full(len(here), number))
    together, places = pa.concat_arrays(ids), np.concatenate(of_file)
    order = pc.sort_indices(together).to_numpy()  # stable: of the same id the file that comes first
    together, places = together.take(pa.array(order)), places[order]
    again = pc.indices_nonzero(pc.equal(together.slice(1), together.slice(0, max(0, len(together) - 1)))).to_pylist()
    return [(together[at].as_py(), held[places[at]].key, held[places[at + 1]].key) for at in again]


def _problem_of_rows(storage: Storage, file: ArchivedFile) -> str | None:
    """What is wrong with one file, told by all of it, a row group at a time."""
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
