"""The sync token that a database and a vault share, to notice that one of them was restored from a backup.

Both get a new token every hour, the vault first. Where they differ, the database is older than the vault (or another
one): videos may have been found since, of which it knows nothing.
"""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class SyncToken:
    """A random token, and when it was made (aware)."""

    token: str
    at: datetime


def in_sync(database: SyncToken | None, vault: SyncToken | None) -> bool:
    """Whether database and vault belong to the same moment; two without a token do."""
    return (database and database.token) == (vault and vault.token)
