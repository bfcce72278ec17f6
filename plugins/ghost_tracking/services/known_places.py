"""Where ids have a place already: those of the roster and of lists, sorted into ranges that fit into memory."""

import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import IO, Any, Final, Self, TypeAlias

import numpy as np
import numpy.typing as npt

Ids: TypeAlias = npt.NDArray[np.bytes_]
"""Ids as bytes, up to 20 each."""
Numbers: TypeAlias = npt.NDArray[np.int64]
Ranges: TypeAlias = list[tuple[str, str | None]]
"""Ranges [first, end) of ids, in order; None: open."""

MOST_HELD: Final = 1_000_000
"""So many ids are held before they are written."""

_CHARACTERS: Final = sorted("-0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz")
_USUAL: Final = 11
"""Characters of an id of YouTube's."""


def split_ranges(ranges: Ranges) -> Ranges:
    """These ranges; where there is one only, ranges by the first character instead."""
    if len(ranges) > 1:
        return ranges
    borders = _CHARACTERS[1:]
    return list(zip(["", *borders], [*borders, None], strict=True))


class KnownPlaces:
    """Ids by range: those on the `roster`, those `listed`, and when videos went (`gone`).

    Temporary files, which go with the process.
    """

    def __init__(self, ranges: Ranges) -> None:
        firsts = [first for first, _ in ranges]
        self.ranges = ranges
        self.roster = RangedIds(firsts)
        self.listed = RangedIds(firsts)
        self.gone = RangedTimes(firsts)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for each in (self.roster, self.listed, self.gone):
            each.close()


class RangedIds:
    """Ids sorted into ranges that begin at `firsts`: a temporary file each, 11 bytes an id.

    Holds a million ids until they are written. Ids longer than YouTube's, of up to 20 characters, stay in memory.
    """

    def __init__(self, firsts: Sequence[str]) -> None:
        self._files = _RangedFiles(firsts, np.dtype(f"S{_USUAL}"))
        self._long: list[str] = []

    def add(self, ids: Sequence[str]) -> None:
        """Keep these ids as well."""
        short = [id_ for id_ in ids if len(id_) <= _USUAL]
        if len(short) < len(ids):
            self._long += [id_ for id_ in ids if len(id_) > _USUAL]
        ready = np.array(short, dtype=f"S{_USUAL}")
        self._files.append(ready, ready)

    def of(self, place: int, first: str = "", end: str | None = None) -> Ids:
        """The ids of a range, sorted, each once; of these those in [first, end)."""
        long = sorted_ids(self._long)
        parts = [long[self._files.places(long) == place], self._files.read(place)]
        found: Ids = np.unique(np.concatenate([part for part in parts if len(part)] or [long[:0]]))
        start = np.searchsorted(found, np.bytes_(first.encode()))
        stop = len(found) if end is None else np.searchsorted(found, np.bytes_(end.encode()))
        return found[start:stop]

    def close(self) -> None:
        """Remove the temporary files."""
        self._files.close()


class RangedTimes:
    """Times of ids, in seconds since 1970, sorted into ranges as `RangedIds` are: 28 bytes each."""

    _RECORD: Final = np.dtype([("id", "S20"), ("at", "<i8")])

    def __init__(self, firsts: Sequence[str]) -> None:
        self._files = _RangedFiles(firsts, self._RECORD)

    def add(self, ids: Sequence[str], seconds: Numbers) -> None:
        """Keep these times as well."""
        records = np.zeros(len(ids), dtype=self._RECORD)
        records["id"], records["at"] = ids, seconds
        self._files.append(records["id"], records)

    def of(self, place: int) -> tuple[Ids, Numbers]:
        """The ids of a range, sorted, each once, and the latest time of each."""
        records = np.sort(self._files.read(place), order=["id", "at"])
        is_last = np.append(records["id"][1:] != records["id"][:-1], np.ones(min(len(records), 1), dtype=bool))
        return records["id"][is_last], records["at"][is_last]

    def close(self) -> None:
        """Remove the temporary files."""
        self._files.close()


class _RangedFiles:
    """Records of one dtype in a temporary file for each range. Holds a million records until they are written."""

    def __init__(self, firsts: Sequence[str], dtype: "np.dtype[Any]") -> None:
        self._firsts = np.array(firsts, dtype="S20")
        self._dtype = dtype
        self._opened = ExitStack()
        self._files: dict[int, IO[bytes]] = {}
        self._pending: list[tuple[Ids, npt.NDArray[Any]]] = []

    def append(self, ids: Ids, records: npt.NDArray[Any]) -> None:
        self._pending.append((ids, records))
        if sum(len(each) for each, _ in self._pending) >= MOST_HELD:
            self._write()

    def read(self, place: int) -> npt.NDArray[Any]:
        self._write()
        if (file := self._files.get(place)) is None:
            return np.zeros(0, dtype=self._dtype)
        file.seek(0)
        return np.frombuffer(file.read(), dtype=self._dtype)

    def places(self, ids: Ids) -> npt.NDArray[np.intp]:
        places: npt.NDArray[np.intp] = np.searchsorted(self._firsts, ids, side="right") - 1
        return places

    def close(self) -> None:
        self._opened.close()

    def _write(self) -> None:
        pending, self._pending = self._pending, []
        if not pending:
            return
        places = self.places(np.concatenate([ids for ids, _ in pending]))
        records = np.concatenate([records for _, records in pending])
        order = np.argsort(places, kind="stable")
        places, records = places[order], records[order]
        for place in np.unique(places).tolist():
            if place not in self._files:
                self._files[place] = self._opened.enter_context(tempfile.TemporaryFile())  # noqa: SIM115
            start, stop = np.searchsorted(places, [place, place + 1])
            self._files[place].seek(0, 2)
            self._files[place].write(records[start:stop].tobytes())


def among(ids: Ids, known: Ids) -> npt.NDArray[np.bool_]:
    """Which of these ids are among others, which are sorted."""
    if not len(known):
        return np.zeros(len(ids), dtype=bool)
    places = np.minimum(np.searchsorted(known, ids), len(known) - 1)
    found: npt.NDArray[np.bool_] = known[places] == ids
    return found


def sorted_ids(ids: Sequence[str]) -> Ids:
    found: Ids = np.sort(np.array(ids, dtype="S20"))
    return found


def texts_of(ids: Ids) -> list[str]:
    texts: list[str] = ids.astype("U20").tolist()
    return texts
