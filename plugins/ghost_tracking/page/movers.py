"""Movers: what grows fastest over an hour, a day or a week, what came back to life, what vanished.

The tracker prepares all of it (`services.movers`); the page reads two small files, and says of which moment they are.
"""

from datetime import timedelta
from typing import Any, Final

from ghost_tracking.core.gains import WINDOWS
from ghost_tracking.errors import BadInputError
from ghost_tracking.page.context import PageContext, ttl_cached
from ghost_tracking.page.responses import Mover, Movers, PromotedVideo, VanishedVideo, seconds_of
from ghost_tracking.vault.prepared.figures import (
    MOST_SHOWN,
    PreparedMover,
    PreparedMovers,
    PreparedPromotion,
    PreparedVanishing,
    ShownVideo,
)

LATE: Final = {"hour": timedelta(minutes=20), "day": timedelta(hours=2), "week": timedelta(hours=2)}
"""How old the movers of a window may be before the page points it out."""


def movers(context: PageContext, window: str) -> Movers:
    """The fastest of a window, absolute and against their channels; and who came back or vanished."""
    if window not in WINDOWS:
        raise BadInputError(f"{window[:20]!r} is none of {', '.join(WINDOWS)}.")
    return _movers(context, window)


@ttl_cached(30)
def _movers(context: PageContext, window: str) -> Movers:
    now = context.watchlist.quota.today().now
    found, changes = context.vault.prepared.movers(window), context.vault.prepared.changes()
    return Movers(
        now=seconds_of(now),
        as_of=None if found.as_of is None else seconds_of(found.as_of),
        is_late=found.as_of is not None and now - found.as_of > LATE[window],
        since=None if found.since is None else seconds_of(found.since),
        window=window,
        seconds=round(WINDOWS[window].total_seconds()),
        readings=found.readings,
        missed=_missed(found),
        movers=[_mover(each) for each in found.movers],
        promoted=[_promoted(each) for each in changes.promoted],
        vanished=[_vanished(each) for each in changes.vanished],
    )


def _missed(found: PreparedMovers) -> int | None:
    """What a video can have gained at most that should be listed and is not; None where that is not known."""
    if found.at_most is None or found.as_of is None:
        return None
    least = found.movers[-1].gain if len(found.movers) == MOST_SHOWN else 0
    return found.at_most if found.at_most > least else 0


def _video(each: ShownVideo) -> dict[str, Any]:
    """The fields of `Video`."""
    return {
        "video_id": each.video_id,
        "title": each.title,
        "channel_id": each.channel_id,
        "channel_title": each.channel_title,
        "published_at": each.published_at,
        "duration": each.duration,
    }


def _mover(each: PreparedMover) -> Mover:
    compared = each.comparison
    return Mover(
        **_video(each),
        gain=each.gain,
        first_count=each.first_count,
        last_count=each.last_count,
        since=each.since,
        until=each.until,
        own=None if compared is None else compared.own,
        median=None if compared is None else compared.median,
        ages=None if compared is None else list(compared.ages),
        siblings=None if compared is None else compared.siblings,
        times=None if compared is None else compared.times,
    )


def _promoted(each: PreparedPromotion) -> PromotedVideo:
    return PromotedVideo(**_video(each), promoted_until=each.promoted_until, last_at=each.last_at, next_at=each.next_at)


def _vanished(each: PreparedVanishing) -> VanishedVideo:
    return VanishedVideo(**_video(each), state=each.state, at=each.at, views=each.views)
