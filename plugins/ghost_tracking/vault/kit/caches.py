"""What was parsed of small files, kept in a process for as long as the file stays as it is."""

from collections.abc import Callable
from threading import Lock
from typing import Generic, TypeVar

from ghost_tracking.vault.storage import Storage, Version

Value = TypeVar("Value")


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

    def forget(self, storage: Storage, key: str) -> None:
        """Load it again the next time."""
        with self._lock:
            self._known.pop((storage.place, key), None)
