"""Signals that end a stack, also those that make keeps to itself."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import psutil

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
POLL_SECONDS = 0.5


class StopRequested(BaseException):
    """Somebody asked the stack to stop. No Exception: only the command line may catch it."""

    def __init__(self, number: int) -> None:
        self.number = number
        super().__init__(signal.Signals(number).name)


class EndingSignals:
    """Raises StopRequested in the main thread for the first ending signal, and never again.

    While the stack is being stopped no exception may cut that short; another signal then means impatience.
    """

    def __init__(self, impatience: Callable[[], None]) -> None:
        self._impatience = impatience
        self._stopping = False

    def install(self) -> None:
        """Catch the ending signals; an ignored SIGHUP (nohup) stays ignored."""
        for number in ENDING:
            if number == signal.SIGHUP and signal.getsignal(number) == signal.SIG_IGN:
                continue
            signal.signal(number, self._handle)

    def hold(self) -> None:
        """From now on the stack is stopping anyway: raise no more."""
        self._stopping = True

    def _handle(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002
        if self._stopping:
            self._impatience()
        else:
            self._stopping = True
            raise StopRequested(number)


class Make:
    """The make that runs this program, if one does.

    GNU make hands SIGTERM on to its recipe but not SIGINT and SIGHUP: it expects the terminal to have sent
    them to the whole process group, and waits for the recipe for ever. It has stopped catching the signal
    then, which Linux shows in /proc. A make that was killed hands on nothing at all.
    """

    def __init__(self) -> None:
        ancestors = psutil.Process().parents() if "MAKELEVEL" in os.environ else []
        self._make = next((process for process in ancestors if process.name() in {"make", "gmake"}), None)
        self._caught = self._signals_caught()

    def lost(self) -> int | None:
        """The signal that make got or its death stands for, or None while all is well."""
        if self._make is None:
            return None
        if not self._make.is_running() or self._make.status() == psutil.STATUS_ZOMBIE:
            return signal.SIGHUP
        return min(self._caught - self._signals_caught(), default=None)

    def watch(self) -> None:
        """Pass make's signals on to this process from now on."""
        if self._make is not None:
            threading.Thread(target=self._pass_on, name="make", daemon=True).start()

    def _pass_on(self) -> None:
        while (number := self._lost_or_gone()) is None:
            time.sleep(POLL_SECONDS)
        os.kill(os.getpid(), number)

    def _lost_or_gone(self) -> int | None:
        try:
            return self.lost()
        except psutil.NoSuchProcess:
            return signal.SIGHUP

    def _signals_caught(self) -> frozenset[int]:
        try:
            status = Path(f"/proc/{self._make.pid if self._make else None}/status").read_text()
        except OSError:  # no make, no Linux, or gone
            return frozenset()
        mask = next((int(line.split()[1], 16) for line in status.splitlines() if line.startswith("SigCgt:")), 0)
        return frozenset(number for number in ENDING if mask >> (number - 1) & 1)
