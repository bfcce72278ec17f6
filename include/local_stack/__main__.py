"""The command line: `python -m local_stack run|demo|airflow`. Needs `include` on the path; see the Makefile."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from local_stack.layout import PROJECT


def main(arguments: list[str] | None = None) -> int:
    """Parse the arguments and do what they say; the exit code."""
    parser = argparse.ArgumentParser(prog="local_stack", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="start everything and stay until a signal comes")
    run.add_argument("--state", type=Path, help="the state folder (.run; with an API key .run/youtube)")
    demo = commands.add_parser("demo", help="run the whole way of the data once, and check it")
    demo.add_argument("--state", type=Path, default=PROJECT / ".demo", help="the state folder, made anew")
    airflow = commands.add_parser("airflow", help="Airflow's own command line, beside a running stack")
    airflow.add_argument("--state", type=Path, help="the state folder (the one that was started last)")
    airflow.add_argument("arguments", nargs=argparse.REMAINDER, help="such as: dags list")
    chosen = parser.parse_args(arguments)
    if chosen.command == "run":
        from local_stack.run import run as start

        return start(chosen.state)
    if chosen.command == "airflow":
        return _airflow(chosen.state, chosen.arguments)
    from local_stack.demo import demo as prove

    return prove(chosen.state)


def _airflow(state: Path | None, arguments: list[str]) -> int:
    """Replace this process by Airflow's command line with a stack's configuration."""
    from local_stack.airflow_config import command_line_environment
    from local_stack.layout import StateFolder
    from local_stack.run import usual_state

    states = [state.resolve()] if state else [usual_state(None), usual_state("a key")]
    found = [folder for folder in map(StateFolder, states) if folder.environment.exists()]
    if not found:
        print(f"There is no stack in {states[0]}: start it with make run", file=sys.stderr)
        return 1
    latest = max(found, key=lambda folder: folder.environment.stat().st_mtime)
    command = [sys.executable, "-m", "airflow", *arguments]
    return os.execve(sys.executable, command, command_line_environment(latest))  # noqa: S606


if __name__ == "__main__":
    sys.exit(main())
