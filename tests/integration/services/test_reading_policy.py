"""Policies of reading on a real PostgreSQL, a real vault and the real client: who is asked for, and what it counts."""

import base64
import secrets
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from airflow.sdk import Connection

from ghost_tracking.core.batches import Batch
from ghost_tracking.core.budgets import Bucket, CallBudget
from ghost_tracking.core.policies import Policy, ReadingPlan
from ghost_tracking.core.roster import Chunk, hour_of_week
from ghost_tracking.core.schedule import WatchlistEntry
from ghost_tracking.core.tiers import Queue, Tier, next_slot
from ghost_tracking.core.worth import LATE, ReadingRule, Shares, Sums
from ghost_tracking.hooks.vault import ParquetVaultHook
from ghost_tracking.hooks.watchlist import WatchlistHook
from ghost_tracking.services.planning import plan_batches
from ghost_tracking.services.roster_moves import RosterMoves
from ghost_tracking.services.tracking import Done, Tracking
from ghost_tracking.settings import Settings
from simulation.youtube import InProcessYouTube

MINUTE, HOUR, DAY, WEEK = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1), timedelta(days=7)
MIDNIGHT = datetime(2026, 6, 1, 7, tzinfo=UTC)  # in California
LAST_RUN = MIDNIGHT - 4 * MINUTE
"""What is left of the day's quota is this run's."""

SLOT = datetime(2026, 5, 20, 12, tzinfo=UTC)
RULE = ReadingRule(Sums(1_000, 800.0, 30.0), 1.5, Shares(0.2, 0.3, 0.5))
"""A week is too short for what stands still, and long enough for what gains ten thousand views an hour."""


@dataclass
class Views:
    """A YouTube whose videos gain so many views an hour since `start`, but for those that are `lost`.

    `asked`: the ids of each call for counts.
    """

    gains: Mapping[str, float]
    now: datetime
    start: datetime = SLOT - 8 * WEEK
    before: int = 1_000
    lost: Collection[str] = ()
    asked: list[list[str]] = field(default_factory=list)

    def request(self, bucket: Bucket, ids: Sequence[str], *, with_metadata: bool) -> dict[str, Any]:
        assert not with_metadata
        if bucket is Bucket.STATISTICS:
            self.asked.append(list(ids))
        there = [each for each in ids if each in self.gains and each not in self.lost]
        return {"items": [{"id": each, "statistics": {"viewCount": str(self.views(each))}} for each in there]}

    def remember(self, ids: Iterable[str]) -> None:
        """Nothing of it."""

    def views(self, video_id: str, at: datetime | None = None) -> int:
        return self.before + int(self.gains[video_id] * (((at or self.now) - self.start) / HOUR))

    def client(self) -> InProcessYouTube:
        return InProcessYouTube(self, CallBudget(dict.fromkeys(Bucket, 10_000)))


def random_ids(number: int) -> list[str]:
    return [base64.urlsafe_b64encode(secrets.token_bytes(8)).decode()[:11] for _ in range(number)]


def settle(
    watchlist: WatchlistHook, vault: ParquetVaultHook, youtube: Views, read_at: datetime, slot: datetime = SLOT
) -> None:
    """Bring these videos onto the roster, where they are due at the slot."""
    anchor = slot - 6 * WEEK
    watchlist.add_to_watchlist(
        WatchlistEntry(
            id_, Tier.WEEKLY, read_at, slot, anchor_at=anchor, views=youtube.views(id_, read_at), gain_per_hour=gain
        )
        for id_, gain in youtube.gains.items()
    )
    RosterMoves(watchlist, vault, slot - HOUR).move_settled()


def visit(
    watchlist: WatchlistHook, vault: ParquetVaultHook, youtube: Views, at: datetime, plan: ReadingPlan, **batch: object
) -> Done:
    youtube.now = at
    given = Batch(**{"queue": Queue.ROSTER, "limit": 1_000, "strict": True} | batch)  # type: ignore[arg-type]
    return Tracking(watchlist, Settings(), at, plan).follow(given, given.limit, youtube.client(), vault)


def members(chunk: Chunk, vault: ParquetVaultHook) -> set[str]:
    ids = vault.roster.read(chunk.name)
    return {video_id for position, video_id in enumerate(ids) if position not in chunk.removed_positions}


