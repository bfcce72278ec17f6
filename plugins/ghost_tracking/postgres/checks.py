"""What callers pass in, checked before anything is written: each raises BadInputError in a sentence."""

from datetime import datetime
from typing import Any

from ghost_tracking.core.tiers import Tier, as_utc
from ghost_tracking.core.video_ids import is_video_id
from ghost_tracking.errors import BadInputError


def require_id(video_id: object) -> None:
    """BadInputError unless this can be the id of a video."""
    if not is_video_id(video_id):
        raise BadInputError(f"{str(video_id)[:60]!r} cannot be the id of a video")


def tier_named(tier: str) -> Tier:
    """The tier of this name."""
    try:
        return Tier(tier)
    except ValueError:
        raise BadInputError(f"tier {tier!r} is none of {', '.join(Tier)}") from None


def instant(value: Any, where: str) -> datetime | None:
    """An aware datetime, or ISO 8601 text of one, in UTC; None stays None. `where` begins the error's sentence."""
    if value is None:
        return None
    try:
        return as_utc(datetime.fromisoformat(value) if isinstance(value, str) else value)
    except (TypeError, ValueError, AttributeError) as error:
        raise BadInputError(f"{where}: {error}") from None
