"""Signals that end a stack, also those that make keeps to itself."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from types import FrameType

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class StopRequested(BaseException):
    """Somebody asked the stack to stop. No Exception: nothing but the command line may catch it."""

    def __init__(self, number: int) -> None:
        self.number = number
        super().__init__(signal.Signals(number).name)


class EndingSignals:
    """Turns the first ending signal into StopRequested, and counts the later ones.

    While the stack is being stopped, no exception may cut that short; a second signal only ends the patience.
    """

    def __init__(self) -> None:
        self.received: list[int] = []

    @property
    def impatient(self) -> bool:
        """Whether somebody asked twice."""
        return len(self.received) > 1

    def install(self) -> None:
        """Catch SIGINT, SIGTERM and SIGHUP; a signal that is ignored (nohup) stays ignored."""
        for number in ENDING:
            if number == signal.SIGHUP and signal.getsignal(number) == signal.SIG_IGN:
                continue
            signal.signal(number, self._handle)

    def _handle(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002
        self.received.append(number)
        if len(self.received) == 1:
            raise StopRequested(number)

    def expect_no_more(self) -> None:
        """From now on signals are only counted: the stack is stopping anyway."""
        if not self.received:
            self.received.append(0)


class Parent:
    """The make that runs this program, if one does.

    GNU make hands SIGTERM on to its recipe but not SIGINT and SIGHUP: it expects the terminal to have sent
    them to the whole process group, and then waits for the recipe for ever. In that state it no longer
    catches the signal, which Linux shows in /proc. A make that was killed shows as another parent.
    """

    def __init__(self) -> None:
        self._pid = os.getppid()
        self._under_make = "MAKELEVEL" in os.environ
        self._caught = self._signals_caught()

    def gone(self) -> int | None:
        """The signal that the parent got or stands for, or None while all is well."""
        if not self._under_make:
            return None
        if os.getppid() != self._pid:
            return signal.SIGHUP
        lost = self._caught - self._signals_caught()
        return min(lost) if lost else None

    def _signals_caught(self) -> frozenset[int]:
        try:
            status = Path(f"/proc/{self._pid}/status").read_text()
        except OSError:
            return getattr(self, "_caught", frozenset())
        mask = next((int(line.split()[1], 16) for line in status.splitlines() if line.startswith("SigCgt:")), 0)
        return frozenset(number for number in ENDING if mask >> (number - 1) & 1)
