"""What a load of videos takes, before there is one."""

import argparse
from collections.abc import Callable

from rich import filesize
from rich.console import Console
from rich.table import Column, Table

from ghost_tracking.commands import Commands, add_command, every, print_json
from ghost_tracking.core.planner import HORIZONS, Forecast, Plan, Policy, PolicyForecast, plan
from ghost_tracking.core.tiers import Queue
from ghost_tracking.settings import Settings
from ghost_tracking.vault import Vault

_LAST_DAY = 36_500


def add_planning_commands(commands: Commands) -> None:
    """plan; what is not given is as the settings are without anybody setting them."""
    text = "forecast what a number of new videos a day needs: SQL, vault, calls, real intervals"
    planning = add_command(commands, "plan", _plan, text)
    defaults = Settings()
    planning.add_argument("--new-per-day", type=_count, required=True, help="new videos found per day")
    planning.add_argument("--statistics", type=_count, default=defaults.quota_statistics, help="calls per day")
    planning.add_argument("--general", type=_count, default=defaults.quota_general, help="calls per day")
    planning.add_argument(
        "--hunter-holdback", type=_count, default=defaults.quota_hunter_holdback, help="calls per day"
    )
    planning.add_argument("--metadata-days", type=_count, default=defaults.metadata_retention_days)
    planning.add_argument("--drop-hours", action="store_true", help="no hourly files of points that are in the history")
    planning.add_argument("--vault-days", type=_day, default=defaults.vault_retention_days, help="default: forever")
    planning.add_argument(
        "--gone-per-week", type=_share, default=Policy().gone_a_week, help="share of settled videos that vanish forever"
    )
    planning.add_argument(
        "--thrifty-saves",
        type=_share,
        default=defaults.thrifty_saves,
        help="share of the readings that the policy thrifty saves",
    )
    planning.add_argument(
        "--days", type=_day, nargs="+", default=HORIZONS, help="forecast for one or more numbers of days"
    )
    planning.add_argument("--json", action="store_true")


def _count(text: str) -> int:
    if (number := int(text)) < 0:
        raise argparse.ArgumentTypeError(f"{text} is negative")
    return number


def _day(text: str) -> int:
    if not 1 <= (number := int(text)) <= _LAST_DAY:
        raise argparse.ArgumentTypeError(f"{text} is not between 1 and {_LAST_DAY}")
    return number


def _share(text: str) -> float:
    if not 0 <= (number := float(text)) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 1")
    return number


def _plan(_: Vault, options: argparse.Namespace) -> int:
    planned = plan(
        options.new_per_day,
        {"statistics": options.statistics, "general": options.general},
        holdbacks={"general": options.hunter_holdback},
        policy=Policy(
            options.metadata_days,
            not options.drop_hours,
            options.vault_days,
            options.gone_per_week,
            options.thrifty_saves,
        ),
        horizons=options.days,
    )
    if options.json:
        print_json(planned.as_dict())
    else:
        _show_plan(planned, options.hunter_holdback)
    return 0


def _show_plan(planned: Plan, holdback: int) -> None:
    rows: dict[str, Callable[[Forecast], str]] = {
        "videos": lambda forecast: f"{sum(forecast.videos.values()):,}",
        "SQL": lambda forecast: filesize.decimal(forecast.sql_bytes),
        "vault": lambda forecast: filesize.decimal(forecast.vault_bytes),
        "calls needed a day": lambda forecast: f"{forecast.demand:,.0f}",
        "calls made a day": lambda forecast: f"{forecast.calls:,.0f}",
        "first day, every": lambda forecast: every(forecast.intervals[Queue.HOURLY]),
        "first week, every": lambda forecast: every(forecast.intervals[Queue.DAILY]),
        "later, every": lambda forecast: every(forecast.intervals[Queue.WEEKLY]),
    }
    table = Table("after", *map(_after, planned.forecasts))
    for name, cell in rows.items():
        table.add_row(name, *map(cell, planned.forecasts))
    console = Console()
    console.print(table)
    console.print(_policies(planned))
    console.print(
        "Errors (in views/in per cent) are relative to those of reading every slot; they are interpolated from "
        "replays of synthetic videos (docs/benchmarks.md, policy). A dash: fewer readings than were replayed."
    )
    if planned.short_from_day is not None:
        console.print(
            f"From day {planned.short_from_day:,} on, the load needs more calls than the quota grants: slots are left "
            "out, where least is to be seen. Ask Google for more quota, or hunt fewer sources."
        )
    if planned.hunter > holdback:
        console.print(
            f"The hunter needs {planned.hunter:,} calls a day for the metadata of new videos, and more for its "
            f"sources: raise quota_hunter_holdback, which is {holdback:,}, above that."
        )


def _after(forecast: Forecast) -> str:
    names = {7: "a week", 30: "a month", 365: "a year", 1826: "five years"}
    return names.get(forecast.days, f"{forecast.days:,} days")


def _policies(planned: Plan) -> Table:
    """The policies of reading side by side, at each time."""
    names = ("calls/day", "points/day", "read every", "last count", "curve")
    table = Table("after", *(Column(name, justify="right") for name in names))
    for forecast in planned.forecasts:
        table.add_row(f"{_after(forecast)}:")
        for each in forecast.policies:
            numbers = (f"{each.calls:,.0f}", f"{each.points:,.0f}", every(each.interval))
            table.add_row(each.policy, *numbers, *_errors(each))
        table.add_section()
    return table


def _errors(each: PolicyForecast) -> tuple[str, str]:
    if each.errors is None:
        return "-", "-"
    found = each.errors
    return f"{found.held:.2f}/{found.held_log:.2f}", f"{found.curve:.2f}/{found.curve_log:.2f}"
