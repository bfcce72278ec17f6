"""The roster's files: the ids of a chunk each, sorted, in 7 bytes an id; written once and never changed.

Nearly all ids are 64 bits in base64url. Sorted as numbers they lie 2^51 apart in a chunk of 5,000, which Parquet's
delta encoding stores in 54 bits. An id that is no 64 bits is kept as text.
"""

import base64
import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from datetime import date
from types import MappingProxyType
from typing import Final

import numpy as np
import pyarrow as pa

from ghost_tracking.core.schedule import WatchlistEntry
from ghost_tracking.errors import UnreadableFileError
from ghost_tracking.vault import layout, roster_memory
from ghost_tracking.vault.kit import parquet
from ghost_tracking.vault.roster_memory import ChunkMemory
from ghost_tracking.vault.storage import Storage

SCHEMA: Final = pa.schema([pa.field("number", pa.uint64()), pa.field("other", pa.string())])
_ID_LENGTH: Final = 11
_NOBODY: Final = {True: ("AAAAAAAAAAA", "AAAAAAAAAAE", "AAAAAAAAAAI"), False: ("-", "_", "--")}
"""One of these, which hardly a video has, stands where all ids of one kind are forgotten, among others of another."""


class ChunkFiles:
    """`roster/<day it was made>-<hash of the ids>.parquet`; days are UTC."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    def write(self, ids: Iterable[str], made_on: date) -> str:
        """Keep these ids durably; returns the chunk's name. The same ids on the same day make the same file."""
        data = encode(ids)
        name = f"{made_on.isoformat()}-{hashlib.sha256(data).hexdigest()[:20]}"
        self._storage.put(layout.chunk(name), data)
        return name

    def read(self, name: str) -> list[str]:
        """The ids of a chunk, in the order of their positions.

        UnreadableFileError, naming the file, where it is damaged or gone; an `OSError` with an `errno` is the
        storage's.
        """
        key = layout.chunk(name)
        try:
            data = self._storage.read(key).data
        except FileNotFoundError as error:
            raise UnreadableFileError(
                f"{key} is not in the vault ({self._storage.place}), but the roster names it: restore it from a backup "
                "of the vault, or the database from the time of this vault",
                key=key,
            ) from error
        with parquet.wrap_read_errors(key):
            return decode(data)

    def names(self) -> Iterator[tuple[str, date]]:
        """Every chunk that has a file, and the day it was made; also those that no row names."""
        for file in self._storage.children(layout.ROSTER):
            name = file.removesuffix(layout.SUFFIX)
            try:
                yield name, date.fromisoformat(name[:10])
            except ValueError:
                continue  # somebody else's

    def forget(self, name: str, video_ids: Iterable[str]) -> None:
        """Leave no trace of these videos in a chunk, on the roster or retired, nor of what is remembered of them.

        Positions stay: a neighbour's id takes the place of a forgotten one, which was removed from the chunk, and a
        database that is restored from a backup finds the others where it knows them. Where there are no others, the
        file has no ids any more.
        """
        ids, forgotten = self.read(name), frozenset(video_ids)
        left = _with_neighbours(ids, forgotten)
        places = {video_id: place for place, video_id in enumerate(ids) if video_id not in forgotten}
        memory = roster_memory.load(self._storage, name, len(ids))
        kept = roster_memory.taken(memory, [places.get(video_id) for video_id in left])
        roster_memory.save(self._storage, name, kept)
        self._storage.put(layout.chunk(name), encode(left))

    def delete(self, names: Sequence[str]) -> None:
        """Remove the files of chunks, those that are there, and what is remembered of their videos."""
        self._storage.delete([layout.chunk(name) for name in names])
        roster_memory.forget(self._storage, names)

    # What is remembered of a chunk's videos, by which a policy tells whom to ask for

    def memory(self, name: str, length: int) -> ChunkMemory:
        """What is remembered of the videos of a chunk with so many ids. OSError when the storage fails."""
        return roster_memory.load(self._storage, name, length)

    def remember(self, name: str, memory: ChunkMemory) -> None:
        """Keep this for the next read of a chunk."""
        roster_memory.save(self._storage, name, memory)

    def carry(
        self,
        name: str,
        ids: Sequence[str],
        replaced: Iterable[str],
        rows: Mapping[str, WatchlistEntry] = MappingProxyType({}),
    ) -> None:
        """Remember of a new chunk's videos what was remembered of them in the chunks that it replaces.

        Of the others what their last `rows` on the watchlist say is remembered.
        """
        before = []
        for old in replaced:
            old_ids = self.read(old)
            before.append((old_ids, self.memory(old, len(old_ids))))
        if rows or before:
            self.remember(name, roster_memory.carried(ids, before, rows))


