"""What the person at the terminal sees: progress while something is measured, then a table."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import psutil
from rich.console import Console
from rich.table import Table

Tell = Callable[[str], None]
"""Takes what is under way now."""


class Screen:
    """Prints tables and notes; progress is a line that moves, or plain lines where the output is no terminal."""

    def __init__(self) -> None:
        self._console = Console(highlight=False, markup=False)
        if not self._console.is_terminal:
            self._console.width = 120

    def title(self, text: str) -> None:
        """Begin a benchmark, and say how busy the machine is with other things."""
        self._console.rule(text)
        busy = psutil.cpu_percent(interval=1.0) / 100 * (os.cpu_count() or 1)
        load = os.getloadavg()[0]
        self.note(f"beforehand {busy:.1f} of {os.cpu_count()} cores were busy with other things, load {load:.1f}")

    def note(self, text: str) -> None:
        """Print a sentence."""
        self._console.print(text, style="dim")

    def failure(self, text: str) -> None:
        """Print what did not work."""
        self._console.print(text, style="bold red", soft_wrap=True)

    @contextmanager
    def busy(self, text: str) -> Iterator[Tell]:
        """Show that something is under way; what is yielded changes the text."""
        if not self._console.is_terminal:
            self._console.print(f"  {text} …", style="dim")
            yield lambda told: self._console.print(f"  {text}: {told} …", style="dim")
            return
        with self._console.status(text) as status:
            yield lambda told: status.update(f"{text}: {told}")

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Print a table; all columns but the first are figures."""
        table = Table(*columns)
        for column in table.columns[1:]:
            column.justify = "right"
        for row in rows:
            table.add_row(*row)
        self._console.print(table)


def describe_machine() -> str:
    """The size of this machine."""
    memory = psutil.virtual_memory().total / 2**30
    return f"{os.cpu_count()} cores, {memory:.0f} GB of memory"
