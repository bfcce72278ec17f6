"""The command line: `python -m local_stack run|demo|airflow|status|vault`.

Needs `dev` on the path; see the Makefile.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from local_stack.layout import PROJECT, StateFolder

_PACKAGE = {"PYTHONPATH": str(PROJECT / "plugins")}


def main(arguments: list[str] | None = None) -> int:
    """Parse the arguments and do what they say; the exit code."""
    parser = argparse.ArgumentParser(prog="local_stack", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="start everything and stay until a signal comes")
    run.add_argument("--state", type=Path, help="the state folder (.run; with an API key .run/youtube)")
    demo = commands.add_parser("demo", help="run the whole way of the data once, and check it")
    demo.add_argument("--state", type=Path, default=PROJECT / ".demo", help="the state folder, emptied first")
    airflow = commands.add_parser("airflow", help="Airflow's own command line, beside a running stack")
    airflow.add_argument("--state", type=Path, help="the state folder (the one that was started last)")
    airflow.add_argument("arguments", nargs=argparse.REMAINDER, help="such as: dags list")
    status = commands.add_parser("status", help="a running stack's schedule: what is due, what the quota gives of it")
    status.add_argument("--state", type=Path, help="the state folder (the one that was started last)")
    status.add_argument("--json", action="store_true", help="for programs")
    vault = commands.add_parser("vault", help="the project's command line, with the vault of a stack, running or not")
    vault.add_argument("--state", type=Path, help="the state folder (the one that was started last)")
    vault.add_argument("arguments", nargs=argparse.REMAINDER, help="such as: health")
    chosen = parser.parse_args(arguments)
    if chosen.command == "run":
        from local_stack.run import run as start

        return start(chosen.state)
    if chosen.command == "airflow":
        return _airflow(chosen.state, chosen.arguments)
    if chosen.command == "status":
        return _status(chosen.state, ["--json"] if chosen.json else [])
    if chosen.command == "vault":
        return _vault(chosen.state, chosen.arguments)
    from local_stack.demo import demo as prove

    return prove(chosen.state)


def _airflow(state: Path | None, arguments: list[str]) -> int:
    """Replace this process by Airflow's command line with a running stack's configuration."""
    return _beside(state, ["airflow", *arguments], {})


def _status(state: Path | None, arguments: list[str]) -> int:
    """Replace this process by `ghost_tracking status`, which finds the database and the settings in Airflow."""
    return _beside(state, ["ghost_tracking", "status", *arguments], _PACKAGE)


def _beside(state: Path | None, module: list[str], extra: dict[str, str]) -> int:
    from local_stack.airflow_config import command_line_environment
    from local_stack.processes import belonging_to

    places = _places(state)
    found = [folder for folder in places if folder.environment.exists() and belonging_to(folder)]
    if not found:
        print(f"Nothing runs in {places[0].root}: start it with make run", file=sys.stderr)
        return 1
    environment = command_line_environment(_latest(found)) | extra
    return os.execve(sys.executable, [sys.executable, "-m", *module], environment)  # noqa: S606


def _vault(state: Path | None, arguments: list[str]) -> int:
    """Replace this process by the project's command line with a stack's vault, which needs nothing that runs."""
    places = _places(state)
    folder = _latest([each for each in places if each.environment.exists()] or places[:1])
    print(f"The vault in {folder.vault}", file=sys.stderr)
    command = [sys.executable, "-m", "ghost_tracking", "--vault", str(folder.vault), *arguments]
    return os.execve(sys.executable, command, {**os.environ, **_PACKAGE})  # noqa: S606


def _places(state: Path | None) -> list[StateFolder]:
    """Where a stack may have its state."""
    from local_stack.run import usual_state

    return [StateFolder(each) for each in ([state.resolve()] if state else [usual_state(None), usual_state("a key")])]


def _latest(found: list[StateFolder]) -> StateFolder:
    """The one that was started last."""
    return max(found, key=lambda folder: folder.environment.stat().st_mtime if folder.environment.exists() else 0.0)


if __name__ == "__main__":
    sys.exit(main())
