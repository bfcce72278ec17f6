"""Names in the archive: each tells when it was given, so that they sort by that, and leftovers show their age."""

import re
import uuid
from datetime import UTC, datetime
from typing import Final

from ghost_tracking.vault import layout

_STAMP: Final = "%Y%m%dT%H%M%S%f"
_STAMPED: Final = re.compile(r"(\d{8}T\d{12})-[0-9a-f]{12}(?:\.parquet|\.part)", re.ASCII)


def new_name(suffix: str) -> str:
    """A name that nothing else has."""
    return f"{datetime.now(UTC):{_STAMP}}-{uuid.uuid4().hex[:12]}{suffix}"


def named_at(name: str) -> datetime | None:
    """When a name was given, in UTC; None for a name that is none of these."""
    match = _STAMPED.fullmatch(name)
    try:
        return datetime.strptime(match[1], _STAMP).replace(tzinfo=UTC) if match else None
    except ValueError:  # the thirteenth month
        return None


def of_file(name: str) -> str:
    """The name, if it is one that `new_name` gives a file; ValueError for anything else, such as a path."""
    if named_at(name) is None or not name.endswith(layout.SUFFIX):
        raise ValueError(f"{name[:100]!r} is no name of a file of the vault")
    return name


def archived(name: str) -> str:
    """Where a file of the archive stands."""
    return f"{layout.VIDEOS}/{name}"


def staged(name: str) -> str:
    """Where a staged part of metadata stands."""
    return f"{layout.STAGED_VIDEOS}/{name}"


def quarantined(name: str) -> str:
    """Where a staged part is set aside."""
    return f"{layout.QUARANTINE}/videos/{name}.broken"
