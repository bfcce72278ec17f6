"""`make bench`: all benchmarks, or those that ARGS names, such as `make bench ARGS="tracker vault"`."""

import argparse
import logging
import sys
import traceback
from collections.abc import Callable
from datetime import UTC, datetime

import structlog

from benchmarks import (
    archive,
    claims,
    footprint,
    load,
    metadata,
    movers,
    page,
    policy,
    readers,
    rebuild,
    requests,
    search,
    series,
    tracker,
    vault,
    years,
    youtube,
)
from benchmarks.screen import Screen, describe_machine
from local_stack.signals import EndingSignals, StopRequested

BENCHMARKS: dict[str, Callable[[Screen], None]] = {
    "vault": vault.bench,
    "youtube": youtube.bench,
    "claims": claims.bench,
    "tracker": tracker.bench,
    "tracker-large": tracker.bench_large,
    "archive": archive.bench,
    "series": series.bench,
    "month": series.bench_month,
    "page": page.bench,
    "movers": movers.bench,
    "footprint": footprint.bench,
    "metadata": metadata.bench,
    "load": load.bench,
    "requests": requests.bench,
    "policy": policy.bench,
    "readers": readers.bench,
    "rebuild": rebuild.bench,
    "titles": search.bench,
    "years": years.bench,
}
ON_REQUEST = {
    "month",
    "movers",
    "page",
    "footprint",
    "tracker-large",
    "metadata",
    "policy",
    "readers",
    "rebuild",
    "titles",
    "years",
}
"""Take many minutes: run only when they are named."""


def main(arguments: list[str] | None = None) -> int:
    """Run benchmarks; 1 when one did not work, whatever the figures are."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="name", help=f"any of {', '.join(BENCHMARKS)}; none: all")
    names = parser.parse_args(arguments).names
    if unknown := sorted(set(names) - BENCHMARKS.keys()):
        parser.error(f"unknown: {', '.join(unknown)}; there are {', '.join(BENCHMARKS)}")
    logging.disable(logging.INFO)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))  # as hooks log
    EndingSignals(lambda: None).install()  # one is enough: servers are stopped in order
    screen = Screen()
    screen.note(f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {describe_machine()}")
    try:
        failed = [
            name
            for name in names or [each for each in BENCHMARKS if each not in ON_REQUEST]
            if not _works(name, screen)
        ]
    except StopRequested as stopped:
        return 128 + stopped.number
    return 1 if failed else 0


def _works(name: str, screen: Screen) -> bool:
    screen.title(name)
    try:
        BENCHMARKS[name](screen)
    except Exception:  # noqa: BLE001 - said in full; the other benchmarks can still be run
        screen.failure(f"{name} did not work:\n{traceback.format_exc()}")
        return False
    return True


if __name__ == "__main__":
    sys.exit(main())
