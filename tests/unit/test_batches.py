"""Sharing out what is due: sizes, fairness, tokens."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ghost_tracking.core.batches import LATENESS_BORDERS, Batch, batch_size, make_batches, share_out
from ghost_tracking.core.tiers import Tier


@pytest.mark.parametrize(
    ("due", "size"), [(1, 500), (6_000, 500), (20_000, 1_667), (100_000, 5_000), (9_999_999, 5_000)]
)
def test_batch_size(due: int, size: int) -> None:
    assert batch_size(due, parallel_tasks=4) == size


@pytest.mark.parametrize("shares", [(20_000, 0, 0), (2_500, 8_500, 9_000), (12_000, 5_500, 2_500), (19_998, 1, 1)])
def test_twenty_thousand_due_videos_take_twelve_tasks_whatever_their_tiers(shares: tuple[int, ...]) -> None:
    batches = make_batches(dict(zip(Tier, shares, strict=True)), parallel_tasks=4)
    assert len(batches) == 12
    assert max(batch.limit for batch in batches) <= 2_500


@given(st.dictionaries(st.sampled_from(list(Tier)), st.integers(0, 300_000)), st.integers(1, 16))
def test_batches_cover_each_share_exactly(shares: dict[Tier, int], parallel: int) -> None:
    batches = make_batches(shares, parallel)
    for tier in Tier:
        assert sum(batch.limit for batch in batches if batch.tier is tier) == shares.get(tier, 0)
    assert all(0 < batch.limit <= 5_000 for batch in batches)


def test_a_token_is_small_plain_data() -> None:
    batch = Batch(Tier.DAILY, 500)
    token = json.loads(json.dumps(batch.as_dict()))
    assert token == {"tier": "DAILY", "limit": 500}
    assert Batch.from_dict(token) == batch


classes = st.lists(st.integers(0, 1_000), min_size=6, max_size=6)


@given(st.fixed_dictionaries(dict.fromkeys(Tier, classes)), st.integers(0, 20_000))
def test_a_budget_is_spent_whole_and_on_the_relatively_latest(due: dict[Tier, list[int]], budget: int) -> None:
    shares = share_out(due, budget)
    total = sum(map(sum, due.values()))
    assert sum(shares.values()) == min(budget, total)
    assert all(shares[tier] <= sum(due[tier]) for tier in Tier)
    served = {tier: served_by_class(due[tier], shares[tier]) for tier in Tier}
    waiting = [i for tier in Tier for i in range(6) if served[tier][i] < due[tier][i]]
    assert not any(served[tier][i] for tier in Tier for i in range(max(waiting, default=0)))


def served_by_class(counts: list[int], share: int) -> list[int]:
    """How a share falls on the classes of one tier, the latest first."""
    served = [0] * len(counts)
    for lateness in reversed(range(len(counts))):
        served[lateness] = min(share, counts[lateness])
        share -= served[lateness]
    return served


def test_a_weekly_video_a_day_late_waits_behind_an_hourly_one_two_hours_late() -> None:
    def lateness(ratio: float) -> int:
        return max(i for i, border in enumerate(LATENESS_BORDERS) if border <= ratio)

    due = {tier: [0] * len(LATENESS_BORDERS) for tier in Tier}
    due[Tier.HOURLY][lateness(2.0)] = 1
    due[Tier.WEEKLY][lateness(1 / 7)] = 1
    assert share_out(due, 1) == {Tier.HOURLY: 1, Tier.DAILY: 0, Tier.WEEKLY: 0}
