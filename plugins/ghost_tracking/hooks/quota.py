"""The ledger of YouTube's quota: calls are reserved here before they are sent."""

from collections.abc import Mapping

from ghost_tracking.core.budgets import Bucket
from ghost_tracking.hooks.database import Database


class QuotaLedger:
    """Calls a bucket and Pacific day, by the database's clock.

    A reservation is a short transaction of its own, so it outlives the task that made it: what a killed task had
    reserved counts as spent, and the ledger never says less than what was sent. `budgets` has the calls a day that
    each bucket may spend.
    """

    def __init__(self, database: Database, budgets: Mapping[str, int]) -> None:
        self._database = database
        self._budgets = {Bucket(bucket): calls for bucket, calls in budgets.items()}

    def reserve(self, bucket: Bucket, calls: int, *, leave: int = 0) -> int:
        """Reserve up to this many calls, leaving `leave` of the day's budget to others. Returns how many it got.

        Tasks that reserve at the same time wait for each other at the day's row: together they never get more than
        the budget.
        """
        with self._database.transaction():
            self._database.change("quota_open", bucket=bucket)
            (line,) = self._database.run("quota_lock", bucket=bucket)
            left = 0 if line["exhausted_at"] else self._budgets[bucket] - line["spent"] - leave
            granted = max(0, min(calls, left))
            self._database.change("quota_add", bucket=bucket, pacific_day=line["pacific_day"], calls=granted)
        return granted

    def give_back(self, unsent: Mapping[Bucket, int]) -> None:
        """Return calls that were reserved and not sent."""
        for bucket, calls in unsent.items():
            with self._database.transaction():
                for line in self._database.run("quota_lock", bucket=bucket):
                    self._database.change("quota_add", bucket=bucket, pacific_day=line["pacific_day"], calls=-calls)

    def mark_exhausted(self, bucket: Bucket) -> None:
        """YouTube says that the bucket is empty: nothing more is reserved from it until Pacific midnight."""
        with self._database.transaction():
            self._database.change("quota_open", bucket=bucket)
            (line,) = self._database.run("quota_lock", bucket=bucket)
            self._database.change("quota_exhausted", bucket=bucket, pacific_day=line["pacific_day"])

    def left(self) -> dict[Bucket, int]:
        """Calls that may still be reserved today, by bucket."""
        spent = {line["bucket"]: line for line in self._database.run("quota_today")}
        left = dict(self._budgets)
        for bucket, line in ((bucket, spent[bucket]) for bucket in left if bucket in spent):
            left[bucket] = 0 if line["exhausted_at"] else max(0, left[bucket] - line["spent"])
        return left
