"""What all task bodies share: errors that no retry can mend, and the budget that a task spends from."""

import functools
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ParamSpec, TypeVar

from airflow.sdk.exceptions import AirflowFailException

from ghost_tracking.core.budgets import CallBudget
from ghost_tracking.errors import DatabaseUnavailableError, PermanentError
from ghost_tracking.hooks.youtube import YouTubeHook
from ghost_tracking.postgres.quota import QuotaLedger
from ghost_tracking.settings import Settings

log = logging.getLogger(__name__)

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

Label = Callable[[str], None]
"""Takes the name under which Airflow shows a mapped task instance."""


def task_body(function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """Fail at once, without retries, on errors that somebody has to correct first; the message says what."""

    @functools.wraps(function)
    def body(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        try:
            return function(*args, **kwargs)
        except PermanentError as error:
            log.debug("Where it was raised", exc_info=True)
            # the message says what to mend; with its causes Airflow would print it two or three times over
            raise AirflowFailException(error.message) from None

    return body


def results(reports: Sequence[Mapping[str, Any] | None] | None) -> list[Mapping[str, Any]]:
    """What the instances of a mapped task have returned, asked for in one request.

    A loop over `reports` would make a request for each, and one more to learn that there are no more: Airflow logs that
    one as an error, `XCom not found`, in the scheduler (LocalExecutor) or the worker.
    """
    return [report for report in reports[:] if report] if reports is not None else []


@contextmanager
def calling_youtube(ledger: QuotaLedger, budget: CallBudget, settings: Settings) -> Iterator[YouTubeHook]:
    """A YouTubeHook that pays from `budget`; at the end what was not sent goes back to the ledger."""
    youtube = YouTubeHook(
        budget=budget, threads=settings.youtube_threads, timeout=float(settings.youtube_timeout_seconds)
    )
    try:
        yield youtube
    finally:
        youtube.close()
        for bucket in budget.exhausted:
            log.warning("YouTube says that the '%s' quota is used up until midnight Pacific time", bucket)
        try:
            ledger.release(budget)
        except DatabaseUnavailableError as error:
            # the work is safe, and what is not given back counts as spent
            log.warning("Reserved quota that was not used could not be given back: %s", error)
