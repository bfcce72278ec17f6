"""The ledger of YouTube's quota: calls are reserved here before they are sent."""

import logging
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from ghost_tracking.core.budgets import Balance, Bucket, CallBudget
from ghost_tracking.core.pacing import PacificDay, pacific_day
from ghost_tracking.postgres.database import Database, Row

log = logging.getLogger(__name__)

LONGEST_RESERVATION = timedelta(seconds=30)
"""A process that is frozen while it reserves would make all others wait: PostgreSQL ends it after this time."""

LONGEST_TASK = timedelta(minutes=50)
"""No task that calls YouTube runs longer: calls that it reserves may be sent until then."""


_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class _Grant:
    """What a task got last on a day and when, and how many of these calls are put down for the next one as well."""

    at: datetime
    calls: int
    ahead: int


class QuotaLedger:
    """Calls a bucket and Pacific day, by the database's clock or by a `now` (aware) that is passed in.

    A reservation is a short transaction of its own, so it outlives the task that made it: what a killed task had
    reserved counts as spent, and the ledger never says less than what was sent. `budgets` has the calls a day that
    each bucket may spend.
    """

    def __init__(self, database: Database, budgets: Mapping[str, int]) -> None:
        self._database = database
        self._budgets = {Bucket(bucket): calls for bucket, calls in budgets.items()}
        self._last_grants: dict[Bucket, dict[date, _Grant]] = {}

    def reserve(self, bucket: Bucket, calls: int, *, leave: int = 0, now: datetime | None = None) -> int:
        """Reserve up to this many calls, leaving `leave` of the day's budget to others. Returns how many it got.

        Tasks that reserve at the same time wait for each other at the day's row: together they never get more than
        the budget. More for the same budget is reserved when nothing is left in it.
        Late in the day they are put down for the next one as well, until they are released: a task that dies after
        midnight may have sent them then.
        """
        with self._database.transaction():
            self._database.limit(LONGEST_RESERVATION)
            today = self.today(now=now)
            line = self._line(bucket, today.now)
            day = line["pacific_day"]
            granted = min(calls, self._balance(bucket, line).left(leave))
            self._add(bucket, day, granted)
            ahead = granted if today.remaining < LONGEST_TASK else 0
            if ahead:
                self._database.change("quota_open", bucket=bucket, now=today.end)
            # the last ones have all been sent by now, on this day
            self._add(bucket, day + _DAY, ahead - self._ahead(bucket, day))
        self._last_grants.setdefault(bucket, {})[day] = _Grant(today.now, granted, ahead)
        return granted

    def together(self) -> AbstractContextManager[None]:
        """Reservations that are made within are kept together or not at all, whatever becomes of the connection."""
        return self._database.transaction()

    def release(self, budget: CallBudget, *, now: datetime | None = None) -> None:
        """Give back what was reserved for a budget and not sent; note which buckets YouTube called empty, and which are
        of no use today, since it refuses their method.

        What may have been sent after midnight with calls of the day before is put down for the new day as well: YouTube
        counts it there, and the ledger may say too much, never too little. The call budget pays for nothing any more.
        """
        budget.close()
        for bucket, grants in self._last_grants.items():
            last = max(grants)
            with self._database.transaction():
                self._database.limit(LONGEST_RESERVATION)
                # the older day first, as `reserve` does: two that wait for each other would wait for ever
                self._add(bucket, last, -budget.left.get(bucket, 0))
                if budget.spent[bucket]:
                    exhausted = bucket in budget.exhausted
                    self._database.change(
                        "quota_exhausted",
                        bucket=bucket,
                        pacific_day=last,
                        exhausted=exhausted,
                        reserved_at=grants[last].at,
                        now=now,
                    )
                today = self._line(bucket, now)["pacific_day"]
                before = sum(grant.calls for day, grant in grants.items() if day < today)
                self._add(bucket, today, min(before, budget.spent[bucket]))
                for day, grant in grants.items():
                    self._add(bucket, day + _DAY, -grant.ahead)
        self._last_grants.clear()
        for bucket, reason in budget.refused.items():
            self._note_refusal(bucket, reason, now)

    def _note_refusal(self, bucket: Bucket, reason: str, now: datetime | None) -> None:
        """Let nobody reserve of this bucket today, and say so once a day."""
        with self._database.transaction():
            self._database.limit(LONGEST_RESERVATION)
            self._database.change("quota_open", bucket=bucket, now=now)
            is_news = self._database.change("quota_refused", bucket=bucket, now=now)
        if is_news:
            log.warning("%s; the general bucket pays for that until midnight Pacific time", reason)

    def balances(self, *, now: datetime | None = None) -> dict[Bucket, Balance]:
        """Budget and spending of today, by bucket."""
        lines = {line["bucket"]: line for line in self._database.run("quota_today", now=now)}
        return {
            bucket: self._balance(bucket, lines[bucket]) if bucket in lines else Balance(budget)
            for bucket, budget in self._budgets.items()
        }

    def left(self, *, now: datetime | None = None) -> dict[Bucket, int]:
        """Calls that may still be reserved today, by bucket."""
        return {bucket: balance.left() for bucket, balance in self.balances(now=now).items()}

    def today(self, *, now: datetime | None = None) -> PacificDay:
        """The Pacific day under way: how long it is, and what remains of it."""
        return pacific_day(now or self._database.value("database_now"))

    def forget_old(self, *, now: datetime | None = None) -> int:
        """Drop lines older than 90 days; returns how many."""
        return self._database.change("quota_forget", now=now)

    def _ahead(self, bucket: Bucket, day: date) -> int:
        grant = self._last_grants.get(bucket, {}).get(day)
        return grant.ahead if grant else 0

    def _balance(self, bucket: Bucket, line: Row) -> Balance:
        return Balance(self._budgets[bucket], line["spent"], line["exhausted"], line["refused"], line["useless"])

    def _line(self, bucket: Bucket, now: datetime | None) -> Row:
        """Today's line of a bucket, locked until the end of the transaction."""
        self._database.change("quota_open", bucket=bucket, now=now)
        (line,) = self._database.run("quota_lock", bucket=bucket, now=now)
        return line

    def _add(self, bucket: Bucket, day: date, calls: int) -> None:
        if calls:
            self._database.change("quota_add", bucket=bucket, pacific_day=day, calls=calls)
