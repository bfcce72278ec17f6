"""How much memory the processes of running tasks hold at most."""

import threading
from contextlib import suppress
from types import TracebackType
from typing import Self

import psutil

_EVERY_SECONDS = 0.25


class TaskMemory:
    """Watches a LocalExecutor from the side: `peak` is the most that one task process held at a time, in bytes.

    Resident memory, so what a task shares with the worker it was forked from counts too.
    """

    def __init__(self, scheduler_pid: int) -> None:
        self.peak = 0
        self._scheduler = psutil.Process(scheduler_pid)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(_EVERY_SECONDS):
            with suppress(psutil.Error):
                self._look()

    def _look(self) -> None:
        """The scheduler's children are the executor's workers; their children run the tasks."""
        for worker in self._scheduler.children():
            for task in worker.children(recursive=True):
                with suppress(psutil.Error):
                    self.peak = max(self.peak, task.memory_info().rss)
