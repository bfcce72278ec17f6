"""The vault from the command line: `python -m ghost_tracking --vault /data/vault health`.

Without --vault, the Airflow connection `ghost_vault` says where it is. `plan` needs none.
"""

import argparse
import codecs
import io
import json
import logging
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from rich import filesize
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from ghost_tracking.core.planner import HORIZONS, Forecast, Plan, Policy, plan
from ghost_tracking.core.tiers import Queue
from ghost_tracking.errors import BadInputError, GhostTrackingError
from ghost_tracking.hooks.vault import ParquetVaultHook
from ghost_tracking.settings import Settings

Command = Callable[[ParquetVaultHook, argparse.Namespace], int]
"""The vault is looked for when a command uses it."""

PATIENCE_SECONDS = 2
_LAST_DAY = 36_500
_HOURS_SHOWN = 100


def main(arguments: list[str] | None = None) -> int:
    """Run one command; 1 when it found something wrong, or could not be run at all."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr, force=True)
    command: Command = options.command
    try:
        return command(ParquetVaultHook(root=options.vault), options)
    except GhostTrackingError as error:
        sys.stderr.write(f"{error.message}\n")
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m ghost_tracking", description=__doc__)
    parser.add_argument("--vault", help="a folder, s3://bucket/prefix or gs://bucket/prefix; else the connection's")
    commands = parser.add_subparsers(required=True, metavar="command")

    def add(name: str, command: Command, text: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=text, description=text)
        added.set_defaults(command=command)
        return added

    add("health", _health, "how the vault is: layers, freshness, what is staged, what cannot be read")
    verify = add("verify", _verify, "read every point in every layer, and compare")
    verify.add_argument("--days", type=int, help="only the last so many days")
    add("repair", _repair, "publish what was left staged, set aside what is broken, make it anew where a layer has it")
    add("seal", _seal, "write the hours that are over once more, small, and delete their parts")
    fold = add("fold", _fold, "put closed days and months into series, by video")
    fold.add_argument("--days-only", action="store_true", help="no months")
    fold.add_argument("--drop-hours", action="store_true", help="delete hourly files whose points are in series")
    expire = add("expire", _expire, "count what is older than so many days; with --delete, delete it for good")
    expire.add_argument("days", type=int)
    expire.add_argument("--delete", action="store_true")
    history = add("history", _history, "all points of one video, as CSV")
    history.add_argument("video_id")
    find = add("find", _find, "videos by the words of their titles")
    find.add_argument("words", nargs="+")
    lists = commands.add_parser("list", help="lists of videos for the hunter to admit").add_subparsers(required=True)
    adding = lists.add_parser("add", help="put a list of ids, URLs or a CSV into the vault's inbox")
    adding.set_defaults(command=_list_add)
    adding.add_argument("file", help="a file, or - for what is piped in")
    adding.add_argument("--name", help="a list of this name gets what it does not have; else it is named after its ids")
    adding.add_argument("--column", help="the column of the CSV that holds videos")
    lists.add_parser("status", help="every list and how far it is admitted").set_defaults(command=_list_status)
    bad = lists.add_parser("bad", help="the bad lines of a list, with their numbers")
    bad.set_defaults(command=_list_bad)
    bad.add_argument("name")
    _add_plan_options(add("plan", _plan, "what so many new videos a day take: SQL, vault, calls, real intervals"))
    return parser


def _add_plan_options(planning: argparse.ArgumentParser) -> None:
    """What is not given is as the settings are without anybody setting them."""
    defaults = Settings()
    planning.add_argument("--new-per-day", type=_count, required=True, help="new videos that are found a day")
    planning.add_argument("--statistics", type=_count, default=defaults.quota_statistics, help="calls a day")
    planning.add_argument("--general", type=_count, default=defaults.quota_general, help="calls a day")
    planning.add_argument("--hunter-reserve", type=_count, default=defaults.quota_hunter_reserve, help="calls a day")
    planning.add_argument("--metadata-days", type=_count, default=defaults.metadata_retention_days)
    planning.add_argument("--drop-hours", action="store_true", help="no hourly files of points that are in series")
    planning.add_argument("--vault-days", type=_day, default=defaults.vault_retention_days, help="else for ever")
    planning.add_argument(
        "--gone-per-week", type=_share, default=Policy().gone_a_week, help="share of settled videos that go for ever"
    )
    planning.add_argument("--days", type=_day, nargs="+", default=HORIZONS, help="after how many days, one or more")
    planning.add_argument("--json", action="store_true")


def _count(text: str) -> int:
    if (number := int(text)) < 0:
        raise argparse.ArgumentTypeError(f"{text} is less than nothing")
    return number


def _day(text: str) -> int:
    if not 1 <= (number := int(text)) <= _LAST_DAY:
        raise argparse.ArgumentTypeError(f"{text} is not between 1 and {_LAST_DAY}")
    return number


def _share(text: str) -> float:
    if not 0 <= (number := float(text)) < 1:
        raise argparse.ArgumentTypeError(f"{text} is no share below 1")
    return number


def _health(vault: ParquetVaultHook, _: argparse.Namespace) -> int:
    health = vault.health_check()
    _print(health)
    return 0 if health["ok"] else 1


def _verify(vault: ParquetVaultHook, options: argparse.Namespace) -> int:
    since = None if options.days is None else datetime.now(UTC) - timedelta(days=options.days)
    found = vault.verify(start=since)
    _print(found.as_dict())
    return 1 if found.problems else 0


def _repair(vault: ParquetVaultHook, _: argparse.Namespace) -> int:
    report = vault.repair()
    _print(report.as_dict())
    return 1 if report.lost or report.problems else 0


def _seal(vault: ParquetVaultHook, _: argparse.Namespace) -> int:
    report = vault.seal(datetime.now(UTC))
    _print(report.as_dict())
    return 0 if report.complete else 1


def _fold(vault: ParquetVaultHook, options: argparse.Namespace) -> int:
    report = vault.fold(datetime.now(UTC), months=not options.days_only, keep_hours=not options.drop_hours)
    _print(report.as_dict())
    return 1 if report.failed else 0


def _expire(vault: ParquetVaultHook, options: argparse.Namespace) -> int:
    cutoff = datetime.now(UTC) - timedelta(days=options.days)
    points = vault.expire(cutoff, dry_run=not options.delete)
    videos = vault.expire_videos(cutoff, dry_run=not options.delete)
    _print({"deleted": options.delete, **points.as_dict(), "videos": videos.videos})
    return 1 if points.problems or videos.problems else 0


def _history(vault: ParquetVaultHook, options: argparse.Namespace) -> int:
    sys.stdout.write(vault.read_history(options.video_id).to_csv(index=False))
    return 0


def _find(vault: ParquetVaultHook, options: argparse.Namespace) -> int:
    found = vault.find_videos(" ".join(options.words))
    table = Table("video_id", "title", "channel_title", "published_at")
    for row in found[["video_id", "title", "channel_title", "published_at"]].itertuples(index=False):
        table.add_row(*map(str, row))
    Console().print(table)
    return 0


def _plan(_: ParquetVaultHook, options: argparse.Namespace) -> int:
    planned = plan(
        options.new_per_day,
        {"statistics": options.statistics, "general": options.general},
        reserves={"general": options.hunter_reserve},
        policy=Policy(options.metadata_days, not options.drop_hours, options.vault_days, options.gone_per_week),
        horizons=options.days,
    )
    if options.json:
        _print(planned.as_dict())
    else:
        _show_plan(planned)
    return 0


def _show_plan(planned: Plan) -> None:
    rows: dict[str, Callable[[Forecast], str]] = {
        "videos": lambda forecast: f"{sum(forecast.videos.values()):,}",
        "SQL": lambda forecast: filesize.decimal(forecast.sql_bytes),
        "vault": lambda forecast: filesize.decimal(forecast.vault_bytes),
        "calls needed a day": lambda forecast: f"{forecast.needed:,.0f}",
        "calls made a day": lambda forecast: f"{forecast.calls:,.0f}",
        "first day, every": lambda forecast: _wait(forecast.intervals[Queue.HOURLY]),
        "first week, every": lambda forecast: _wait(forecast.intervals[Queue.DAILY]),
        "later, every": lambda forecast: _wait(forecast.intervals[Queue.WEEKLY]),
    }
    names = {7: "a week", 30: "a month", 365: "a year", 1826: "five years"}
    table = Table("after", *(names.get(forecast.days, f"{forecast.days:,} days") for forecast in planned.forecasts))
    for name, cell in rows.items():
        table.add_row(name, *map(cell, planned.forecasts))
    console = Console()
    console.print(table)
    if planned.short_from_day is not None:
        console.print(
            f"From day {planned.short_from_day:,} on more calls are needed than there are: every interval becomes "
            "longer by the same factor. Ask Google for more quota, or hunt less."
        )


def _wait(interval: timedelta | None) -> str:
    if interval is None:
        return "never"
    hours = interval / timedelta(hours=1)
    return f"{hours:,.1f} h" if hours < _HOURS_SHOWN else f"{hours / 24:,.1f} days"


def _list_add(vault: ParquetVaultHook, options: argparse.Namespace) -> int:
    with _opened(options.file) as lines, _late_progress() as progress:
        report = vault.inbox.receive(lines, options.name, options.column, progress)
    for each in report.bad_lines:
        sys.stderr.write(f"{each}\n")
    if report.bad > len(report.bad_lines):
        sys.stderr.write(f"and {report.bad - len(report.bad_lines):,} more lines without a video\n")
    _print({name: getattr(report, name) for name in ("name", "ids", "new", "duplicates", "bad")})
    return 1 if report.bad else 0


def _list_bad(vault: ParquetVaultHook, options: argparse.Namespace) -> int:
    for bad in vault.inbox.bad_lines(options.name):
        sys.stdout.write(f"{bad}\n")
    return 0


def _list_status(vault: ParquetVaultHook, _: argparse.Namespace) -> int:
    table = Table("list", "since", "videos", "admitted", "waiting", "bad lines")
    for each in vault.inbox.lists():
        numbers = (f"{number:,}" for number in (each.ids, each.admitted, each.waiting, each.bad))
        table.add_row(each.name, f"{each.created_at:%Y-%m-%d %H:%M} UTC", *numbers)
    Console().print(table)
    return 0


@contextmanager
def _opened(file: str) -> Iterator[Iterable[str]]:
    """The lines of a file, in UTF-8, or in UTF-16 as spreadsheets write it; what is neither shows in its line."""
    try:
        with open(0 if file == "-" else file, "rb", closefd=file != "-") as binary:
            is_utf16 = binary.peek(2)[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
            yield io.TextIOWrapper(binary, "utf-16" if is_utf16 else "utf-8-sig", errors="replace", newline="")
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


def _print(report: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(report, indent=2, default=str) + "\n")


if __name__ == "__main__":
    sys.exit(main())
