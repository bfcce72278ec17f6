"""What ties this database to its vault: the vault's identity, and the sync token that both share."""

from dataclasses import dataclass

from ghost_tracking.core.sync import RebuildProgress, SyncToken
from ghost_tracking.postgres.database import Database


@dataclass(frozen=True, slots=True)
class OwnVault:
    """The vault that a database belongs to: its `identity`, and the `root` at which it was seen last."""

    identity: str
    root: str


class VaultLink:
    """The tables `vault_identity`, `sync_token` and `rebuild_progress`, a row each."""

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

    def rebuild_progress(self) -> RebuildProgress | None:
        """How far a comparison with the vault is that is not over; None where there is none."""
        rows = self._database.run("rebuild_progress")
        return RebuildProgress(**rows[0]) if rows else None

    def set_rebuild_progress(self, progress: RebuildProgress) -> None:
        """Remember how far the comparison is."""
        self._database.change(
            "set_rebuild_progress",
            begun_at=progress.begun_at,
            vault_token=progress.vault_token,
            done_before=progress.done_before,
            compared=progress.compared,
            restored=progress.restored,
        )

    def end_rebuild(self) -> None:
        """The comparison is over."""
        self._database.change("end_rebuild")
