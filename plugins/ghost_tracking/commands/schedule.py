"""The schedule as it is: what is tracked and due, what the day's quota gives of it, how much SQL that takes."""

import argparse
import json
import logging
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from dataclasses import dataclass

from airflow.sdk import Connection
from rich import filesize
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from ghost_tracking.commands import Commands, add_command, every, print_json
from ghost_tracking.core.budgets import Balance
from ghost_tracking.core.fairness import Fairness, Liveliness, LivelinessCount
from ghost_tracking.core.pacing import QuotaStatus
from ghost_tracking.core.policies import Policy
from ghost_tracking.core.tiers import Queue
from ghost_tracking.errors import BadInputError, ConfigurationError, DatabaseUnavailableError
from ghost_tracking.hooks.watchlist import WatchlistHook
from ghost_tracking.services.deployment import adopt
from ghost_tracking.services.fairness import read_fairness
from ghost_tracking.services.quota_status import read_quota_status
from ghost_tracking.settings import POSTGRES_CONNECTION, SETTINGS_VARIABLE, Settings, read_settings
from ghost_tracking.vault import Vault
from ghost_tracking.wording import printable

log = logging.getLogger(__name__)

SQL_LIMIT_BYTES = 500_000_000
"""What the whole database has to fit into."""

_OPTION = "--database"
_SHOWN = 100
_PROCESS_CONTEXT = "_AIRFLOW_PROCESS_CONTEXT"
# one @ and no other: with a password that has one, or a slash, its rest would be taken for a host and shown as such
_URL = re.compile(r"postgres(ql)?://([^@/?\s]*@)?[^@\s]*")


@dataclass(frozen=True)
class Status:
    """How a schedule is. `backlog`: videos that are overdue by more than an hour."""

    quota: QuotaStatus
    fairness: Fairness
    sql_bytes: int
    backlog: int


def add_schedule_commands(commands: Commands) -> None:
    """status, adopt-vault, refused list, refused retry, refused drop."""
    text = "show the tracked and due videos, the quota and the size of SQL; change nothing"
    status = add_command(commands, "status", _status, text)
    status.add_argument("--json", action="store_true")
    text = "use this vault from now on, even if the database belongs to another one"
    adopting = add_command(commands, "adopt-vault", _adopt_vault, text)
    text = "items that a source or an old tracker named and that are not ids of videos"
    refused = commands.add_parser("refused", help=text, description=text).add_subparsers(required=True)
    listing = refused.add_parser("list", help="list the refused items, with reason and time, newest first")
    listing.set_defaults(command=_refused_list)
    retrying = refused.add_parser("retry", help="schedule the items that do name a video")
    retrying.set_defaults(command=_refused_retry)
    retrying.add_argument("items", nargs="*", metavar="item", help="only these (default: all)")
    dropping = refused.add_parser("drop", help="take items off the list")
    dropping.set_defaults(command=_refused_drop)
    dropping.add_argument("items", nargs="+", metavar="item")
    for parser in (status, adopting, listing, retrying, dropping):
        add_database_option(parser)


def _adopt_vault(vault: Vault, options: argparse.Namespace) -> int:
    with schedule(options) as watchlist:
        sys.stdout.write(f"{adopt(watchlist, vault)}.\n")
    return 0


def _refused_list(_: Vault, options: argparse.Namespace) -> int:
    table = Table("since", "from", "item", "why")
    with schedule(options) as watchlist:
        items, all_of_them = watchlist.refused.newest(_SHOWN), watchlist.refused.count()
    for each in items:
        since = f"{each.refused_at:%Y-%m-%d %H:%M} UTC"
        table.add_row(since, *(Text(printable(text)) for text in (each.origin, each.item, each.reason)))
    Console().print(table)
    if all_of_them > len(items):
        sys.stderr.write(f"and {all_of_them - len(items):,} more\n")
    return 0


def _refused_retry(_: Vault, options: argparse.Namespace) -> int:
    with schedule(options) as watchlist:
        ids, reasons = watchlist.refused.retry(options.items or None)
    for reason in list(reasons.values())[:_SHOWN]:
        sys.stderr.write(f"{printable(reason)}\n")
    print_json({"scheduled": len(ids), "still_refused": len(reasons)})
    return 1 if reasons else 0


def _refused_drop(_: Vault, options: argparse.Namespace) -> int:
    with schedule(options) as watchlist:
        print_json({"dropped": watchlist.refused.drop(options.items)})
    return 0


@contextmanager
def schedule(options: argparse.Namespace) -> Iterator[WatchlistHook]:
    """The database that the options name; what it says of a failure becomes one line."""
    with _opened(options) as (watchlist, _), _in_one_line(watchlist):
        yield watchlist