def counted(watchlist: WatchlistHook) -> dict[datetime, tuple[int, int, int]]:
    """Served, missed and skipped, by the hour."""
    return {
        row.hour: (row.served, row.missed, row.skipped)
        for row in watchlist.coverage.hours(SLOT - 52 * WEEK, SLOT + 520 * WEEK)
    }


@pytest.mark.parametrize(
    "plan",
    [ReadingPlan(Policy.THRIFTY, RULE), ReadingPlan(Policy.ADAPTIVE, RULE), ReadingPlan(Policy.TIERS, RULE, 1.0)],
)
def test_a_visit_asks_for_those_that_are_worth_it_and_the_others_wait_in_their_chunk(
    watchlist: WatchlistHook, vault: ParquetVaultHook, plan: ReadingPlan
) -> None:
    lively, dull = random_ids(30), random_ids(30)
    youtube = Views(dict.fromkeys(lively, 10_000.0) | dict.fromkeys(dull, 0.0), SLOT, lost=[lively[0], dull[0]])
    settle(watchlist, vault, youtube, SLOT - WEEK)
    done = visit(watchlist, vault, youtube, SLOT + MINUTE, plan, worth=0.5)
    assert [sorted(ids) for ids in youtube.asked] == [sorted(lively)]
    assert done.claimed == 30
    assert done.answer.found.keys() == set(lively[1:])
    # what was not asked for is not missed, nor gone, nor late
    assert watchlist.entries.known([*lively, *dull]) == {lively[0]}
    (chunk,) = watchlist.roster.all()
    assert members(chunk, vault) == {*lively[1:], *dull}
    assert (chunk.next_track_at, chunk.cursor, chunk.last_tracked_at) == (SLOT + WEEK, 0, SLOT + MINUTE)
    assert watchlist.status.due(SLOT + DAY)[Queue.ROSTER] == 0
    assert counted(watchlist) == {SLOT: (29, 0, 30)}
    # the row has its part of the sums, by what is remembered of each
    memory, ids = vault.roster.memory(chunk.name, chunk.ids), vault.roster.read(chunk.name)
    rows = {id_: memory.row(place, id_) for place, id_ in enumerate(ids) if id_ in members(chunk, vault)}
    assert {rows[id_].last_tracked_at for id_ in lively[1:]} == {SLOT + MINUTE}
    assert {rows[id_].last_tracked_at for id_ in dull} == {SLOT - WEEK}
    expected = Sums.of((row.known, SLOT + MINUTE - row.last_tracked_at) for row in rows.values() if row.last_tracked_at)
    assert chunk.sums.videos == expected.videos == 59
    assert chunk.sums.root_gains == pytest.approx(expected.root_gains, rel=0.01)
    assert chunk.sums.root_relative == pytest.approx(expected.root_relative, rel=0.01)


def test_who_is_left_out_is_read_when_its_own_interval_has_passed(
    watchlist: WatchlistHook, vault: ParquetVaultHook
) -> None:
    ids = random_ids(5)
    youtube = Views(dict.fromkeys(ids, 0.0), SLOT)
    settle(watchlist, vault, youtube, SLOT - WEEK)
    (chunk,) = watchlist.roster.all()
    own = RULE.own_interval(vault.roster.memory(chunk.name, 5).row(0, "v").known)
    assert 2 * WEEK < own < 20 * WEEK
    weeks = 0
    while not youtube.asked:
        visit(watchlist, vault, youtube, SLOT + weeks * WEEK + MINUTE, ReadingPlan(Policy.THRIFTY, RULE))
        weeks += 1
    assert own - WEEK < weeks * WEEK < own + WEEK
    assert sorted(youtube.asked[0]) == sorted(ids)
    assert counted(watchlist) == {
        SLOT + week * WEEK: (0, 0, 5) if week < weeks - 1 else (5, 0, 0) for week in range(weeks)
    }


