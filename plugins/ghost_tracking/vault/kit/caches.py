"""What was parsed of small files, kept in a process for as long as the file stays as it is."""

from collections.abc import Callable, Hashable
from threading import Lock
from typing import Any, Final, Generic, TypeVar

from cachetools import LRUCache

from ghost_tracking.vault.storage import Storage, Version

Value = TypeVar("Value")

_OVERHEAD: Final = 600
"""Bytes that an entry takes beside its value: its key, its places in the dictionaries."""


class ByteCache:
    """Values of any kind that never change, each of a stated size; the least recently used go beyond `most_bytes`."""

    def __init__(self, most_bytes: int) -> None:
        self._known: LRUCache[Hashable, tuple[Any, int]] = LRUCache(most_bytes, getsizeof=lambda entry: entry[1])
        self._lock = Lock()

    @property
    def bytes(self) -> int:
        """What is kept now."""
        return int(self._known.currsize)

    def get(self, key: Hashable) -> tuple[Any] | None:
        """The value kept under a key, alone in a tuple; None where there is none."""
        with self._lock:
            found = self._known.get(key)
        return None if found is None else (found[0],)

    def keep(self, key: Hashable, value: Any, size: int) -> None:
        """Keep a value of so many bytes; one that is larger than the cache is not kept."""
        with self._lock:
            if size + _OVERHEAD <= self._known.maxsize:
                self._known[key] = value, size + _OVERHEAD

    def clear(self) -> None:
        """Keep nothing."""
        with self._lock:
            self._known.clear()


class VersionCache(Generic[Value]):
    """Values by storage and key, each of one version of its file; of more than `most` the oldest goes."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._known: dict[tuple[str, str], tuple[Version | None, Value]] = {}
        self._lock = Lock()

    def get(
        self, storage: Storage, key: str, version: Version | None, load: Callable[[], tuple[Value, Version | None]]
    ) -> tuple[Value, Version | None]:
        """The value of this version, or what `load` makes of the present one; with its version."""
        place = storage.place, key
        known = self._known.get(place)
        if known is None or known[0] != version:
            value, version = load()
            known = version, value
            with self._lock:
                self._known.pop(place, None)
                while len(self._known) >= self._most:
                    del self._known[next(iter(self._known))]
                self._known[place] = known
        return known[1], known[0]
