"""What every task checks before it reserves, asks or writes anything: one clock, and the vault that belongs here.

A clock that is wrong on one worker would put points, watermarks and deletions into another day. An empty mount point,
or another deployment's vault, would be taken for ours.
"""

from datetime import UTC, datetime, timedelta

from ghost_tracking.errors import ClockError, ConfigurationError, VaultMismatchError
from ghost_tracking.postgres.schedule import Schedule
from ghost_tracking.postgres.vault_link import OwnVault
from ghost_tracking.vault import Vault

CLOCK_TOLERANCE = timedelta(seconds=5)
"""How far a worker's clock may be from the database's: NTP keeps a healthy one within milliseconds."""


def ready(watchlist: Schedule, vault: Vault, expected: str | None = None) -> str:
    """Make sure that this worker may work, and return the identity of its vault. Every task body begins with this.

    `expected`: the identity that the run's first task returned, which this worker has to see too. Without it the task
    is such a first one, and the schema is brought up to date. A database that knows no vault takes the one that is
    there, and a new vault gets its identity.

    Raises ClockError where this worker's clock is not the database's, and VaultMismatchError where this worker sees no
    vault, or another one than the rest of its run or than the database knows; nothing is written then.
    """
    if expected is None:
        watchlist.migrate()
    own = watchlist.vault_link.own()
    check_clock(watchlist)
    if expected is not None:
        vault.check_identity(expected)
    identity = vault.identity(create=True) if own is None else _still_there(watchlist, vault, own)
    if own is None or (expected is None and own.root != vault.root):
        own = watchlist.vault_link.remember(identity, vault.root)
    if own.identity != identity:
        raise _another(watchlist, vault, own, identity)
    return identity


def ready_to_look(watchlist: Schedule, vault: Vault, expected: str | None = None) -> None:
    """The same for a dry run, which makes and notes nothing: only the schema is brought up to date."""
    watchlist.migrate()
    own = watchlist.vault_link.own()
    check_clock(watchlist)
    if expected is not None:
        vault.check_identity(expected)
    if own is not None:
        _still_there(watchlist, vault, own)


def adopt(watchlist: Schedule, vault: Vault) -> str:
    """Make the vault that is there the database's own, whichever it had; returns what was done, in a sentence.

    Makes a new vault where there is none. Raises ClockError.
    """
    watchlist.migrate()
    check_clock(watchlist)
    before = watchlist.vault_link.own()
    identity, root = vault.identity(create=True), vault.root
    if before is not None and before.identity == identity:
        return f"Vault {identity} at {root} already belongs to this database"
    watchlist.vault_link.adopt(identity, root)
    return f"Adopted vault {identity} at {root}" + (
        f" in place of {before.identity}, which was at {before.root}" if before is not None else ""
    )


def check_clock(watchlist: Schedule) -> None:
    """Raise ClockError where this worker's clock differs from the database's by more than `CLOCK_TOLERANCE`.

    What the question takes on its way is allowed for. The error is a passing one: the retry may land on another worker,
    and NTP mends a clock within minutes after a machine was asleep.
    """
    asked_at = datetime.now(UTC)
    present = watchlist.now()
    answered_at = datetime.now(UTC)
    if asked_at - CLOCK_TOLERANCE <= present <= answered_at + CLOCK_TOLERANCE:
        return
    raise ClockError(
        f"this worker's clock says {answered_at:%Y-%m-%d %H:%M:%S} UTC, but that of the database behind "
        f"connection '{watchlist.database.name}' says {present:%Y-%m-%d %H:%M:%S} UTC: correct the wrong clock (is "
        "NTP running on both machines?). Nothing was done",
        worker=answered_at,
        database=present,
    )


def _still_there(watchlist: Schedule, vault: Vault, own: OwnVault) -> str:
    """The identity of the vault that is there, which has to be the database's own."""
    try:
        identity = vault.identity(create=False)
    except ConfigurationError as error:
        raise VaultMismatchError(
            f"{error.message}. The database behind connection '{watchlist.database.name}' belongs to vault "
            f"{own.identity}, which was at {own.root}: mount it, or correct the connection of the vault; {_OR_ADOPT}"
        ) from error
    if identity != own.identity:
        raise _another(watchlist, vault, own, identity)
    return identity


def _another(watchlist: Schedule, vault: Vault, own: OwnVault, found: str) -> VaultMismatchError:
    return VaultMismatchError(
        f"The vault at {vault.root} is {found}, but the database behind connection "
        f"'{watchlist.database.name}' belongs to vault {own.identity}, which was at {own.root}: mount that "
        f"one, or correct the connection of the vault or of the database; {_OR_ADOPT}",
        expected=own.identity,
        found=found,
    )


_OR_ADOPT = (
    "to use this vault from now on, adopt it with `adopt_vault` in the form of ghost_janitor, or with "
    "`python -m ghost_tracking adopt-vault`. Nothing was written"
)
