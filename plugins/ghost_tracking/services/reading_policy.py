"""The policy of reading that a deployment has set: what a run goes by, from what was counted of all videos."""

import logging
import math
from dataclasses import replace
from datetime import datetime, timedelta

from ghost_tracking.core.budgets import IDS_PER_CALL
from ghost_tracking.core.pacing import QuotaStatus
from ghost_tracking.core.policies import EVERY_SLOT, Policy, ReadingPlan
from ghost_tracking.core.saving import Saving
from ghost_tracking.core.worth import ReadingRule, Sums
from ghost_tracking.postgres.policy import PolicyState
from ghost_tracking.postgres.schedule import Schedule
from ghost_tracking.settings import Settings

log = logging.getLogger(__name__)

_DAY = timedelta(days=1)
_DAY_HOURS = 24
_MOST_HASTE = 2.0
"""Late in the day, what is left of it is spent at so many times the mean rate at most."""


def make_plan(
    watchlist: Schedule, settings: Settings, quota: QuotaStatus, *, now: datetime | None = None
) -> ReadingPlan:
    """What the next run goes by, without a cut: which of the due videos it has to pass over is not known yet.

    Counts the sums over all videos again where they are a day old, or cannot tell videos apart yet. `now` (aware; None:
    the database's clock).
    """
    state = _counted(watchlist, settings, quota, now or watchlist.now())
    return _plan(settings, quota, state.sums, state.saving)


def standing_plan(watchlist: Schedule, settings: Settings, quota: QuotaStatus) -> ReadingPlan:
    """What readings go by in the long run, for those who only look: nothing is counted or changed.

    As `make_plan`, from what was counted last; but where every slot is read, the plan's rule is that of every slot, and
    where `tiers` leave some out, they are those that their index does not reach yet.
    """
    state = watchlist.policy.load()
    plan = _plan(settings, quota, state.sums, state.saving) if state else _plan(settings, quota, Sums(), Saving())
    if plan.policy is not Policy.TIERS:
        return plan
    return replace(plan, cut=1.0) if quota.is_short else replace(plan, rule=EVERY_SLOT.rule)


def _plan(settings: Settings, quota: QuotaStatus, sums: Sums, saving: Saving) -> ReadingPlan:
    rule = ReadingRule(
        sums, _readings_an_hour(settings, quota, saving), settings.shares, timedelta(days=settings.longest_wait_days)
    )
    days = settings.promotion_days
    return ReadingPlan(settings.policy, rule, promoted_for=None if days is None else timedelta(days=days))


def share_read(watchlist: Schedule, settings: Settings) -> float:
    """The share of the slots that the policy asks for; infinite where it takes all the quota that there is."""
    if settings.policy is Policy.ADAPTIVE:
        return math.inf
    if settings.policy is Policy.TIERS:
        return 1.0
    state = watchlist.policy.load()
    return 1 - state.saving.saved if state and state.saving.slots > 0 else 1 - settings.thrifty_saves


def _readings_an_hour(settings: Settings, quota: QuotaStatus, saving: Saving) -> float:
    if settings.policy is Policy.THRIFTY:
        return saving.readings_an_hour(settings.thrifty_saves)
    mean = quota.capacity * IDS_PER_CALL / _DAY_HOURS
    if settings.policy is Policy.ADAPTIVE:
        # what is left over at midnight is worth nothing
        hours = quota.day.remaining / timedelta(hours=1)
        return max(min(quota.left * IDS_PER_CALL / hours, _MOST_HASTE * mean), mean / _MOST_HASTE)
    return min(quota.demand * IDS_PER_CALL / _DAY_HOURS, mean)


def _counted(watchlist: Schedule, settings: Settings, quota: QuotaStatus, at: datetime) -> PolicyState:
    """What was counted of all videos within the last day."""
    state = watchlist.policy.load()
    videos = sum(quota.videos.values())
    if state is not None and _is_fresh(state, videos, at):
        return state
    sums = watchlist.policy.count(at)
    saving = state.saving if state else Saving()
    if state is None or at - state.counted_at >= _DAY:
        saving = saving.after_day(
            quota.demand * IDS_PER_CALL / _DAY_HOURS, *_last_day(watchlist, at), _wanted(settings)
        )
        counted_at = at
    else:
        counted_at = state.counted_at
    fresh = PolicyState(counted_at, sums, saving)
    watchlist.policy.keep(fresh)
    log.info("Counted what %s videos gain, which readings are shared out by", f"{sums.videos:,}")
    return fresh


def _is_fresh(state: PolicyState, videos: int, at: datetime) -> bool:
    tells = state.sums.root_gains > 0 and videos < 2 * state.sums.videos
    return tells and timedelta(0) <= at - state.counted_at < _DAY


def _wanted(settings: Settings) -> float:
    return settings.thrifty_saves if settings.policy is Policy.THRIFTY else 0.0


def _last_day(watchlist: Schedule, at: datetime) -> tuple[int, int]:
    """Slots of the last 24 full hours that were served or skipped, and those that were served."""
    end = at.replace(minute=0, second=0, microsecond=0)
    hours = watchlist.coverage.hours(end - _DAY, end)
    served = sum(each.served for each in hours)
    return served + sum(each.skipped for each in hours), served
