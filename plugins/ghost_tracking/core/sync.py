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


@dataclass(frozen=True, slots=True)
class RebuildProgress:
    """How far the comparison of a schedule with its vault is; kept in the database until it is over.

    `begun_at` is aware; `vault_token`: what the vault's token was then (None: it had none). All ids before
    `done_before` are compared. `compared` and `restored`: how many of the vault's videos were looked at and put back.
    """

    begun_at: datetime
    vault_token: str | None
    done_before: str = ""
    compared: int = 0
    restored: int = 0
