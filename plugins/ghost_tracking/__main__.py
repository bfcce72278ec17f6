"""Ghost Tracking from the command line: `python -m ghost_tracking --vault /data/vault health`.

The wheel installs it as `ghost-tracking` as well.

Without --vault, the commands use the vault of the Airflow connection `ghost_vault`. `plan` and `status` need no vault.
Without Airflow, --vault is required and only `plan` and the vault's commands exist; `pip install
"ghost-tracking[airflow]"` adds the others.
"""

import argparse
import logging
import os
import re
import sys
from collections.abc import Callable
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import NoReturn

from ghost_tracking.commands import Command
from ghost_tracking.errors import ConfigurationError, GhostTrackingError
from ghost_tracking.vault import Vault


def run() -> NoReturn:
    """The command as a process of its own, which ends when it is done.

    Not by way of the destructors of native libraries: with pyarrow's threads still winding down, these abort a process
    now and then that has done all it should ("terminate called without an active exception", exit code -6).
    """
    code = main()
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        with suppress(BrokenPipeError):  # whoever read it has seen enough
            stream.flush()
    os._exit(code)


def main(arguments: list[str] | None = None) -> int:
    """Run one command; 1 when it found something wrong, or could not be run at all."""
    opened = _vault_opener()  # imports Airflow, where it is, which turns the log to standard output
    # Standard output is the command's: Airflow would put warnings there, those of the imports that follow too.
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr, force=True)
    logging.captureWarnings(True)
    options = _parser().parse_args(_guarded(sys.argv[1:] if arguments is None else arguments))
    command: Command = options.command
    try:
        return command(opened(options.vault), options)
    except GhostTrackingError as error:
        sys.stderr.write(f"{error.message}\n")
        return 1


def _has_airflow() -> bool:
    return find_spec("airflow") is not None


def _vault_opener() -> Callable[[str | None], Vault]:
    """What opens the vault at a root; without one, where a connection says, which takes Airflow."""
    if _has_airflow():
        from ghost_tracking.hooks.vault import ParquetVaultHook

        return lambda root: ParquetVaultHook(root=root)
    return _library_vault


def _library_vault(root: str | None) -> Vault:
    if root is None:
        raise ConfigurationError("Airflow is not installed, so no connection says where the vault is: use --vault")
    return Vault(root)


def _guarded(arguments: list[str]) -> list[str]:
    """With its URL in the place of an id that begins with a dash, which argparse would take for an option."""
    named = ("history", "pause", "stop", "forget", "resume")
    first = next((place for place, word in enumerate(arguments) if word in named), len(arguments))
    return [
        f"https://youtu.be/{word}" if place > first and re.fullmatch(r"-[\w-]{10}", word) else word
        for place, word in enumerate(arguments)
    ]


class _Parser(argparse.ArgumentParser):
    """Repeats what it cannot parse, but for a database's URL, which may have a password in it."""

    def error(self, message: str) -> NoReturn:
        super().error(re.sub(r"(postgres\w*://).*", r"\1…", message, flags=re.DOTALL | re.IGNORECASE))


def _parser() -> argparse.ArgumentParser:
    from ghost_tracking.commands.planning import add_planning_commands
    from ghost_tracking.commands.vault import add_vault_commands

    called = Path(sys.argv[0]).stem
    name = called if called == "ghost-tracking" else "python -m ghost_tracking"
    parser: argparse.ArgumentParser = _Parser(prog=name, description=__doc__)
    parser.add_argument(
        "--vault", help="a folder, s3://bucket/prefix or gs://bucket/prefix (default: the connection's)"
    )
    commands = parser.add_subparsers(required=True, metavar="command")
    add_vault_commands(commands)
    add_planning_commands(commands)
    if _has_airflow():
        from ghost_tracking.commands.letting_go import add_letting_go_commands
        from ghost_tracking.commands.lists import add_list_commands
        from ghost_tracking.commands.schedule import add_schedule_commands

        add_list_commands(commands)
        add_letting_go_commands(commands)
        add_schedule_commands(commands)
    return parser


# Airflow's plugin loader executes every file of a plugins folder without `.airflowignore` under its bare name: this one
# under just this name, but in no package.
if __name__ == "__main__" and __package__:
    run()
