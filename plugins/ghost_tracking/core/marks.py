"""The mark that a database and a vault share, to notice that one of them was restored from a backup.

Both get a new mark every hour, the vault first. Where they differ, the database is older than the vault (or another
one): videos may have been found since, of which it knows nothing.
"""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Mark:
    """A random token, and when it was made (aware)."""

    token: str
    at: datetime


def same(database: Mark | None, vault: Mark | None) -> bool:
    """Whether database and vault belong to the same moment; two that were never marked do."""
    return (database and database.token) == (vault and vault.token)
