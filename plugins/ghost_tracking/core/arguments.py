"""What callers of the vault's verbs pass in: checked in one place, refused in a sentence."""

import datetime as dt
from collections.abc import Iterable
from typing import Any, Final

from ghost_tracking.core.points import is_future
from ghost_tracking.errors import BadInputError

YOUNGEST_CUTOFF: Final = dt.timedelta(days=1)
"""Nothing is deleted for its age before it is a day old, whatever a clock or a setting says."""


def require_moment(name: str, value: Any) -> None:
    """BadInputError unless `value` is a datetime with a time zone (pandas' Timestamp is one, NaT is not)."""
    if not isinstance(value, dt.datetime) or value != value:
        kind = "a date" if isinstance(value, dt.date) and value == value else "no time"
        raise BadInputError(f"{name} is {_shown(value)}, which is {kind}: give a datetime with a time zone")
    if value.utcoffset() is None:
        raise BadInputError(f"{name} {value!r} has no time zone")


def require_span(start: Any, end: Any) -> None:
    """BadInputError unless each is None or a datetime with a time zone, and `end` is not before `start`."""
    for name, value in (("start", start), ("end", end)):
        if value is not None:
            require_moment(name, value)
    if start is not None and end is not None and end < start:
        raise BadInputError(f"end {end.isoformat()} lies before start {start.isoformat()}: swap them")


def require_past(name: str, value: Any, now: dt.datetime) -> None:
    """As `require_moment`; also BadInputError for a moment that lies in the future of `now` (aware)."""
    require_moment(name, value)
    if is_future(value, now):
        raise BadInputError(f"{name} {value.isoformat()} lies in the future; this machine's clock says {now:%F %T} UTC")


def require_cutoff(value: Any, now: dt.datetime) -> None:
    """BadInputError for a cutoff that is no moment, or less than a day before `now` (aware): it would take the day."""
    require_past("cutoff", value, now)
    if value > now - YOUNGEST_CUTOFF:
        raise BadInputError(f"cutoff {value.isoformat()} is less than a day ago: what is so young is not deleted")


def ids_of(video_ids: Any) -> tuple[str, ...]:
    """These ids, sorted, each once; BadInputError for a single one, for none at all, and for what is no text."""
    if isinstance(video_ids, str | bytes) or not isinstance(video_ids, Iterable):
        raise BadInputError(f"video_ids is {_shown(video_ids)}: give a list of ids")
    ids = list(video_ids)
    for each in ids:
        if not isinstance(each, str):
            raise BadInputError(f"video_ids has {_shown(each)}, which is no id")
    return tuple(sorted(set(ids)))


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
