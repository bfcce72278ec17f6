"""The command line: `python -m local_stack run|demo|airflow`. Needs `include` on the path; see the Makefile."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from local_stack.layout import PROJECT


def main(arguments: list[str] | None = None) -> int:
    """Parse the arguments and do what they say; the exit code."""
    parser = argparse.ArgumentParser(prog="local_stack", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="start everything and stay until a signal comes")
    run.add_argument("--state", type=Path, default=PROJECT / ".run", help="the state folder")
    demo = commands.add_parser("demo", help="run the whole way of the data once, and check it")
    demo.add_argument("--state", type=Path, default=PROJECT / ".demo", help="the state folder, made anew")
    chosen = parser.parse_args(arguments)
    if chosen.command == "run":
        from local_stack.run import run as start

        return start(chosen.state)
    from local_stack.demo import demo as prove

    return prove(chosen.state)


if __name__ == "__main__":
    sys.exit(main())
