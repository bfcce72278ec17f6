"""What the person at the terminal sees; also readable in a log file."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from datetime import datetime

from rich.console import Console
from rich.table import Table


class Terminal:
    """Prints lines. A terminal that has gone away is no reason to stop anything halfway."""

    def __init__(self) -> None:
        self._console = Console(highlight=False, soft_wrap=True, markup=False)
        self._begin = time.monotonic()

    def say(self, text: str = "", style: str | None = None) -> None:
        """Print one line or more."""
        with contextlib.suppress(OSError, ValueError):
            self._console.print(text, style=style)

    def step(self, text: str) -> None:
        """Print a step with the seconds since the start."""
        self.say(f"{time.monotonic() - self._begin:6.1f} s  {text}", style="dim")

    def event(self, text: str, style: str | None = None) -> None:
        """Print what happened with the time of day."""
        self.say(f"{datetime.now().astimezone():%H:%M:%S}  {text}", style=style)

    def error(self, text: str) -> None:
        """Print what went wrong."""
        self.say(text, style="bold red")

    def table(self, table: Table) -> None:
        """Print a table."""
        with contextlib.suppress(OSError, ValueError):
            self._console.print(table)

    @property
    def is_interactive(self) -> bool:
        """Whether somebody looks at it; else it is a file or a pipe."""
        return self._console.is_terminal

    @property
    def seconds(self) -> float:
        """Since the start."""
        return time.monotonic() - self._begin

    @contextlib.contextmanager
    def busy(self, text: str) -> Iterator[None]:
        """Show that something is under way, where the terminal can."""
        if self._console.is_terminal:
            with self._console.status(text):
                yield
        else:
            yield
