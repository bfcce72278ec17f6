"""Leftovers: files that no manifest names, which writers that were killed have left beside those that count.

A writer puts its files there first and has them named then, so a young one may be about to be named.
"""

from collections.abc import Collection, Iterator
from datetime import UTC, datetime, timedelta
from typing import Final

from ghost_tracking.vault.kit.names import named_at
from ghost_tracking.vault.storage import Storage

LEFTOVER_AGE: Final = timedelta(days=1)
"""Files so old that no manifest names will be named by none."""


def unnamed(storage: Storage, folder: str, named: Collection[str]) -> Iterator[str]:
    """The keys below `folder` that are not among those that its manifest names, nor the manifest's own."""
    for key, _ in storage.walk(folder):
        if key not in named and key != f"{folder}/manifest.json":
            yield key


def is_leftover(key: str, before: datetime | None = None) -> bool:
    """Whether a file that no manifest names was begun before this moment (aware; None: `LEFTOVER_AGE` ago).

    What has no name of the vault's is not the vault's, and never a leftover.
    """
    begun = named_at(key)
    return begun is not None and begun < (before or datetime.now(UTC) - LEFTOVER_AGE)


def sweep(storage: Storage, folder: str, named: Collection[str], before: datetime | None = None) -> int:
    """Delete the leftovers below `folder`, as `is_leftover` tells them; how many."""
    found = [key for key in unnamed(storage, folder, named) if is_leftover(key, before)]
    storage.delete(found)
    return len(found)
