"""The lease on what a claim has locked: a transaction whose outcome survives the loss of its connection."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Protocol

from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_exponential

from ghost_tracking.errors import DatabaseUnavailableError
from ghost_tracking.postgres.database import Database

log = logging.getLogger(__name__)

MARGIN_AFTER_DEADLINE = timedelta(seconds=60)
"""What staging and writing back may take after a batch's API calls, before PostgreSQL ends the claim."""


class Leased(Protocol):
    """What was claimed."""

    @property
    def has_results(self) -> bool:
        """Whether there is anything to write back."""


@contextmanager
def lease(database: Database, claim: Leased, deadline: timedelta, write_back: Callable[[], None]) -> Iterator[None]:
    """A transaction that ends with `write_back`, which is tried over a new connection where this one is lost.

    PostgreSQL ends it when it stays idle longer than `deadline` and MARGIN_AFTER_DEADLINE. An exception in the block
    rolls it back: everything stays due.
    """
    try:
        with database.transaction():
            database.limit(deadline + MARGIN_AFTER_DEADLINE)
            yield
            write_back()
    except DatabaseUnavailableError:
        if not claim.has_results:
            raise
        log.warning("The database connection was lost in the middle of a claim; writing over a new one")
        retrying = Retrying(
            retry=retry_if_exception_type(DatabaseUnavailableError),
            wait=wait_exponential(0.5, max=5),
            stop=stop_after_delay(30),
            reraise=True,
        )
        for attempt in retrying:
            with attempt, database.transaction():
                write_back()
