"""Names of new files: each tells when it was given, so that they sort by that, and leftovers show their age."""

import re
import uuid
from datetime import UTC, datetime
from typing import Final

from ghost_tracking.vault import layout

_STAMP: Final = "%Y%m%dT%H%M%S%f"
_STAMP_LENGTH: Final = 21
_GIVEN: Final = re.compile(r"\d{8}T\d{12}-[0-9a-f]{12}\.(?:parquet|part)", re.ASCII)
"""What `new_name` gives."""
_STAMPED: Final = re.compile(r"(\d{8}T\d{6}(?:\d{6})?)-[0-9a-f]{12}(?:-\d{3,6})?\.(?:parquet|part)", re.ASCII)
"""Files of the history have whole seconds, and a number each where one writer makes several."""


def new_name(suffix: str) -> str:
    """A name that nothing else has."""
    return f"{datetime.now(UTC):{_STAMP}}-{uuid.uuid4().hex[:12]}{suffix}"


def named_at(name: str) -> datetime | None:
    """When a file's name was given, in UTC, by its name or its key; None for a name that is none of these."""
    match = _STAMPED.fullmatch(name.rpartition("/")[2])
    try:
        return datetime.strptime(match[1].ljust(_STAMP_LENGTH, "0"), _STAMP).replace(tzinfo=UTC) if match else None
    except ValueError:  # the thirteenth month
        return None


def require_file_name(name: str) -> str:
    """The name, if it is one that `new_name` gives a file; ValueError for anything else, such as a path."""
    if not _GIVEN.fullmatch(name) or named_at(name) is None or not name.endswith(layout.SUFFIX):
        raise ValueError(f"{name[:100]!r} is no name of a file of the vault")
    return name
