"""What the page's questions are answered from: the database and the vault; and for how long answers are kept."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, TypeVar

from cachetools import TTLCache, cached
from cachetools.keys import hashkey

from ghost_tracking.errors import ConfigurationError
from ghost_tracking.settings import Settings, read_settings

if TYPE_CHECKING:
    from ghost_tracking.hooks.vault import ParquetVaultHook
    from ghost_tracking.hooks.watchlist import WatchlistHook

NO_TABLES: Final = (
    "The database of connection 'ghost_postgres' has no tables of Ghost Tracking yet: unpause ghost_hunter, whose "
    "first task makes them."
)

STATEMENT_LIMIT: Final = timedelta(seconds=10)
"""No statement of the page keeps the database busy for longer."""

Result = TypeVar("Result")


@dataclass(frozen=True)
class PageContext:
    """The two hooks, on the connections that Airflow has, and the deployment's settings."""

    watchlist: "WatchlistHook"
    vault: "ParquetVaultHook"
    settings: Settings

    def key(self, *arguments: Any) -> tuple[Any, ...]:
        """The same for the same arguments asked of the same database and vault."""
        return hashkey(str(self.vault.get_conn()), self.watchlist.database.name, *arguments)


@contextmanager
def page_context() -> Iterator[PageContext]:
    """The context of one question; raises GhostTrackingError with a sentence that names what to mend."""
    from ghost_tracking.hooks.vault import ParquetVaultHook
    from ghost_tracking.hooks.watchlist import WatchlistHook

    settings = read_settings()
    with WatchlistHook(budgets=settings.quota, statement_limit=STATEMENT_LIMIT) as watchlist:
        if not watchlist.has_schema():
            raise ConfigurationError(NO_TABLES)
        yield PageContext(watchlist, ParquetVaultHook(), settings)


def ttl_cached(seconds: float, most: int = 64) -> Callable[[Callable[..., Result]], Callable[..., Result]]:
    """Keep what a function returns for its arguments, of which the first is the context, for some seconds.

    Whoever asks meanwhile waits for the answer that is being found; what is raised is not kept. `most` answers are
    kept, those that were asked for last. `cache_clear()` of the function forgets them.
    """
    return cached(TTLCache(most, seconds), key=PageContext.key, condition=threading.Condition())
