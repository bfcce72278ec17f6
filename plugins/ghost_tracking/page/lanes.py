"""Threads of the page's own: whatever it is asked for, and however often, the API server's stay Airflow's.

Airflow answers its own routes in some forty threads of one pool. What the page asks of the database and the vault takes
from milliseconds to seconds, and so goes through *lanes*: a few threads each, a short queue, and for whoever comes when
that is full the answer 429, at once. Who asks what is being found already gets the same answer.
"""

import asyncio
import threading
from collections.abc import Callable, Hashable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Final, TypeVar

from ghost_tracking.errors import TransientError

RETRY_AFTER: Final = 2
"""Seconds after which to ask again what was refused."""

Result = TypeVar("Result")


class BusyError(TransientError):
    """As many questions of a kind are being answered as may be."""


class Lane:
    """Answers `at_once` questions at once, in threads of its own, and lets as many more wait as `waiting` says.

    Safe for several event loops. Its threads begin with the first question and end with the process.
    """

    def __init__(self, name: str, at_once: int, waiting: int = 0) -> None:
        self._threads = ThreadPoolExecutor(at_once, thread_name_prefix=f"ghost-{name}")
        self._most = at_once + waiting
        self._asked: dict[Hashable, Future[Any]] = {}
        self._lock = threading.Lock()

    async def ask(self, question: Hashable, find: Callable[[], Result]) -> Result:
        """The answer to a question, by `find` where it is not being found already; raises what that raises.

        BusyError where too many are under way. Whoever stops waiting for an answer leaves it to the others.
        """
        with self._lock:
            found = self._asked.get(question)
            if found is None:
                if len(self._asked) >= self._most:
                    raise BusyError(
                        "Many people ask Ghost Tracking's page at this moment: it answers some at a time, so that "
                        "Airflow stays quick. Try again in some seconds"
                    )
                found = self._asked[question] = self._threads.submit(self._answer, question, find)
        answer: Result = await asyncio.shield(asyncio.wrap_future(found))
        return answer

    def _answer(self, question: Hashable, find: Callable[[], Result]) -> Result:
        try:
            return find()
        finally:
            with self._lock:
                self._asked.pop(question, None)


LOOKS: Final = Lane("looks", at_once=3, waiting=100)
"""Questions that take milliseconds: the overview, coverage, the newest, some videos and their files."""
SEARCHES: Final = Lane("searches", at_once=2, waiting=2)
"""Each goes through the titles of all videos."""
SPANS: Final = Lane("spans", at_once=1, waiting=1)
"""Movers, which the tracker has prepared: each reads two small files of the vault."""
