"""The sub-commands of `python -m ghost_tracking`: each module adds its own to the parser, and has what they do."""

import argparse
import json
import sys
from collections.abc import Callable
from datetime import timedelta
from typing import Any, TypeAlias

from ghost_tracking.vault import Vault

Command = Callable[[Vault, argparse.Namespace], int]
"""The vault is looked for when a command uses it. 1 when it found something wrong."""

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"
"""What sub-commands are added to; argparse has no public name for it."""

_HOURS_SHOWN = 100


def add_command(commands: Commands, name: str, command: Command, text: str) -> argparse.ArgumentParser:
    """A sub-command, whose options the caller adds."""
    parser = commands.add_parser(name, help=text, description=text)
    parser.set_defaults(command=command)
    return parser


def print_json(report: dict[str, Any]) -> None:
    """What programs read, on standard output."""
    sys.stdout.write(json.dumps(report, indent=2, default=str) + "\n")


def every(interval: timedelta | None) -> str:
    """How long videos wait between two readings, in hours or days; None: for ever."""
    if interval is None:
        return "never"
    hours = interval / timedelta(hours=1)
    return f"{hours:,.1f} h" if hours < _HOURS_SHOWN else f"{hours / 24:,.1f} days"
