"""Coverage: expected against real readings by hour and tier, so that holes are seen.

Reads the coverage ledger, which is written where slots are served and passed over, and of the videos that are due now
the slots that nobody has served yet. No point is read, and nothing grows with the vault.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final

from ghost_tracking.core.coverage import LATE, hour_of
from ghost_tracking.core.tiers import Tier
from ghost_tracking.errors import BadInputError
from ghost_tracking.page.context import PageContext, ttl_cached
from ghost_tracking.page.responses import Coverage, Hole, TierCoverage, seconds_of
from ghost_tracking.services.quota_status import read_quota_status
from ghost_tracking.services.reading_policy import standing_plan

DAYS: Final = ("1", "2", "7")
WORST_SHOWN: Final = 20

_HOUR: Final = timedelta(hours=1)

Numbers = dict[Tier, list[int]]
"""A number for each hour, by tier."""


def coverage(context: PageContext, days: str) -> Coverage:
    """By tier and hour how many slots there were, how many were served, and how many left out on purpose."""
    if days not in DAYS:
        raise BadInputError(f"{days[:20]!r} is none of {', '.join(DAYS)} days.")
    return _coverage(context, int(days))


@ttl_cached(60)
def _coverage(context: PageContext, days: int) -> Coverage:
    ledger = context.watchlist.coverage
    now = context.watchlist.quota.today().now
    hours = days * 24
    start = now.replace(minute=0, second=0, microsecond=0) - (hours - 1) * _HOUR
    served: Numbers = {tier: [0] * hours for tier in Tier}
    skipped: Numbers = {tier: [0] * hours for tier in Tier}
    missed: Numbers = {tier: [0] * hours for tier in Tier}
    for row in ledger.hours(start, start + hours * _HOUR):
        place = (row.hour - start) // _HOUR
        served[row.tier][place] += row.served
        skipped[row.tier][place] += row.skipped
        missed[row.tier][place] += row.missed
    quota = read_quota_status(context.watchlist, context.settings)
    for group in ledger.overdue(now - LATE, standing_plan(context.watchlist, context.settings, quota)):
        waiting = skipped if group.left_out else missed
        for tier, slot in group.slots():
            place = hour_of(tier, slot) - hour_of(Tier.HOURLY, start)
            if 0 <= place < hours:
                waiting[tier][place] += group.videos
    return _shown(now, days, start, ledger.begins_at(), served, skipped, missed)


def _shown(
    now: datetime,
    days: int,
    start: datetime,
    begins_at: datetime | None,
    served: Numbers,
    skipped: Numbers,
    missed: Numbers,
) -> Coverage:
    kinds = (served, skipped, missed)
    expected = {tier: [sum(counts) for counts in zip(*(kind[tier] for kind in kinds), strict=True)] for tier in Tier}
    starts = [seconds_of(start + place * _HOUR) for place in range(days * 24)]
    return Coverage(
        now=seconds_of(now),
        days=days,
        since=seconds_of(begins_at) if begins_at is not None and begins_at > start else None,
        starts=starts,
        tiers=[TierCoverage(tier.value, expected[tier], served[tier], skipped[tier]) for tier in Tier],
        worst=_worst(
            Hole(starts[place], tier.value, expected[tier][place], count)
            for tier in Tier
            for place, count in enumerate(missed[tier])
            if count
        ),
    )


def _worst(holes: Iterable[Hole]) -> list[Hole]:
    """The hours that lack the most, the worst first."""
    return sorted(holes, key=lambda hole: -hole.missed)[:WORST_SHOWN]
