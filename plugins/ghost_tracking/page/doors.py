"""How the page reaches the database and the vault, and what it says when it does not."""

import functools
import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, TypeVar

from ghost_tracking.errors import ConfigurationError, GhostTrackingError
from ghost_tracking.settings import Settings, read_settings

if TYPE_CHECKING:
    from ghost_tracking.hooks.vault import ParquetVaultHook
    from ghost_tracking.hooks.watchlist import WatchlistHook

log = logging.getLogger(__name__)

LOOK_AT_THE_LOG: Final = (
    "Ghost Tracking's page failed in a way that nobody foresaw: the log of Airflow's API server says how. Loading the "
    "page again may help."
)
ASK_SOMEBODY: Final = (
    "Ghost Tracking's database or its vault does not answer, or is not set up. Those who may see Airflow's connections "
    "are told more here, and the log of Airflow's API server has it."
)
NO_TABLES: Final = (
    "The database of connection 'ghost_postgres' has no tables of Ghost Tracking yet: unpause ghost_hunter, whose "
    "first task makes them."
)

STATEMENT_LIMIT: Final = timedelta(seconds=10)
"""No statement of the page keeps the database busy for longer."""

Result = TypeVar("Result")


@dataclass(frozen=True)
class Doors:
    """The two hooks, on the connections that Airflow has, and the deployment's settings."""

    watchlist: "WatchlistHook"
    vault: "ParquetVaultHook"
    settings: Settings


@contextmanager
def opened() -> Iterator[Doors]:
    """The doors, for one question; raises GhostTrackingError with a sentence that names what to mend."""
    from ghost_tracking.hooks.vault import ParquetVaultHook
    from ghost_tracking.hooks.watchlist import WatchlistHook

    settings = read_settings()
    with WatchlistHook(budgets=settings.quota, statement_limit=STATEMENT_LIMIT) as watchlist:
        if not watchlist.has_schema():
            raise ConfigurationError(NO_TABLES)
        yield Doors(watchlist, ParquetVaultHook(), settings)


def sentence_of(error: Exception, *, sees_connections: bool = True) -> str:
    """What to tell somebody who looks at the page; no traceback, and no secret that Airflow knows.

    Hosts and paths are for those who may see Airflow's connections; others are sent to them.
    """
    if not sees_connections:
        log.warning("The page could not answer", exc_info=error)
        return ASK_SOMEBODY
    if isinstance(error, GhostTrackingError):
        return without_secrets(error.message)
    if isinstance(error, OSError) and error.errno is not None:
        return without_secrets(f"The vault cannot be read: {error.strerror or error}. Is its storage there?")
    if isinstance(error, ImportError) and error.name:
        return f"Airflow's API server lacks the package '{error.name}': install requirements.txt there as well."
    log.error("The page could not answer", exc_info=error)
    return LOOK_AT_THE_LOG


def without_secrets(text: str) -> str:
    """The text with *** for every password that Airflow has handed out in this process."""
    from airflow.sdk.log import redact  # type: ignore[attr-defined]

    told = redact(text)
    return told if isinstance(told, str) else LOOK_AT_THE_LOG


class Remembered:
    """Answers that are good for some seconds; whoever asks meanwhile waits for the one that is being found."""

    def __init__(self, seconds: float, most: int = 64) -> None:
        self._seconds = seconds
        self._most = most
        self._answers: dict[Any, tuple[float, Any]] = {}
        self._locks: dict[Any, threading.Lock] = {}
        self._lock = threading.Lock()

    def __call__(self, key: Any, find: Callable[[], Result]) -> Result:
        """The answer to `key`, by `find` where none is good any more. What `find` raises is not remembered."""
        with self._lock:
            lock = self._locks.setdefault(key, threading.Lock())
        with lock:
            known = self._answers.get(key)
            if known is not None and time.monotonic() < known[0]:
                answer: Result = known[1]
                return answer
            found = find()
            with self._lock:
                while len(self._answers) >= self._most:
                    old = next(iter(self._answers))
                    del self._answers[old]
                    self._locks.pop(old, None)
                self._answers[key] = (time.monotonic() + self._seconds, found)
            return found

    def forget(self) -> None:
        """Find everything anew."""
        with self._lock:
            self._answers.clear()


def remembered(seconds: float) -> Callable[[Callable[..., Result]], Callable[..., Result]]:
    """Remember what a function returns for its arguments, but for the first, which are the doors."""

    def wrap(function: Callable[..., Result]) -> Callable[..., Result]:
        answers = Remembered(seconds)

        @functools.wraps(function)
        def asked(doors: Doors, *arguments: Any) -> Result:
            place = (str(doors.vault.get_conn()), doors.watchlist.database.name)
            return answers((*place, *arguments), lambda: function(doors, *arguments))

        asked.forget = answers.forget  # type: ignore[attr-defined]
        return asked

    return wrap
