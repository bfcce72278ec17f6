"""The ledger of YouTube's quota: calls are reserved here before they are sent."""

from collections.abc import Mapping
from datetime import date

from ghost_tracking.core.budgets import Bucket, Purse
from ghost_tracking.hooks.database import Database, Row


class QuotaLedger:
    """Calls a bucket and Pacific day, by the database's clock.

    A reservation is a short transaction of its own, so it outlives the task that made it: what a killed task had
    reserved counts as spent, and the ledger never says less than what was sent. `budgets` has the calls a day that
    each bucket may spend.
    """

    def __init__(self, database: Database, budgets: Mapping[str, int]) -> None:
        self._database = database
        self._budgets = {Bucket(bucket): calls for bucket, calls in budgets.items()}
        self._reserved_on: dict[Bucket, date] = {}

    def reserve(self, bucket: Bucket, calls: int, *, leave: int = 0) -> int:
        """Reserve up to this many calls, leaving `leave` of the day's budget to others. Returns how many it got.

        Tasks that reserve at the same time wait for each other at the day's row: together they never get more than
        the budget.
        """
        with self._database.transaction():
            line = self._today(bucket)
            granted = max(0, min(calls, self._left(bucket, line) - leave))
            self._add(bucket, line["pacific_day"], granted)
        self._reserved_on[bucket] = line["pacific_day"]
        return granted

    def settle(self, purse: Purse) -> None:
        """Give back what was reserved for a purse and not sent, and note the buckets that YouTube called empty.

        What was sent after midnight with calls of the day before is put down for the new day as well: YouTube counts
        it there, and the ledger may say too much, never too little. The purse pays for nothing any more.
        """
        purse.close()
        for bucket, day in self._reserved_on.items():
            with self._database.transaction():
                today = self._today(bucket)["pacific_day"]
                self._add(bucket, day, -purse.left.get(bucket, 0))
                if today != day:
                    self._add(bucket, today, purse.spent[bucket])
                if purse.spent[bucket]:
                    exhausted = bucket in purse.exhausted
                    self._database.change("quota_exhausted", bucket=bucket, pacific_day=day, exhausted=exhausted)
        self._reserved_on.clear()

    def left(self) -> dict[Bucket, int]:
        """Calls that may still be reserved today, by bucket."""
        spent = {line["bucket"]: line for line in self._database.run("quota_today")}
        left = dict(self._budgets)
        for bucket, line in ((bucket, spent[bucket]) for bucket in left if bucket in spent):
            left[bucket] = self._left(bucket, line)
        return left

    def _left(self, bucket: Bucket, line: Row) -> int:
        """Calls left by one line. A bucket that YouTube called empty gets one call to try it, a quarter of an hour on.

        YouTube's own midnight may come a little late, and somebody may raise the quota in the middle of a day.
        """
        left = max(0, self._budgets[bucket] - line["spent"])
        return 0 if line["refused"] else min(left, 1) if line["exhausted"] else left

    def _today(self, bucket: Bucket) -> Row:
        """Today's line of a bucket, locked until the end of the transaction."""
        self._database.change("quota_open", bucket=bucket)
        (line,) = self._database.run("quota_lock", bucket=bucket)
        return line

    def _add(self, bucket: Bucket, day: date, calls: int) -> None:
        if calls:
            self._database.change("quota_add", bucket=bucket, pacific_day=day, calls=calls)