@contextmanager
def _opened(options: argparse.Namespace) -> Iterator[tuple[WatchlistHook, Settings]]:
    """The database that the options name, and the deployment's settings."""
    # a value as short as {} or sslmode=on cannot be masked in logs, and is in none of this command
    for masker in ("airflow._shared.secrets_masker", "airflow.sdk._shared.secrets_masker"):
        logging.getLogger(masker).setLevel(logging.ERROR)
    if options.database is None:
        with _airflows_own_database():
            settings = _settings()
            with WatchlistHook(budgets=settings.quota) as watchlist:
                yield watchlist, settings
    else:
        connection = connection_from(options.database)
        settings = _settings()
        with WatchlistHook(_OPTION, connection=connection, budgets=settings.quota) as watchlist:
            yield watchlist, settings


def _status(_: Vault, options: argparse.Namespace) -> int:
    with _opened(options) as (watchlist, settings):
        status = _read(watchlist, settings)
    if options.json:
        log.info(_origin(settings))
        print_json(
            status.quota.as_dict()
            | {"sql_bytes": status.sql_bytes, "backlog": status.backlog, "fairness": status.fairness.as_dict()}
        )
    else:
        _show(status, settings)
    return 0


def add_database_option(parser: argparse.ArgumentParser) -> None:
    """Where the schedule is."""
    parser.add_argument(
        _OPTION,
        metavar="URL",
        help=f"postgresql://user@host/db, best with the password in PGPASSWORD or ~/.pgpass (default: the "
        f"Airflow connection {POSTGRES_CONNECTION})",
    )


def connection_from(url: str) -> Connection:
    """Where a URL leads, as libpq reads it.

    Raises BadInputError, which does not repeat the URL: there may be a password anywhere in what cannot be read.
    """
    from psycopg import ProgrammingError
    from psycopg.conninfo import conninfo_to_dict

    known: dict[str, str] = {}
    if _URL.fullmatch(url):
        with suppress(ProgrammingError):
            known = {name: str(value) for name, value in conninfo_to_dict(url).items()}
    port = known.pop("port", "")
    if not known or not re.fullmatch(r"[\d,]*", port):
        raise BadInputError(
            f"{_OPTION} is not a URL such as postgresql://user@host/db or postgresql://user@/db?host=/socket/folder; "
            "in a password, @ : / ? # % are written %40 %3A %2F %3F %23 %25"
        )
    several = {} if port.isdigit() or not port else {"port": port}
    return Connection(
        conn_id=_OPTION,
        conn_type="postgres",
        host=known.pop("host", None),
        port=int(port) if port.isdigit() else None,
        login=known.pop("user", None),
        password=known.pop("password", None),
        schema=known.pop("dbname", None),
        extra=json.dumps(known | several),
    )


def _settings() -> Settings:
    """The deployment's settings, or the defaults where Airflow does not know its Variable or cannot be asked."""
    # Airflow logs on standard output what cannot be asked
    with redirect_stdout(sys.stderr):
        return read_settings()


def _origin(settings: Settings) -> str:
    if settings.model_fields_set:
        return f"Settings: those of the Airflow Variable '{SETTINGS_VARIABLE}'."
    return (
        f"Settings: the defaults, since no Airflow Variable '{SETTINGS_VARIABLE}' that sets any can be read from here."
    )


@contextmanager
def _airflows_own_database() -> Iterator[None]:
    """Look for connections and Variables in Airflow's own database too, as `airflow connections test` does."""
    before = os.environ.get(_PROCESS_CONTEXT)
    os.environ.setdefault(_PROCESS_CONTEXT, "server")
    try:
        yield
    finally:
        if before is None:
            del os.environ[_PROCESS_CONTEXT]


def _read(watchlist: WatchlistHook, settings: Settings) -> Status:
    """Ask the database, in one transaction that changes nothing."""
    with _in_one_line(watchlist), watchlist.transaction():
        quota = read_quota_status(watchlist, settings)
        fairness = read_fairness(watchlist, settings, quota)
        return Status(quota, fairness, watchlist.status.database_bytes(), watchlist.status.backlog())


@contextmanager
def _in_one_line(watchlist: WatchlistHook) -> Iterator[None]:
    """What the database says of a failure becomes one line."""
    from psycopg import ProgrammingError

    try:
        yield
    except DatabaseUnavailableError as error:
        raise DatabaseUnavailableError(" ".join(error.message.split())) from error
    except ProgrammingError as error:
        raise ConfigurationError(
            f"the database of connection '{watchlist.database.name}' was not set up by this version of "
            f"Ghost Tracking, whose DAGs do so when they run: {error.diag.message_primary}"
        ) from error


