"""The command line: `python -m local_stack run|demo|airflow|status`. Needs `include` on the path; see the Makefile."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from local_stack.layout import PROJECT, StateFolder


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
    status = commands.add_parser("status", help="a running stack's schedule: what is due, what the quota gives of it")
    status.add_argument("--state", type=Path, help="the state folder (the one that was started last)")
    status.add_argument("--json", action="store_true", help="for programs")
    chosen = parser.parse_args(arguments)
    if chosen.command == "run":
        from local_stack.run import run as start

        return start(chosen.state)
    if chosen.command == "airflow":
        return _airflow(chosen.state, chosen.arguments)
    if chosen.command == "status":
        return _status(chosen.state, ["--json"] if chosen.json else [])
    from local_stack.demo import demo as prove

    return prove(chosen.state)


def _airflow(state: Path | None, arguments: list[str]) -> int:
    """Replace this process by Airflow's command line with a stack's configuration."""
    from local_stack.airflow_config import command_line_environment

    places = _places(state)
    found = [folder for folder in places if folder.environment.exists()]
    if not found:
        print(f"There is no stack in {places[0].root}: start it with make run", file=sys.stderr)
        return 1
    command = [sys.executable, "-m", "airflow", *arguments]
    return os.execve(sys.executable, command, command_line_environment(_latest(found)))  # noqa: S606


def _status(state: Path | None, arguments: list[str]) -> int:
    """Replace this process by `ghost_tracking status`, which finds the database and the settings in Airflow."""
    from local_stack.airflow_config import command_line_environment
    from local_stack.processes import belonging_to

    places = _places(state)
    found = [folder for folder in places if folder.environment.exists() and belonging_to(folder)]
    if not found:
        print(f"Nothing runs in {places[0].root}: start it with make run", file=sys.stderr)
        return 1
    environment = command_line_environment(_latest(found)) | {"PYTHONPATH": str(PROJECT / "plugins")}
    command = [sys.executable, "-m", "ghost_tracking", "status", *arguments]
    return os.execve(sys.executable, command, environment)  # noqa: S606


def _places(state: Path | None) -> list[StateFolder]:
    """Where a stack may have its state."""
    from local_stack.run import usual_state

    return [StateFolder(each) for each in ([state.resolve()] if state else [usual_state(None), usual_state("a key")])]


def _latest(found: list[StateFolder]) -> StateFolder:
    """The one that was started last."""
    return max(found, key=lambda folder: folder.environment.stat().st_mtime)


if __name__ == "__main__":
    sys.exit(main())
