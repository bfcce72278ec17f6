"""What ties this database to its vault: the vault's identity, and the sync token that both share."""

from dataclasses import dataclass

from ghost_tracking.core.sync import SyncToken
from ghost_tracking.postgres.database import Database


@dataclass(frozen=True, slots=True)
class OwnVault:
    """The vault that a database belongs to: its `identity`, and the `root` at which it was seen last."""

    identity: str
    root: str


class VaultLink:
    """The tables `vault_identity` and `sync_token`, a row each."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def own(self) -> OwnVault | None:
        """The vault that this database belongs to; None before the first time."""
        rows = self._database.run("own_vault")
        return OwnVault(rows[0]["vault_id"], rows[0]["root"]) if rows else None

    def remember(self, identity: str, root: str) -> OwnVault:
        """Note which vault this database belongs to, or where it is now, and return what holds then.

        One that is known already stays: see `adopt`.
        """
        (row,) = self._database.run("remember_vault", vault_id=identity, root=root)
        return OwnVault(row["vault_id"], row["root"])

    def adopt(self, identity: str, root: str) -> None:
        """Belong to this vault from now on, whichever it was before."""
        self._database.change("adopt_vault", vault_id=identity, root=root)

    def sync_token(self) -> SyncToken | None:
        """The token that this database shares with its vault; None before the first time."""
        rows = self._database.run("sync_token")
        return SyncToken(rows[0]["token"], rows[0]["made_at"]) if rows else None

    def set_sync_token(self, token: SyncToken) -> None:
        """Share a new token with the vault, which has it already."""
        self._database.change("set_sync_token", token=token.token, made_at=token.at)