def test_a_visit_that_is_minutes_earlier_than_the_last_one_loses_nobody_a_week(
    watchlist: WatchlistHook, vault: ParquetVaultHook
) -> None:
    """Those that have one reading are due to show their gain, and it came late in its slot."""
    ids = random_ids(5)
    youtube = Views(dict.fromkeys(ids, 1.0), SLOT)
    watchlist.add_to_watchlist(
        WatchlistEntry(id_, Tier.WEEKLY, SLOT - WEEK + LATE, SLOT, anchor_at=SLOT - 6 * WEEK, views=7) for id_ in ids
    )
    RosterMoves(watchlist, vault, SLOT - HOUR).move_settled()
    assert visit(watchlist, vault, youtube, SLOT, ReadingPlan(Policy.THRIFTY, RULE)).answer.found.keys() == set(ids)


@pytest.mark.parametrize("policy", [Policy.THRIFTY, Policy.ADAPTIVE])
def test_nobody_on_the_roster_waits_longer_than_the_longest_time(
    watchlist: WatchlistHook, vault: ParquetVaultHook, policy: Policy
) -> None:
    (video_id,) = random_ids(1)
    youtube = Views({video_id: 0.0}, SLOT)
    settle(watchlist, vault, youtube, SLOT - WEEK)
    rule = ReadingRule(RULE.sums, 1e-6, RULE.shares, timedelta(days=31))
    last, waits = SLOT - WEEK, []
    for week in range(15):
        if visit(watchlist, vault, youtube, SLOT + week * WEEK, ReadingPlan(policy, rule)).answer.found:
            waits.append(youtube.now - last)
            last = youtube.now
    assert waits == [4 * WEEK] * 3


def test_chunks_in_which_nobody_is_worth_a_reading_go_on_without_a_call(
    ghost_postgres: Connection, vault: ParquetVaultHook
) -> None:
    slot = LAST_RUN.replace(minute=0)
    youtube = Views(dict.fromkeys(random_ids(50), 0.0), LAST_RUN)
    settings = Settings(
        policy=Policy.ADAPTIVE, quota_statistics=1, quota_general=0, quota_hunter_holdback=0, quota_manual_holdback=0
    )
    with WatchlistHook(connection=ghost_postgres, budgets=settings.quota) as watchlist:
        settle(watchlist, vault, youtube, slot - HOUR, slot)
        planned = plan_batches(watchlist, settings, vault, now=LAST_RUN)
        assert [(batch.queue, batch.strict) for batch in planned.batches] == [(Queue.ROSTER, True)], planned.why
        tracking = Tracking(watchlist, settings, LAST_RUN, planned.plan)
        done = tracking.follow(planned.batches[0], planned.batches[0].limit, youtube.client(), vault)
        assert (done.claimed, youtube.asked) == (0, [])
        assert watchlist.roster.all()[0].next_track_at == slot + WEEK
        assert counted(watchlist) == {slot: (0, 0, 50)}


def lognormal(number: int) -> dict[str, float]:
    """Gains as those of real videos spread: most of them next to nothing."""
    gains = np.exp(np.random.default_rng(3).normal(-1.5, 2.5, number))
    return dict(zip(random_ids(number), gains.tolist(), strict=True))


