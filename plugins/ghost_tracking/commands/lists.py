"""Lists of videos for the hunter to import: bringing them, and how far they are."""

import argparse
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from ghost_tracking.commands import Commands, print_json
from ghost_tracking.core.decoding import decoded_lines
from ghost_tracking.errors import BadInputError
from ghost_tracking.vault import Vault
from ghost_tracking.vault.reports import ListReport

PATIENCE_SECONDS = 2


def add_list_commands(commands: Commands) -> None:
    """list add, list status, list bad, list retry."""
    lists = commands.add_parser("list", help="lists of videos for the hunter to import").add_subparsers(required=True)
    adding = lists.add_parser("add", help="put a list of ids, URLs or a CSV into the vault's import queue")
    adding.set_defaults(command=_list_add)
    adding.add_argument("file", help="a file, or - for standard input")
    adding.add_argument("--name", help="an existing list gets the videos that it lacks (default: made from the ids)")
    adding.add_argument("--column", help="name or number of the column with the videos (default: found by its content)")
    lists.add_parser("status", help="every list and how far it is imported").set_defaults(command=_list_status)
    bad = lists.add_parser("bad", help="show the bad lines of a list, with their numbers")
    bad.set_defaults(command=_list_bad)
    bad.add_argument("name")
    retrying = lists.add_parser("retry", help="read the bad lines of a list again, by the rules of this version")
    retrying.set_defaults(command=_list_retry)
    retrying.add_argument("name")
    retrying.add_argument("--column", help="the number of the column of these lines with the videos")


def _list_add(vault: Vault, options: argparse.Namespace) -> int:
    with opened(options.file) as lines, _late_progress() as progress:
        report = vault.import_queue.submit(lines, options.name, options.column, progress)
    return _reported(report)


def _list_retry(vault: Vault, options: argparse.Namespace) -> int:
    return _reported(vault.import_queue.retry(options.name, options.column))


def _reported(report: ListReport) -> int:
    for each in report.bad_lines:
        sys.stderr.write(f"{each}\n")
    if report.bad > len(report.bad_lines):
        sys.stderr.write(f"and {report.bad - len(report.bad_lines):,} more lines without a video\n")
    print_json({name: getattr(report, name) for name in ("name", "ids", "new", "duplicates", "bad")})
    return 1 if report.bad else 0


def _list_bad(vault: Vault, options: argparse.Namespace) -> int:
    for bad in vault.import_queue.bad_lines(options.name):
        sys.stdout.write(f"{bad}\n")
    return 0


def _list_status(vault: Vault, _: argparse.Namespace) -> int:
    table = Table("list", "since", "videos", "imported", "waiting", "bad lines")
    for each in vault.import_queue.lists():
        numbers = (f"{number:,}" for number in (each.ids, each.imported, each.waiting, each.bad))
        table.add_row(each.name, f"{each.created_at:%Y-%m-%d %H:%M} UTC", *numbers)
    Console().print(table)
    return 0


@contextmanager
def opened(file: str) -> Iterator[Iterable[str]]:
    """The lines of a file, or of standard input (`-`); BadInputError where it cannot be read."""
    try:
        with open(0 if file == "-" else file, "rb", closefd=file != "-") as binary:
            yield decoded_lines(binary)
    except OSError as error:
        if error.filename != file:
            raise
        raise BadInputError(f"{file} cannot be read: {error.strerror}") from error


@contextmanager
def _late_progress() -> Iterator[Callable[[int, int], None]]:
    """Show how far a list is read, when it takes longer than `PATIENCE_SECONDS`."""
    text = TextColumn("{task.completed:,} lines, {task.fields[ids]:,} videos")
    progress = Progress(SpinnerColumn(), text, TimeElapsedColumn(), console=Console(stderr=True), transient=True)
    task, started = progress.add_task("", total=None, ids=0), time.monotonic()

    def told(lines: int, ids: int) -> None:
        if time.monotonic() - started > PATIENCE_SECONDS:
            progress.start()
        progress.update(task, completed=lines, ids=ids)

    try:
        yield told
    finally:
        if progress.live.is_started:
            progress.stop()
