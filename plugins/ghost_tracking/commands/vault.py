"""Looking after the vault, and reading what is in it."""

import argparse
import sys
from datetime import UTC, datetime, timedelta

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ghost_tracking.commands import Commands, add_command, print_json
from ghost_tracking.core.video_ids import parse_video_reference
from ghost_tracking.vault import Vault
from ghost_tracking.wording import printable


def add_vault_commands(commands: Commands) -> None:
    """health, verify, repair, seal, compact, expire, history, find."""
    text = "report the state of the vault: layers, freshness, staged points, unreadable files"
    add_command(commands, "health", _health, text)
    verify = add_command(commands, "verify", _verify, "read and compare every point in every layer")
    which = verify.add_mutually_exclusive_group()
    which.add_argument("--days", type=_days, help="only this number of recent days")
    text = "only the last two days and the files not proven for longest, as the janitor does every night"
    which.add_argument("--share", action="store_true", help=text)
    text = "publish staged points, quarantine damaged files, and rebuild them from another layer"
    add_command(commands, "repair", _repair, text)
    text = "rewrite the hours that are over, sorted and small, and delete their parts"
    add_command(commands, "seal", _seal, text)
    compact = add_command(commands, "compact", _compact, "put closed days and months into the history, by video")
    compact.add_argument("--days-only", action="store_true", help="no months")
    compact.add_argument(
        "--drop-hours", action="store_true", help="delete hourly files whose points are in the history"
    )
    text = "count the data older than a number of days; with --delete, delete it permanently"
    expire = add_command(commands, "expire", _expire, text)
    expire.add_argument("days", type=_days)
    expire.add_argument("--delete", action="store_true")
    history = add_command(commands, "history", _history, "print all points of one video, as CSV")
    history.add_argument("video_id", type=_video_id, help="its id or URL")
    find = add_command(commands, "find", _find, "find videos by the words of their titles")
    find.add_argument("words", nargs="+")


def _days(text: str) -> int:
    if (number := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"{text} is less than a day")
    return number


def _video_id(text: str) -> str:
    try:
        return parse_video_reference(text) if "/" in text else text
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _health(vault: Vault, _: argparse.Namespace) -> int:
    health = vault.health_check()
    print_json(health)
    return 0 if health["ok"] else 1


def _verify(vault: Vault, options: argparse.Namespace) -> int:
    now = datetime.now(UTC)
    since = None if options.days is None else now - timedelta(days=options.days)
    found = vault.verify_share(now) if options.share else vault.verify(start=since)
    print_json(found.as_dict())
    return 1 if found.problems else 0


def _repair(vault: Vault, _: argparse.Namespace) -> int:
    report = vault.repair()
    print_json(report.as_dict())
    return 1 if report.lost or report.problems else 0


def _seal(vault: Vault, _: argparse.Namespace) -> int:
    report = vault.seal(datetime.now(UTC))
    print_json(report.as_dict())
    return 0 if report.complete else 1


def _compact(vault: Vault, options: argparse.Namespace) -> int:
    report = vault.compact(datetime.now(UTC), months=not options.days_only, keep_hours=not options.drop_hours)
    print_json(report.as_dict())
    return 1 if report.failed else 0


def _expire(vault: Vault, options: argparse.Namespace) -> int:
    cutoff = datetime.now(UTC) - timedelta(days=options.days)
    points = vault.expire(cutoff, dry_run=not options.delete)
    videos = vault.expire_videos(cutoff, dry_run=not options.delete)
    print_json({"deleted": options.delete, **points.as_dict(), "videos": videos.videos})
    return 1 if points.problems or videos.problems else 0


def _history(vault: Vault, options: argparse.Namespace) -> int:
    points = vault.read_history(options.video_id)
    if points.empty:
        sys.stderr.write(f"The vault has no point of video {printable(options.video_id)}\n")
        return 1
    sys.stdout.write(points.to_csv(index=False))
    return 0


def _find(vault: Vault, options: argparse.Namespace) -> int:
    found = vault.find_videos(" ".join(options.words))
    table = Table("video_id", "title", "channel_title", "published_at")
    for row in found[["video_id", "title", "channel_title", "published_at"]].itertuples(index=False):
        table.add_row(*(Text(printable(each)) for each in row))
    Console().print(table)
    return 0
