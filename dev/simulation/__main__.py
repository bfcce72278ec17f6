"""`make simulate DAYS=90 NEW_PER_DAY=2000`: months of Ghost Tracking in minutes."""

import argparse
import contextlib
import json
import logging
import os
import sys
import tempfile
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

from ghost_tracking.core.policies import Policy
from ghost_tracking.hooks.vault import ParquetVaultHook
from local_stack.signals import EndingSignals, StopRequested
from simulation.database import empty_database
from simulation.picture import draw
from simulation.report import Report
from simulation.run import Scenario

_MEMORY = Path("/dev/shm")  # noqa: S108 - it is meant to be memory


def main(arguments: list[str] | None = None) -> int:
    """Simulate, print a table and draw a picture; 1 when what has to hold does not."""
    given = _arguments(arguments)
    quieten()
    EndingSignals(lambda: None).install()  # one is enough: the server is stopped in order
    try:
        with _folder() as folder, empty_database(folder) as connection:
            report = Report.of(_scenario(given), connection, ParquetVaultHook(root=folder / "vault"), folder)
    except StopRequested as stopped:
        return 128 + stopped.number
    report.show()
    draw(report, given.out)
    print(f"The picture: {given.out}")
    if given.json:
        given.json.write_text(json.dumps(report.as_dict(), indent=1), encoding="utf-8")
    return 1 if report.is_broken else 0


def _arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make simulate", description=__doc__)
    usual = Scenario()
    parser.add_argument("--days", type=int, default=usual.days)
    parser.add_argument("--new-per-day", type=int, default=usual.per_day, help="videos that are found a day")
    parser.add_argument("--statistics", type=int, default=usual.statistics, help="calls a day of that bucket")
    parser.add_argument("--general", type=int, default=usual.general, help="calls a day of that bucket")
    parser.add_argument("--quota-half-from", type=int, metavar="DAY", help="from then on half of what is needed")
    parser.add_argument("--quota-half-to", type=int, metavar="DAY")
    parser.add_argument("--calls-a-day", type=int, metavar="CALLS", help="for readings, in place of both buckets")
    parser.add_argument("--policy", choices=[*Policy], default=usual.policy.value, help="the setting `policy`")
    parser.add_argument("--saves", type=float, metavar="SHARE", help="the setting `thrifty_saves`")
    parser.add_argument("--late-rises", type=float, metavar="SHARE", help="of settled videos take off again in a year")
    parser.add_argument("--seed", type=int, default=usual.seed)
    parser.add_argument("--tick-minutes", type=int, default=5, choices=(5, 10, 15, 30, 60), help="between tracker runs")
    parser.add_argument("--out", type=Path, default=Path("simulation.png"), help="the picture: .png or .svg")
    parser.add_argument("--json", type=Path, help="where all figures go")
    return parser.parse_args(arguments)


def _scenario(given: argparse.Namespace) -> Scenario:
    return Scenario(
        days=given.days,
        per_day=given.new_per_day,
        statistics=given.statistics,
        general=given.general,
        half_from=given.quota_half_from,
        half_to=given.quota_half_to,
        seed=given.seed,
        tick=timedelta(minutes=given.tick_minutes),
        policy=Policy(given.policy),
        saves=given.saves,
        calls_a_day=given.calls_a_day,
        late_rises=given.late_rises,
    )


def quieten() -> None:
    """What hooks tell is no news here; what they warn of is."""
    logging.disable(logging.INFO)
    with contextlib.suppress(ImportError):
        import structlog

        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    """A folder for database and vault, in memory where that is large enough: syncing files takes no time there."""
    roomy = _MEMORY.is_dir() and os.statvfs(_MEMORY).f_bavail * os.statvfs(_MEMORY).f_frsize > 4 * 2**30
    with tempfile.TemporaryDirectory(prefix="ghost-simulation-", dir=_MEMORY if roomy else None) as name:
        yield Path(name)


if __name__ == "__main__":
    sys.exit(main())