def _with_neighbours(ids: Sequence[str], forgotten: Set[str]) -> list[str]:
    """The ids with that of the one before (at the beginning: after) in the place of each forgotten one.

    Sorted as before: ids that are numbers stand before others, so that a neighbour is of the same kind.
    """
    if all(video_id in forgotten for video_id in ids):
        return []
    kinds = (ids[: _first_other(ids)], ids[_first_other(ids) :])
    return [video_id for kind in kinds for video_id in _filled(kind, forgotten)]


def _filled(ids: Sequence[str], forgotten: Set[str]) -> Iterator[str]:
    neighbour = next((video_id for video_id in ids if video_id not in forgotten), None)
    for video_id in ids:
        neighbour = neighbour if video_id in forgotten else video_id
        yield neighbour or next(each for each in _NOBODY[_is_number(video_id)] if each not in forgotten)


def _first_other(ids: Sequence[str]) -> int:
    return next((place for place, video_id in enumerate(ids) if not _is_number(video_id)), len(ids))


def _is_number(video_id: str) -> bool:
    return len(video_id) == _ID_LENGTH and not base64.urlsafe_b64decode(f"{video_id}A")[8]


def encode(ids: Iterable[str]) -> bytes:
    """A chunk's file: the ids that are 64 bits by their numbers, then the others."""
    numbers, others = _numbers(list(ids))
    table = pa.table(
        {
            "number": pa.concat_arrays([pa.array(numbers, pa.uint64()), pa.nulls(len(others), pa.uint64())]),
            "other": pa.concat_arrays([pa.nulls(len(numbers), pa.string()), pa.array(others, pa.string())]),
        },
        schema=SCHEMA,
    )
    return parquet.encode(table, parquet.CHUNK)


def decode(data: bytes) -> list[str]:
    """The ids of a chunk's file."""
    with parquet.opened(pa.BufferReader(data), SCHEMA, parquet.ROSTER) as file:
        table = file.read()
    numbers = table["number"].drop_null().to_numpy()
    return [*_texts(numbers), *table["other"].drop_null().to_pylist()]


def _numbers(ids: Sequence[str]) -> tuple[np.ndarray, list[str]]:
    """The sorted numbers of the ids that are 64 bits, and the sorted rest."""
    candidates = [video_id for video_id in ids if len(video_id) == _ID_LENGTH]
    packed = base64.urlsafe_b64decode("".join(f"{video_id}A" for video_id in candidates))
    # twelve characters are nine bytes; the last one is empty in an id of 64 bits
    octets = np.frombuffer(packed, np.uint8).reshape(-1, 9)
    is_number = octets[:, 8] == 0
    numbers = np.sort(np.ascontiguousarray(octets[is_number, :8]).view(">u8").ravel().astype(np.uint64))
    others = [video_id for video_id in ids if len(video_id) != _ID_LENGTH]
    others += [video_id for video_id, fits in zip(candidates, is_number, strict=True) if not fits]
    return numbers, sorted(others)


def _texts(numbers: np.ndarray) -> list[str]:
    octets = np.zeros((len(numbers), 9), np.uint8)
    octets[:, :8] = numbers.astype(">u8").view(np.uint8).reshape(-1, 8)
    text = base64.urlsafe_b64encode(octets.tobytes()).decode("ascii")
    return [text[start : start + _ID_LENGTH] for start in range(0, len(text), 12)]
