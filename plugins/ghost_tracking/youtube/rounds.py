"""A round of calls: the deadline of what is asked together, and whether calls go well or in vain."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from datetime import timedelta

_IN_VAIN = 4  # calls that are given up before YouTube is taken to be down; one more than threads at least
_IN_VAIN_BISECTING = 8  # and while a batch is bisected, where none has succeeded
_IN_VAIN_AFTER_SUCCESS = 10  # or has before; fewer than it takes to come from fifty ids down to one


class Round:
    """One round of calls: how long it may take (None: for ever), whether it is over for its threads, and how it goes.

    `retrying`: held by the one call that is tried again at a time, or made at all while all of them fail. Where YouTube
    is down, the others need not find that out as well.
    """

    def __init__(self, within: timedelta | None = None) -> None:
        self.deadline = time.monotonic() + within.total_seconds() if within else float("inf")
        self.over = threading.Event()
        self.retrying = threading.RLock()
        self.in_vain = 0
        """Calls in a row that failed after their tries."""
        self.succeeded = False
        self._lock = threading.Lock()

    @property
    def left(self) -> float:
        """Seconds until the deadline; none once the round is over."""
        return 0.0 if self.over.is_set() else max(0.0, self.deadline - time.monotonic())

    def pause(self, seconds: float) -> None:
        """Wait, but never past the end of the round."""
        self.over.wait(min(seconds, self.left))

    def note(self, *, success: bool) -> None:
        """A call has been answered, or was given up."""
        with self._lock:
            self.in_vain = 0 if success else self.in_vain + 1
            self.succeeded |= success

    def is_hopeless(self, threads: int) -> bool:
        """Whether so many calls have failed and none has succeeded: YouTube is down, or rejects whatever we ask."""
        return self.is_failing and self.in_vain >= max(_IN_VAIN, threads + 1)

    @property
    def is_lost(self) -> bool:
        """Whether YouTube has gone down in the middle of the round: bisecting helps no more."""
        return self.in_vain >= (_IN_VAIN_AFTER_SUCCESS if self.succeeded else _IN_VAIN_BISECTING)

    @property
    def is_failing(self) -> bool:
        """Whether calls have failed, and none has succeeded yet."""
        return not self.succeeded and self.in_vain > 0

    @contextmanager
    def carefully(self) -> Iterator[None]:
        """While calls fail, make them one at a time: each may be the last one."""
        with self.retrying if self.is_failing else nullcontext():
            yield
