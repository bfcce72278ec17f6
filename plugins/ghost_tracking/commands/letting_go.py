"""Pausing, stopping, forgetting and resuming videos."""

import argparse
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from ghost_tracking.commands import Commands, add_command
from ghost_tracking.commands.lists import PATIENCE_SECONDS, opened
from ghost_tracking.commands.schedule import add_database_option, schedule
from ghost_tracking.core.let_go import State
from ghost_tracking.services.deployment import ready, ready_to_look
from ghost_tracking.services.letting_go import VERBS, LettingGo
from ghost_tracking.services.letting_go_form import named
from ghost_tracking.vault import Vault

_TEXTS = {
    "pause": "take videos off the schedule for a while; their data stays",
    "stop": "take videos off the schedule permanently; their data stays",
    "forget": "take videos off the schedule and delete their data from every layer, permanently",
    "resume": "track videos again that were paused or stopped",
}


def add_letting_go_commands(commands: Commands) -> None:
    """pause, stop, forget, resume, let-go."""
    for verb, text in _TEXTS.items():
        parser = add_command(commands, verb, _decide, f"{text}; without --confirm, only show what it would do")
        parser.set_defaults(verb=verb, also_forgotten=False)
        parser.add_argument("videos", nargs="*", metavar="video", help="ids or URLs")
        parser.add_argument("--channel", help="all known videos of the channel with this id")
        parser.add_argument(
            "--list", metavar="FILE", dest="file", help="a file of ids or URLs, or a CSV; - reads standard input"
        )
        parser.add_argument("--column", help="the column of the CSV with the videos")
        parser.add_argument("--confirm", action="store_true", help="carry it out")
        if verb == "resume":
            parser.add_argument("--also-forgotten", action="store_true", help="include videos that were forgotten")
        add_database_option(parser)
    listing = add_command(
        commands, "let-go", _list, "list the videos that are paused, stopped or forgotten, and since when"
    )
    add_database_option(listing)


def _decide(vault: Vault, options: argparse.Namespace) -> int:
    found = {"videos": options.videos, "channel": options.channel, "list_column": options.column}
    with schedule(options) as watchlist, _progress() as progress:
        if options.confirm:
            ready(watchlist, vault)
        else:
            ready_to_look(watchlist, vault)
        letting_go = LettingGo(watchlist, vault, progress=progress)
        with opened(options.file) if options.file else nullcontext(()) as lines:
            ids = named(found, letting_go, lines)
        outcome = letting_go.decide(
            VERBS[options.verb], ids, confirm=options.confirm, also_forgotten=options.also_forgotten
        )
    sys.stdout.write("\n".join([outcome.message, *(f"  {line}" for line in outcome.lines)]) + "\n")
    return 0


def _list(_: Vault, options: argparse.Namespace) -> int:
    with schedule(options) as watchlist:
        changes = watchlist.let_go.all().values()
    table = Table("video", "state", "since")
    for each in sorted(changes, key=lambda each: each.changed_at):
        if each.state is not State.RESUMED:
            table.add_row(each.video_id, each.state, f"{each.changed_at:%Y-%m-%d %H:%M} UTC")
    Console().print(table)
    return 0


@contextmanager
def _progress() -> Iterator["_Shown"]:
    shown = _Shown()
    try:
        yield shown
    finally:
        shown.stop()


class _Shown:
    """A bar for the layer that is looked through, when it takes longer than `PATIENCE_SECONDS` in all."""

    def __init__(self) -> None:
        text = TextColumn("{task.description}")
        self._bars = Progress(
            text, BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), console=Console(stderr=True), transient=True
        )
        self._bar: TaskID = self._bars.add_task("", total=None)
        self._started = time.monotonic()

    def __call__(self, layer: str, number: int, total: int) -> None:
        if time.monotonic() - self._started > PATIENCE_SECONDS:
            self._bars.start()
        self._bars.update(self._bar, description=layer, completed=number, total=total)

    def stop(self) -> None:
        if self._bars.live.is_started:
            self._bars.stop()
