"""Reading the archive: the metadata of given videos."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Final, TypeVar

import pandas as pd
import pyarrow as pa

from ghost_tracking.core.arguments import ids_of
from ghost_tracking.errors import FileChangedError, UnreadableFileError
from ghost_tracking.vault.metadata import files
from ghost_tracking.vault.metadata.lookup import Published, found_in
from ghost_tracking.vault.metadata.manifest import ArchiveManifest, missing_file
from ghost_tracking.vault.metadata.rows import GIVEN, SCHEMA, STAGED, newest_of_each, standing
from ghost_tracking.vault.metadata.writing import staged_parts
from ghost_tracking.vault.storage import Storage, Version

_ATTEMPTS: Final = 10

Result = TypeVar("Result")


def read_videos(storage: Storage, video_ids: Published) -> pd.DataFrame:
    """One row for each of these videos that is archived or staged, sorted by video_id; opens as `rows_of_videos`."""
    wanted = ids_of(video_ids)
    # Staged ones first: what is merged meanwhile is then found in the archive.
    found = {row["video_id"]: row for row in _staged_rows(storage, wanted).to_pylist()}
    known = video_ids if isinstance(video_ids, Mapping) else wanted
    archived = rows_of_videos(storage, known, GIVEN)
    for row in archived.to_pylist():
        newer = found.get(row["video_id"])
        found[row["video_id"]] = (newer and standing(row, newer, STAGED)) or row
    schema = pa.schema([SCHEMA.field(name) for name in GIVEN])
    return frame_of(pa.Table.from_pylist([found[video_id] for video_id in sorted(found)], schema=schema))


def with_manifest(storage: Storage, read: Callable[[ArchiveManifest], Result]) -> Result:
    """Read by the present manifest, again when files that it named are gone since."""
    seen: Version | None = None
    for _ in range(_ATTEMPTS - 1):
        manifest, version = ArchiveManifest.of(storage)
        try:
            return read(manifest)
        except FileChangedError:
            continue
        except FileNotFoundError as error:
            if version == seen:
                raise missing_file(error) from error
            seen = version
    return read(ArchiveManifest.of(storage)[0])


def rows_of_videos(storage: Storage, known: Published, columns: Sequence[str]) -> pa.Table:
    """These columns of the archived videos among these, in no promised order.

    Where `known` gives publish times, only files that have videos of about that time are opened, up to 16 at a time.
    """
    schema = pa.schema([SCHEMA.field(name) for name in columns])

    def read(manifest: ArchiveManifest) -> pa.Table:
        found = found_in(storage, manifest.files, known, columns, trusting=True)
        return pa.concat_tables([schema.empty_table(), *(rows for _, rows in found)])

    return with_manifest(storage, read)


def _staged_rows(storage: Storage, video_ids: Sequence[str]) -> pa.Table:
    found = [pa.schema([SCHEMA.field(name) for name in GIVEN]).empty_table()]
    for key in staged_parts(storage).listed():
        # merged meanwhile, and so in the archive; a broken one is for the archiver to report
        with suppress(FileNotFoundError, UnreadableFileError), files.opened(storage, key) as part:
            found.append(files.rows_of(part, video_ids, GIVEN))
    return newest_of_each(pa.concat_tables(found))


def frame_of(table: pa.Table) -> pd.DataFrame:
    """A table as a frame."""
    # Nullable integers, whether nulls are among them or not: a column's type never depends on its content.
    frame: pd.DataFrame = table.to_pandas(types_mapper={pa.int64(): pd.Int64Dtype()}.get)
    return frame