def _show(status: Status, settings: Settings) -> None:
    console = Console()
    fairness = status.fairness
    console.print(_queues(status.quota, fairness.policy))
    console.print(_buckets(status.quota))
    console.print(_slots(fairness))
    if fairness.liveliness is not None:
        console.print(_liveliness(fairness.liveliness))
    size, limit = filesize.decimal(status.sql_bytes), filesize.decimal(SQL_LIMIT_BYTES)
    for line in (
        f"SQL: {size} of {limit} ({status.sql_bytes / SQL_LIMIT_BYTES:.0%}).",
        f"Backlog: {status.backlog:,} videos are overdue by more than an hour.",
        _sentence(status.quota, fairness.policy),
        *_policy(fairness),
        _origin(settings),
    ):
        console.print(line, soft_wrap=True)


def _queues(quota: QuotaStatus, policy: Policy) -> Table:
    names = ("videos", "due", "planned, every", "on average, every")
    table = Table("queue", *(Column(name, justify="right") for name in names))
    for queue in Queue:
        counts = (f"{count.get(queue, 0):,}" for count in (quota.videos, quota.due))
        is_own = policy is Policy.ADAPTIVE and queue is not Queue.GONE
        table.add_row(queue, *counts, every(queue.interval), "as it gains" if is_own else every(quota.intervals[queue]))
    return table


def _slots(fairness: Fairness) -> Table:
    """What became of the slots of late."""
    names = ("hours", "slots", "read", "left out", "missed", "planned", "really, every")
    table = Table("tier", *(Column(name, justify="right") for name in names))
    for each in fairness.tiers:
        counts = (each.hours, each.slots, each.served, each.skipped, each.missed)
        really = every(each.interval) if each.slots else "-"
        table.add_row(each.tier, *(f"{count:,}" for count in counts), every(each.tier.interval), really)
    return table


def _liveliness(count: LivelinessCount) -> Table:
    """Who waits how long, by what videos gain."""
    names = ("videos", "planned, every", "by the policy", "newest count, old")
    table = Table("views a day", *(Column(name, justify="right") for name in names))
    for each in count.classes:
        age = "-" if each.age is None else every(each.age)
        table.add_row(_gain(each), f"{each.videos:,}", every(each.planned), every(each.interval), age)
    return table


def _gain(each: Liveliness) -> str:
    """The class in words."""
    if each.least is None:
        return "not known"
    if each.below is None:
        return f"{each.least:,.0f} and more"
    return f"{each.least:,.0f} to {each.below:,.0f}" if each.least else f"under {each.below:,.0f}"


def _policy(fairness: Fairness) -> Iterator[str]:
    """The policy, why slots are left out, and how wrong that leaves what is known."""
    why = fairness.why or "No slot is left out on purpose."
    yield f"Policy {fairness.policy.value}: {why}"
    for name, error in (("The newest count", fairness.held_error), ("The curve", fairness.curve_error)):
        if error is not None:
            yield (
                f"{name} of a video is wrong by {100 * error.share:.1f} ± {100 * error.share_within:.1f} % on average, "
                f"{error.views:,.0f} ± {error.views_within:,.0f} views, as {error.audits:,} audits of a week say."
            )


def _buckets(quota: QuotaStatus) -> Table:
    names = ("budget", "spent", "left", "held back")
    table = Table("bucket", *(Column(name, justify="right") for name in names), "empty")
    for bucket, balance in quota.balances.items():
        numbers = (balance.budget, balance.spent, balance.left(), quota.held_back[bucket])
        table.add_row(bucket, *(f"{number:,}" for number in numbers), _emptiness(balance))
    return table


def _emptiness(balance: Balance) -> str:
    if balance.is_exhausted:
        return "YouTube says so"
    return "no" if balance.left() else "yes"


def _sentence(quota: QuotaStatus, policy: Policy) -> str:
    """Whether the quota suffices, today and in the long run."""
    if policy is Policy.ADAPTIVE:
        return (
            f"All of the quota is used: {quota.capacity:,} calls a day, of which {quota.left:,} are left until "
            f"{quota.day.end:%Y-%m-%d %H:%M} UTC; {quota.demand:,.0f} would read every slot of every tier."
        )
    calls = f"{quota.need:,.0f} calls a day are needed, {quota.capacity:,} are there"
    when = None
    if quota.runs_out_at is not None:
        is_now = quota.runs_out_at <= quota.day.now
        when = "now" if is_now else f"at {quota.runs_out_at:%Y-%m-%d %H:%M} UTC"
    if not quota.is_short:
        if when is None:
            return f"The quota suffices: {calls}."
        return (
            f"The quota suffices in the long run ({calls}), but not today: it would run out {when} if nothing were "
            f"held back, so what is left is spread until {quota.day.end:%Y-%m-%d %H:%M} UTC."
        )
    left_out = f"{quota.skipped:.0%} of all slots are left out" if quota.capacity else "nothing is read"
    if when is None:
        return (
            f"The quota does not suffice ({calls}), though it lasts for the rest of today: {left_out} in the long run."
        )
    return f"The quota does not suffice ({calls}): it would run out {when} if nothing were held back; {left_out}."
