"""When which alert was sent last, so that nobody is told of the same thing every five minutes."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from ghost_tracking.postgres.database import Database


class Alerts:
    """The table `alerts`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def claim(self, kind: str, cooldown: timedelta, *, now: datetime | None = None) -> bool:
        """Whether to tell of an alert of this kind: not within the cooldown after the last one. Then it is noted.

        Of several tasks that ask at the same time one is told so. `now` (aware) may be None: the database's clock.
        """
        return bool(self._database.run("alert_due", kind=kind, cooldown=cooldown, now=now))

    def clear(self, kinds: Iterable[str]) -> None:
        """Note that all is well again with these: the next alert of such a kind is told at once."""
        self._database.change("alert_over", kinds=list(kinds))
