"""The state file: what a restarted simulator needs to serve the same universe again."""

import json
import os
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from .clock import as_utc


class StateError(ValueError):
    """A state file that cannot be used; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Universe:
    """What settles a universe; `origin` is an ISO 8601 time with its zone."""

    seed: int
    channels: int
    videos_per_hour: float
    history_days: float
    origin: str

    @property
    def origin_time(self) -> datetime:
        """The origin, UTC."""
        return as_utc(datetime.fromisoformat(self.origin))


def load(path: Path) -> Universe | None:
    """Read the state file, None when there is none yet; raise StateError when it cannot be read."""
    try:
        universe = Universe(**json.loads(path.read_text(encoding="utf-8")))
        as_utc(universe.origin_time)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError) as error:
        raise StateError(f"cannot read the state file {path}: {error}") from error
    return universe


def save(path: Path, universe: Universe) -> None:
    """Write the state file in one step."""
    write_whole(path, json.dumps(asdict(universe), indent=2) + "\n")


def write_whole(path: Path, text: str) -> None:
    """Write a file so that a reader sees all of it or nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    draft.write_text(text, encoding="utf-8")
    draft.replace(path)


def agree(stored: Universe, wished: dict[str, Any], path: Path) -> None:
    """Raise StateError when a wish (None: no wish) contradicts the stored universe."""
    for name, wish in wished.items():
        kept = getattr(stored, name)
        if wish is not None and wish != kept:
            raise StateError(
                f"{path} keeps a universe with {name} {kept}, not {wish}: leave the option out or delete the file"
            )
