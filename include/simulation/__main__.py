"""`make simulate DAYS=90 NEW_PER_DAY=2000`: months of Ghost Tracking in minutes."""

import argparse
import logging
import sys
import tempfile
from pathlib import Path

from ghost_tracking.hooks.vault import ParquetVaultHook
from simulation.database import empty_database
from simulation.run import Scenario, Simulation


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="make simulate", description=__doc__)
    parser.add_argument("--days", type=int, default=90)
    parser.add_argument("--new-per-day", type=int, default=2_000)
    given = parser.parse_args(arguments)
    logging.disable(logging.INFO)
    with tempfile.TemporaryDirectory(prefix="ghost-simulation-", dir="/dev/shm") as name:
        folder = Path(name)
        with empty_database(folder) as connection:
            simulation = Simulation(
                Scenario(given.days, given.new_per_day), connection, ParquetVaultHook(root=folder / "vault")
            )
            journal = simulation.run(print)
            print(journal.done, journal.seconds, journal.problems)
            for evening in journal.evenings:
                print(evening)
            print(journal.samples[-1])
            simulation.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
