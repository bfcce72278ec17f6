"""Where ids have a place already: those of the roster and of lists, sorted into ranges that fit into memory."""

import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import IO, Final, Self, TypeAlias

import numpy as np
import numpy.typing as npt

Ids: TypeAlias = npt.NDArray[np.bytes_]
"""Ids as bytes, up to 20 each."""
Ranges: TypeAlias = list[tuple[str, str | None]]
"""Ranges [first, end) of ids, in order; None: open."""

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
    """Ids by range: those on the `roster`, and those `listed`. Temporary files, which go with the process."""

    def __init__(self, ranges: Ranges) -> None:
        self.ranges = ranges
        self.roster = RangedIds([first for first, _ in ranges])
        self.listed = RangedIds([first for first, _ in ranges])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.roster.close()
        self.listed.close()


class RangedIds:
    """Ids sorted into ranges that begin at `firsts`: a temporary file each, 11 bytes an id.

    Holds a million ids until they are written. Ids longer than YouTube's, of up to 20 characters, stay in memory.
    """

    _HELD: Final = 1_000_000

    def __init__(self, firsts: Sequence[str]) -> None:
        self._firsts = np.array(firsts, dtype="S20")
        self._opened = ExitStack()
        self._files: dict[int, IO[bytes]] = {}
        self._long: list[str] = []
        self._pending: list[Ids] = []

    def add(self, ids: Sequence[str]) -> None:
        """Keep these ids as well."""
        short = [id_ for id_ in ids if len(id_) <= _USUAL]
        if len(short) < len(ids):
            self._long += [id_ for id_ in ids if len(id_) > _USUAL]
        self._pending.append(np.array(short, dtype=f"S{_USUAL}"))
        if sum(map(len, self._pending)) >= self._HELD:
            self._write()

    def of(self, place: int, first: str = "", end: str | None = None) -> Ids:
        """The ids of a range, sorted, each once; of these those in [first, end)."""
        self._write()
        long = sorted_ids(self._long)
        parts = [long[self._places(long) == place]]
        if (file := self._files.get(place)) is not None:
            file.seek(0)
            parts.append(np.frombuffer(file.read(), dtype=f"S{_USUAL}"))
        parts = [part for part in parts if len(part)] or [long[:0]]
        found: Ids = np.unique(np.concatenate(parts))
        start = np.searchsorted(found, np.bytes_(first.encode()))
        stop = len(found) if end is None else np.searchsorted(found, np.bytes_(end.encode()))
        return found[start:stop]

    def close(self) -> None:
        """Remove the temporary files."""
        self._opened.close()

    def _places(self, ids: Ids) -> npt.NDArray[np.intp]:
        places: npt.NDArray[np.intp] = np.searchsorted(self._firsts, ids, side="right") - 1
        return places

    def _write(self) -> None:
        pending, self._pending = self._pending, []
        if not pending:
            return
        ids = np.concatenate(pending)
        places = self._places(ids)
        order = np.argsort(places, kind="stable")
        ids, places = ids[order], places[order]
        for place in np.unique(places).tolist():
            if place not in self._files:
                self._files[place] = self._opened.enter_context(tempfile.TemporaryFile())  # noqa: SIM115
            start, stop = np.searchsorted(places, [place, place + 1])
            self._files[place].seek(0, 2)
            self._files[place].write(ids[start:stop].tobytes())


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