@pytest.mark.parametrize("policy", Policy)
def test_at_a_quarter_of_the_quota_calls_are_full_and_the_largest_indexes_go_first(
    ghost_postgres: Connection, vault: ParquetVaultHook, policy: Policy
) -> None:
    """Some fifteen thousand settled videos in two hundred chunks of three days, all due, and a quarter can be read."""
    gains = lognormal(15_000)
    ids = list(gains)
    youtube = Views(gains, LAST_RUN, start=LAST_RUN - 52 * WEEK)
    settings = Settings(
        policy=policy, quota_statistics=75, quota_general=0, quota_hunter_holdback=0, quota_manual_holdback=0
    )
    with WatchlistHook(connection=ghost_postgres, budgets=settings.quota) as watchlist:
        for first in range(0, 15_000, 5_000):  # three chunks an hour of the week
            watchlist.add_to_watchlist(
                WatchlistEntry(
                    id_,
                    Tier.WEEKLY,
                    LAST_RUN - WEEK - place % 70 * HOUR,
                    LAST_RUN - place % 70 * HOUR,
                    anchor_at=LAST_RUN - 6 * WEEK - place % 70 * HOUR,
                    views=youtube.views(id_, LAST_RUN - WEEK),
                    gain_per_hour=gains[id_],
                )
                for place, id_ in enumerate(ids[first : first + 5_000])
            )
            RosterMoves(watchlist, vault, LAST_RUN).move_settled()
        chunks = len(watchlist.roster.all())
        assert chunks >= 70
        planned = plan_batches(watchlist, settings, vault, now=LAST_RUN)
        assert planned.plan.is_known
        assert planned.plan.cut > 0
        assert 75 - len(planned.batches) <= sum(batch.limit for batch in planned.batches) / 50 <= 75
        tracking = Tracking(watchlist, settings, LAST_RUN, planned.plan)
        done = [tracking.follow(batch, batch.limit, youtube.client(), vault) for batch in planned.batches]
        found = {id_ for each in done for id_ in each.answer.found}
        promoted = {id_ for each in done for id_ in each.promoted}
        asked = [id_ for call in youtube.asked for id_ in call]
        assert len(set(asked)) == len(asked) == len(found)
        assert len(asked) / (50 * len(youtube.asked)) >= 0.95, [len(call) for call in youtube.asked]
        assert 70 <= len(youtube.asked) <= 75
        # who was asked for deserved it more than who was not, but for the class in which the cut lies
        rule = planned.plan.rule
        waits = {id_: WEEK + place % 5_000 % 70 * HOUR for place, id_ in enumerate(ids)}
        indexes = {
            id_: rule.index(
                WatchlistEntry(id_, Tier.WEEKLY, views=youtube.views(id_, LAST_RUN - WEEK), gain_per_hour=gain).known,
                waits[id_],
            )
            for id_, gain in gains.items()
        }
        assert min(indexes[id_] for id_ in asked) >= 0.97 * planned.plan.threshold
        spared = [id_ for id_ in ids if id_ not in found and indexes[id_] < planned.plan.threshold]
        assert len(spared) > 5_000
        counts = counted(watchlist)
        assert sum(served for served, _, _ in counts.values()) == len(asked)
        assert sum(missed for _, missed, _ in counts.values()) < 300  # above the cut, and beyond the limit
        assert watchlist.entries.known(ids) == promoted
        assert len(promoted) > 0 or policy is Policy.TIERS


def test_with_enough_quota_the_tiers_keep_the_timeline_of_the_specification_to_the_second(
    watchlist: WatchlistHook, vault: ParquetVaultHook
) -> None:
    """Two videos of which one stands still, read at each of their slots for a week, and then on the roster."""
    born = {id_: SLOT + seconds * timedelta(seconds=1) for id_, seconds in zip(random_ids(2), (7, 1_234), strict=True)}
    still, lively = born
    youtube = Views({still: 0.0, lively: 5_000.0}, SLOT, start=SLOT)
    watchlist.add_to_watchlist(
        WatchlistEntry(id_, Tier.HOURLY, at, at + HOUR, anchor_at=at, views=1_000) for id_, at in born.items()
    )
    read: dict[str, list[datetime]] = {still: [], lively: []}
    while (due := watchlist.status.next_due_at()) is not None and due < SLOT + 3 * WEEK + DAY:
        if due >= SLOT + 8 * DAY and watchlist.entries.known(list(born)):
            RosterMoves(watchlist, vault, due - HOUR).move_settled()
            continue
        youtube.now = due
        planned = plan_batches(watchlist, Settings(), vault, now=due)
        assert planned.plan.threshold == 0
        for batch in planned.batches:
            tracking = Tracking(watchlist, Settings(), due, planned.plan)
            for id_ in tracking.follow(batch, 100, youtube.client(), vault).answer.found:
                read[id_].append(due)
    for id_, times in read.items():
        slots, at = [], born[id_]
        while (at := next_slot(born[id_], at)[1]) < SLOT + 3 * WEEK + DAY:
            weekly = at - born[id_] > WEEK
            slots.append(at if not weekly else at + (-at.timestamp() % 3_600) * timedelta(seconds=1))
        assert times == slots
        assert len(times) == 24 + 6 + 2
    counts = counted(watchlist)
    assert {(missed, skipped) for _, missed, skipped in counts.values()} == {(0, 0)}
    assert sum(served for served, _, _ in counts.values()) == 2 * (24 + 6 + 2)
    assert {chunk.hour_of_week for chunk in watchlist.roster.all()} == {hour_of_week(born[still])}
